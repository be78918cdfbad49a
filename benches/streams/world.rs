//! A portal, and gateways in front of it that have one store.

use std::{fs, net::TcpListener};

use bitrix24_gateway::proto::v1::EventMode;
use bitrix24_sim::{Config, Limits, Portal, PortalConfig, Sim};
use tempfile::TempDir;

use crate::{
    common::{
        Outcome,
        gateway::{BOT_CODE, CA_FILE, Gateway},
    },
    post::Poster,
};

/// Where the gateway is said to be reached.
const PUBLIC: &str = "https://gateway.example.com";

/// The bot that is asked and answers.
pub(crate) const ANSWERING: &str = "answering_bot";

pub(crate) struct World {
    _sim: Sim,
    pub(crate) portal: Portal,
    pub(crate) folder: TempDir,
    pub(crate) poster: Poster,
    http: String,
}

impl World {
    /// With a bot whose events are posted, and one whose are fetched.
    pub(crate) async fn new() -> Outcome<Self> {
        // On a disk: a store in memory would commit for nothing.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let sim = Sim::start(Config::default()).await?;
        let config = PortalConfig {
            limits: Limits::none(),
            ..PortalConfig::default()
        };
        let portal = sim.add_portal(config).await?;
        fs::write(folder.path().join(CA_FILE), sim.ca_pem())?;
        let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let gateway = start(&folder, &portal, &http).await?;
        gateway.register("", BOT_CODE, EventMode::Webhook).await?;
        gateway.register("", ANSWERING, EventMode::Fetch).await?;
        gateway.process.stop().await?;
        let bot = portal.bot_by_code(BOT_CODE).ok_or("no bot")?;
        let path = bot.webhook_url.strip_prefix(PUBLIC);
        let path = path.ok_or("another address")?.to_owned();
        let bot = format!("{}:{}", bot.id, bot.token.ok_or("no token")?);
        Ok(Self {
            poster: Poster::new(&http, &path, &bot)?,
            _sim: sim,
            portal,
            folder,
            http,
        })
    }

    pub(crate) async fn gateway(&self) -> Outcome<Gateway> {
        start(&self.folder, &self.portal, &self.http).await
    }
}

async fn start(folder: &TempDir, portal: &Portal, http: &str) -> Outcome<Gateway> {
    let settings = [
        ("HTTP__LISTEN", http),
        ("HTTP__PUBLIC_URL", PUBLIC),
        ("RATE__REQUESTS_PER_SECOND", "0"),
    ];
    Gateway::start(folder.path(), &portal.webhook_url(), &settings).await
}
