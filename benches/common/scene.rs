//! A simulated portal with dialogs to answer in, and gateways in front of it.
//!
//! The portal lives in the process that runs the benchmark, which does nothing else meanwhile: its
//! journal is then at hand. Gateways and callers are processes of their own.

use std::{
    fmt::{self, Display, Write as _},
    fs,
    path::PathBuf,
    time::Duration,
};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use bitrix24_sim::{Config, Effect, Encoding, Limits, Portal, PortalConfig, Quirks, Sim};
use tempfile::TempDir;

use crate::common::{
    Outcome,
    gateway::{BOT_CODE, CA_FILE, Gateway},
};

/// The method behind every call here.
pub(crate) const ANSWER: &str = "imbot.v2.Command.answer";

/// What fetches events.
pub(crate) const POLL: &str = "imbot.v2.Event.get";

/// How long one answer takes in the portal; those of one batch add up.
pub(crate) const WORK: Duration = Duration::from_millis(30);

/// Requests more than this at once the portal refuses, and takes so many off per second.
pub(crate) const THRESHOLD: u32 = 50;
pub(crate) const PER_SECOND: u32 = 2;

/// Where portals are made.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sim: Sim,
    folder: TempDir,
}

/// A portal and the gateway in front of it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) portal: Portal,
    pub(crate) gateway: Gateway,
    pub(crate) bot_id: i64,
    command_id: i64,
    pub(crate) folder: PathBuf,
}

impl World {
    pub(crate) async fn start() -> Outcome<Self> {
        // On a disk: a store in memory would commit for nothing.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let config = Config {
            journal_capacity: 100_000,
            ..Config::default()
        };
        let sim = Sim::start(config).await?;
        Ok(Self { sim, folder })
    }

    /// A portal with these limits, in which every answer takes [`WORK`] and nothing else takes any time.
    pub(crate) async fn portal(&self, limits: Limits) -> Outcome<Portal> {
        let config = PortalConfig {
            limits: Limits {
                execution_time: Duration::ZERO,
                ..limits
            },
            quirks: Quirks {
                // How long after its command an answer is taken is not the matter here.
                late_answers_are_dropped: false,
                ..Quirks::default()
            },
            ..PortalConfig::default()
        };
        let portal = self.sim.add_portal(config).await?;
        portal.set_latency(Some(ANSWER), WORK);
        Ok(portal)
    }

    /// A portal with the limits of an ordinary plan, and a gateway with its defaults before it.
    pub(crate) async fn scene(&self, name: &str) -> Outcome<Scene> {
        let limits = Limits {
            threshold: Some(THRESHOLD),
            drain_per_second: PER_SECOND,
            ..Limits::default()
        };
        let portal = self.portal(limits).await?;
        self.scene_of(name, portal, &[]).await
    }

    /// A gateway with further settings before a portal.
    pub(crate) async fn scene_of(
        &self,
        name: &str,
        portal: Portal,
        settings: &[(&str, &str)],
    ) -> Outcome<Scene> {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder)?;
        fs::write(folder.join(CA_FILE), self.sim.ca_pem())?;
        let gateway = Gateway::start(&folder, &portal.webhook_url(), settings).await?;
        gateway.register("", BOT_CODE, pb::EventMode::Fetch).await?;
        let mut client = BotServiceClient::connect(format!("http://{}", gateway.address)).await?;
        let command = pb::RegisterCommandRequest {
            bot_code: BOT_CODE.to_owned(),
            command: "weather".to_owned(),
            title: [("en".to_owned(), "Weather".to_owned())].into(),
            ..pb::RegisterCommandRequest::default()
        };
        client.register_command(command).await?;
        let bot_id = portal.bot_by_code(BOT_CODE).ok_or("no bot")?.id;
        let commands = portal.commands(bot_id);
        let command_id = commands.first().ok_or("no command")?.id;
        Ok(Scene {
            portal,
            gateway,
            bot_id,
            command_id,
            folder,
        })
    }
}

impl Scene {
    /// So many new chats, in each of which somebody said something. The file in which they stand.
    pub(crate) fn dialogs(&self, name: &str, count: usize) -> Outcome<PathBuf> {
        let mut lines = String::new();
        for number in 0..count {
            let chat = self
                .portal
                .add_group_chat(&format!("{name} {number}"), &[1, self.bot_id]);
            let dialog = chat.dialog_id();
            let message = self.portal.user(1).types(&dialog, "And tomorrow?")?;
            writeln!(lines, "{} {message} {dialog}", self.command_id)?;
        }
        let file = self.folder.join(name);
        fs::write(&file, lines)?;
        Ok(file)
    }

    /// What the journal says since it was last cleared.
    pub(crate) fn arrived(&self) -> Arrived {
        let journal = self.portal.journal();
        let answers = journal.calls(ANSWER);
        let requests = journal.requests();
        Arrived {
            requests: journal.arrivals(),
            alone: answers
                .iter()
                .filter(|answer| answer.encoding != Encoding::BatchEntry)
                .count(),
            batches: journal.calls("batch").len(),
            polls: journal.calls(POLL).len(),
            posted: journal
                .effects()
                .iter()
                .filter(|effect| {
                    matches!(
                        effect,
                        Effect::MessagePosted {
                            by_bot: Some(_),
                            ..
                        }
                    )
                })
                .count(),
            refused: requests
                .iter()
                .filter(|request| request.error().as_deref() == Some("QUERY_LIMIT_EXCEEDED"))
                .count(),
        }
    }
}

/// What reached the portal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived {
    /// HTTP requests.
    pub(crate) requests: u64,
    /// Answers in requests of their own.
    pub(crate) alone: usize,
    pub(crate) batches: usize,
    pub(crate) polls: usize,
    /// Answers that became messages.
    pub(crate) posted: usize,
    /// Refusals for the request rate.
    pub(crate) refused: usize,
}

impl Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests: {} answers alone, {} batches, {} fetches of events",
            self.requests, self.alone, self.batches, self.polls
        )
    }
}
