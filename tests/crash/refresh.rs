//! Killed while it exchanges a refresh token for a new pair.
//!
//! Whenever that happens, what it finds at its next start is a pair that was issued as one. With it the
//! portal works, or it says that a new installation is needed, where the one answer that held the new
//! pair is lost. The moments are held from outside: the authorization server hangs, or the database is
//! locked.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use bitrix24_gateway::{
    clock::Clock,
    ids::PortalId,
    proto::v1::{
        self as pb, bot_service_client::BotServiceClient,
        message_service_client::MessageServiceClient,
    },
    store::{self, KeySource, Pair, Store},
};
use bitrix24_sim::{ApplicationConfig, Chat, Fault, Limits, Portal, PortalConfig, Sim};
use jiff::SignedDuration;
use rusqlite::OpenFlags;
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{database, free_port, lock, until};

const TOKEN: &str = "oauth/token";
const SECRET: &str = "client-secret";

/// When the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The authorization server was asked and has done nothing.
    Asked,
    /// It has exchanged the token; the answer is not there.
    Exchanged,
    /// The answer is there, and cannot be written down.
    Answered,
    /// The new pair is written down.
    Written,
    /// A call went out with it.
    Used,
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_killed_at_any_moment_of_a_refresh_works_or_asks_for_an_installation() {
    for (moment, grace, works) in [
        (Moment::Asked, 0, true),
        (Moment::Exchanged, 0, false),
        (Moment::Exchanged, 600, true),
        (Moment::Answered, 0, false),
        (Moment::Answered, 600, true),
        (Moment::Written, 0, true),
        (Moment::Used, 0, true),
    ] {
        let place = Place::made(grace).await;
        let mut gateway = place.start();
        place.register().await;
        place.portal.expire_tokens_of(&place.client_id);
        place.kill_at(moment, &mut gateway).await;
        let issued = place.issued();
        let kept = place.kept_pair().await;
        assert!(issued.contains(&kept), "{moment:?}: a mixed pair is kept");
        let newest = moment == Moment::Written || moment == Moment::Used;
        assert_eq!(kept == issued[0], !newest, "{moment:?}");

        let mut gateway = place.start();
        let said = place.say("after").await;
        match said {
            Ok(()) => assert!(works, "{moment:?} with {grace} s"),
            Err(status) => {
                let reason = status.get_details_error_info().unwrap().reason;
                assert_eq!(reason, "REAUTHORIZATION_REQUIRED", "{moment:?}");
                assert!(!works, "{moment:?} with {grace} s");
            }
        }
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        let kept = place.kept_pair().await;
        assert!(place.issued().contains(&kept), "{moment:?}: mixed at last");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_pair_is_not_used_before_it_could_be_written_down() {
    let place = Place::made(0).await;
    let mut gateway = place.start();
    place.register().await;
    let locked = lock(place.folder.path());
    place.portal.expire_tokens_of(&place.client_id);
    let calling = async {
        let said = place.say("patient").await;
        assert_eq!(place.refreshes(), 1);
        said
    };
    let unlocking = async {
        until(|| place.refreshes() == 1).await;
        until(|| place.could_not_store()).await;
        let texts = place.portal.messages(&place.chat.dialog_id());
        assert!(texts.iter().all(|message| message.text != "patient"));
        drop(locked);
    };
    let (said, ()) = tokio::join!(calling, unlocking);
    said.unwrap();
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    let (kept, issued) = (place.kept_pair().await, place.issued());
    assert_eq!(Some(&kept), issued.last());
}

/// A portal with an installed application, and the folder of a gateway that has its tokens.
struct Place {
    sim: Sim,
    portal: Portal,
    client_id: String,
    /// Access and refresh token of the installation.
    first: (String, String),
    chat: Chat,
    folder: TempDir,
    port: u16,
}

impl Place {
    /// `grace`: seconds for which a refresh token works on after it was exchanged.
    async fn made(grace: u64) -> Self {
        let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
        sim.oauth()
            .set_quirks(|quirks| quirks.refresh_grace = Duration::from_secs(grace));
        let config = PortalConfig {
            limits: Limits::none(),
            ..PortalConfig::default()
        };
        let portal = sim.add_portal(config).await.unwrap();
        portal.rename_to("a.portal.test").await.unwrap();
        let client_id = portal.add_application(ApplicationConfig {
            client_secret: Some(SECRET.to_owned()),
            ..ApplicationConfig::default()
        });
        let tokens = portal.install(&client_id, 1).unwrap();
        let chat = portal.add_group_chat("Support", &[1]);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
        let place = Self {
            first: (tokens.access_token.clone(), tokens.refresh_token.clone()),
            sim,
            portal,
            client_id,
            chat,
            folder,
            port: free_port(),
        };
        let now = Clock::system().now();
        let pair = Pair {
            member_id: place.portal.member_id(),
            user_id: Some(1),
            access_token: tokens.access_token.into(),
            refresh_token: tokens.refresh_token.into(),
            access_ends: now.saturating_add(SignedDuration::from_hours(1)).unwrap(),
            obtained_at: now,
            client_endpoint: format!("{}/rest/", place.portal.address()),
            server_endpoint: Some(format!("{}/rest/", place.sim.oauth().address())),
            scope: vec!["imbot".to_owned()],
            status: None,
            application_token: None,
        };
        let store = place.store().await;
        let saved = store.save_pair(&acme(), &pair, None).await.unwrap();
        assert!(saved.is_some());
        store.close().await;
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn store(&self) -> Store {
        let config = store::Config {
            dir: self.path("store"),
            keys: KeySource::File(self.path("keys")),
        };
        Store::open(config, Clock::system()).await.unwrap().store
    }

    fn start(&self) -> Child {
        let server = self.sim.oauth().address().replace("https://", "");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"));
        let log = File::create(self.path("log")).unwrap();
        command.arg("serve").stderr(log);
        for (name, value) in [
            ("DEFAULT_PORTAL", "acme".to_owned()),
            ("PORTALS__ACME__MEMBER_ID", self.portal.member_id()),
            ("OAUTH__CLIENT_ID", self.client_id.clone()),
            ("OAUTH__CLIENT_SECRET", SECRET.to_owned()),
            ("OAUTH__HOSTS", server),
            ("OUTBOUND__PORTAL_HOSTS", "portal.test".to_owned()),
            ("OUTBOUND__PRIVATE_ADDRESSES", "true".to_owned()),
            ("OUTBOUND__HOSTS", "a.portal.test=127.0.0.1".to_owned()),
            (
                "OUTBOUND__CA_FILE",
                self.path("ca.pem").display().to_string(),
            ),
            ("STORE__DIR", self.path("store").display().to_string()),
            ("STORE__KEY_FILE", self.path("keys").display().to_string()),
            ("GRPC__LISTEN", format!("127.0.0.1:{}", self.port)),
            ("ADMIN__LISTEN", String::new()),
            ("RATE__REQUESTS_PER_SECOND", "0".to_owned()),
            // Only what the test sends asks for tokens.
            ("POLLING__BUSY_PAUSE", "60s".to_owned()),
            ("POLLING__IDLE_PAUSE", "10m".to_owned()),
            ("LOG__LEVEL", "error".to_owned()),
        ] {
            command.env(format!("BITRIX24_GATEWAY__{name}"), value);
        }
        command.spawn().unwrap()
    }

    /// Runs into the refresh and kills the gateway there.
    async fn kill_at(&self, moment: Moment, gateway: &mut Child) {
        let faults = self.sim.oauth().faults();
        match moment {
            Moment::Asked => faults.on(TOKEN, Fault::hang()),
            Moment::Exchanged => {
                let slow = Fault::latency(Duration::from_secs(60));
                faults.on(TOKEN, slow.after_effect());
            }
            _ => {}
        }
        let locked = (moment == Moment::Answered).then(|| lock(self.folder.path()));
        let before = self.generation();
        let calling = tokio::spawn(send(self.port, self.chat, "before"));
        match moment {
            Moment::Asked | Moment::Exchanged => {
                until(|| self.sim.oauth().journal().arrivals() == 1).await;
                until(|| self.refreshes() == 1).await;
            }
            Moment::Answered => {
                until(|| self.could_not_store()).await;
            }
            Moment::Written => until(|| self.generation() > before).await,
            Moment::Used => {
                let posted = || {
                    let messages = self.portal.messages(&self.chat.dialog_id());
                    messages.iter().any(|message| message.text == "before")
                };
                until(posted).await;
            }
        }
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        drop(locked);
        calling.abort();
        faults.clear();
    }

    /// The number of the pair that is written down.
    fn generation(&self) -> i64 {
        let reader = database(self.folder.path(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let select = "SELECT generation FROM pairs WHERE portal = 'acme'";
        reader.query_row(select, [], |row| row.get(0)).unwrap()
    }

    /// Whether the gateway had new tokens, and the database was locked.
    fn could_not_store(&self) -> bool {
        let log = fs::read_to_string(self.path("log")).unwrap();
        log.contains("new tokens cannot be stored")
    }

    fn refreshes(&self) -> usize {
        self.sim.oauth().journal().calls(TOKEN).len()
    }

    /// All pairs that were ever issued, oldest first.
    fn issued(&self) -> Vec<(String, String)> {
        let answers = self.sim.oauth().journal().calls(TOKEN).into_iter();
        let pairs = answers.filter_map(|request| {
            let text = |name: &str| Some(request.answer.get(name)?.as_str()?.to_owned());
            Some((text("access_token")?, text("refresh_token")?))
        });
        std::iter::once(self.first.clone()).chain(pairs).collect()
    }

    async fn kept_pair(&self) -> (String, String) {
        let store = self.store().await;
        let kept = store.pair(&acme()).await.unwrap().unwrap();
        store.close().await;
        let open = |secret: &SecretString| secret.expose_secret().to_owned();
        (
            open(&kept.pair.access_token),
            open(&kept.pair.refresh_token),
        )
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
        let client = BotServiceClient::new(channel(self.port));
        let registered = async {
            loop {
                if let Ok(registered) = client.clone().register_bot(wish.clone()).await {
                    break registered.into_inner().bot.unwrap().id;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let id = timeout(Duration::from_secs(30), registered).await.unwrap();
        self.portal.add_bot_to_chat(id, self.chat.id, 1).unwrap();
    }

    /// Says something once the gateway is there.
    async fn say(&self, text: &str) -> Result<(), Status> {
        let said = async {
            loop {
                match send(self.port, self.chat, text).await {
                    // Nobody answers yet.
                    Err(status) if status.get_details_error_info().is_none() => {
                        sleep(Duration::from_millis(20)).await;
                    }
                    outcome => return outcome,
                }
            }
        };
        timeout(Duration::from_secs(30), said).await.unwrap()
    }
}

async fn send(port: u16, chat: Chat, text: &str) -> Result<(), Status> {
    let mut request = Request::new(pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: chat.dialog_id(),
        content: Some(pb::MessageContent {
            text: text.to_owned(),
            ..pb::MessageContent::default()
        }),
        ..pb::SendMessageRequest::default()
    });
    request.set_timeout(Duration::from_secs(25));
    let mut client = MessageServiceClient::new(channel(port));
    client.send_message(request).await.map(drop)
}

fn channel(port: u16) -> Channel {
    let endpoint = Channel::from_shared(format!("http://127.0.0.1:{port}"));
    endpoint.unwrap().connect_lazy()
}

fn acme() -> PortalId {
    "acme".parse().unwrap()
}
