//! Killed while it gives a bot another token.
//!
//! Whenever that happens, the next start finds out which token the portal takes, and the bot works on.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use bitrix24_sim::{Fault, Limits, Portal, PortalConfig, Sim};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tonic::{Status, transport::Channel};

use crate::{PATIENCE, free_port, lock, until};

const UPDATE: &str = "imbot.v2.Bot.update";

/// When the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The portal was asked and has done nothing.
    Asked,
    /// It has exchanged the token; the answer is not there.
    Exchanged,
    /// The answer is there, and the store cannot be written.
    Answered,
    /// It is done.
    Done,
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_killed_at_any_moment_of_a_rotation_finds_the_token_in_force() {
    for moment in [
        Moment::Asked,
        Moment::Exchanged,
        Moment::Answered,
        Moment::Done,
    ] {
        let place = Place::made().await;
        let mut gateway = place.start();
        place.register().await;
        let first = place.token();
        place.kill_at(moment, &mut gateway).await;
        let exchanged = place.token() != first;
        assert_eq!(exchanged, moment != Moment::Asked, "{moment:?}");

        let mut gateway = place.start();
        place.bot_works().await;
        // And can be rotated again.
        let before = place.token();
        timeout(PATIENCE, place.rotated()).await.unwrap();
        assert_ne!(place.token(), before, "{moment:?}");
        place.bot_works().await;
        gateway.kill().unwrap();
        gateway.wait().unwrap();
    }
}

/// A portal, and the folder of a gateway that has its webhook.
struct Place {
    _sim: Sim,
    portal: Portal,
    folder: TempDir,
    port: u16,
}

impl Place {
    async fn made() -> Self {
        let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
        let config = PortalConfig {
            limits: Limits::none(),
            ..PortalConfig::default()
        };
        let portal = sim.add_portal(config).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
        Self {
            _sim: sim,
            portal,
            folder,
            port: free_port(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"));
        command.arg("serve").stderr(Stdio::null());
        for (name, value) in [
            ("WEBHOOK_URL", self.portal.webhook_url()),
            ("OUTBOUND__CA_FILE", self.text("ca.pem")),
            ("STORE__DIR", self.text("store")),
            ("STORE__KEY_FILE", self.text("keys")),
            ("GRPC__LISTEN", format!("127.0.0.1:{}", self.port)),
            ("ADMIN__LISTEN", String::new()),
            ("RATE__REQUESTS_PER_SECOND", "0".to_owned()),
            // Only what the test asks for reaches the portal.
            ("POLLING__BUSY_PAUSE", "60s".to_owned()),
            ("POLLING__IDLE_PAUSE", "10m".to_owned()),
        ] {
            command.env(format!("BITRIX24_GATEWAY__{name}"), value);
        }
        command.spawn().unwrap()
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn bots(&self) -> BotServiceClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://127.0.0.1:{}", self.port));
        BotServiceClient::new(endpoint.unwrap().connect_lazy())
    }

    /// The token that the portal takes.
    fn token(&self) -> String {
        let bot = self.portal.bot_by_code("helper").unwrap();
        bot.token.unwrap()
    }

    async fn register(&self) {
        let wish = pb::RegisterBotRequest {
            bot_code: "helper".to_owned(),
            properties: Some(pb::BotProperties {
                name: Some("Helper".to_owned()),
                ..pb::BotProperties::default()
            }),
            ..pb::RegisterBotRequest::default()
        };
        self.patiently(|| {
            let (mut bots, wish) = (self.bots(), wish.clone());
            async move { bots.register_bot(wish).await.map(drop) }
        })
        .await;
    }

    /// Lists the commands of the bot, which only its owner can.
    async fn bot_works(&self) {
        let list = || {
            let mut bots = self.bots();
            let request = pb::ListCommandsRequest {
                bot_code: "helper".to_owned(),
                ..pb::ListCommandsRequest::default()
            };
            async move { bots.list_commands(request).await.map(drop) }
        };
        self.patiently(list).await;
    }

    async fn rotated(&self) {
        self.patiently(|| rotate(self.bots())).await;
    }

    /// Repeats while the gateway is not there yet, or still finding out.
    async fn patiently<F: Future<Output = Result<(), Status>>>(&self, call: impl Fn() -> F) {
        let repeated = async {
            while call().await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, repeated).await.unwrap();
    }

    /// Runs into the rotation and kills the gateway there.
    async fn kill_at(&self, moment: Moment, gateway: &mut Child) {
        let faults = self.portal.faults();
        let first = self.token();
        let slow = Fault::latency(Duration::from_secs(60));
        match moment {
            Moment::Asked => faults.on(UPDATE, Fault::hang()),
            Moment::Exchanged => faults.on(UPDATE, slow.after_effect()),
            Moment::Answered => {
                // Long enough to lock the store between question and answer.
                let short = Fault::latency(Duration::from_secs(1));
                faults.on(UPDATE, short.after_effect());
            }
            Moment::Done => {}
        }
        let rotating = tokio::spawn(rotate(self.bots()));
        let asked = || faults.waiting() == 0;
        let exchanged = || self.token() != first;
        match moment {
            Moment::Asked => until(asked).await,
            Moment::Exchanged => until(exchanged).await,
            Moment::Answered => {
                until(exchanged).await;
                let locked = lock(self.folder.path());
                let calls = || self.portal.journal().calls(UPDATE).len();
                until(|| calls() == 1).await;
                gateway.kill().unwrap();
                drop(locked);
            }
            Moment::Done => {}
        }
        if moment == Moment::Done {
            rotating.await.unwrap().unwrap();
        } else {
            rotating.abort();
        }
        // It may be dead already.
        let _killed = gateway.kill();
        gateway.wait().unwrap();
        faults.clear();
    }
}

async fn rotate(mut bots: BotServiceClient<Channel>) -> Result<(), Status> {
    let request = pb::RotateBotTokenRequest {
        bot_code: "helper".to_owned(),
        ..pb::RotateBotTokenRequest::default()
    };
    bots.rotate_bot_token(request).await.map(drop)
}
