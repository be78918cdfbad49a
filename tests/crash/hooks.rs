//! Killed while portals post events to it.
//!
//! Whatever was answered with 200 is in the log after the next start, and what was not stored was never
//! answered so.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, stream_start::Position,
    subscribe_command_events_response::Item,
};
use bitrix24_sim::{Limits, Portal, PortalConfig, Sim};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{PATIENCE, free_port, lock};

/// How often the process is killed, and who posts meanwhile.
const KILLS: usize = 4;
const SENDERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_with_200_is_there_after_a_kill() {
    let place = Place::made().await;
    let mut gateway = place.start().await;
    place.register().await;
    let (path, token) = place.address();
    let mut taken = BTreeSet::new();
    for round in 0..KILLS {
        let (told, mut answered) = mpsc::unbounded_channel();
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let (told, path, token) = (told.clone(), path.clone(), token.clone());
            let (bot_id, port) = (place.bot_id(), place.http_port);
            senders.spawn(async move {
                for number in 0.. {
                    let name = format!("{round}-{sender}-{number}");
                    let body = body(bot_id, &token, &name);
                    if post(port, &path, &body).await != Some(200) {
                        // Killed.
                        return;
                    }
                    // The one who counts may have seen enough.
                    let _counted = told.send(name);
                }
            });
        }
        drop(told);
        for _ in 0..20 + 7 * round {
            let name = timeout(PATIENCE, answered.recv()).await.unwrap();
            taken.insert(name.unwrap());
        }
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        while let Some(name) = answered.recv().await {
            taken.insert(name);
        }
        senders.shutdown().await;
        gateway = place.start().await;
    }
    let (found, gaps) = place.log(KILLS).await;
    let lost: Vec<_> = taken.iter().filter(|name| !found.contains(*name)).collect();
    assert_eq!(lost, Vec::<&String>::new(), "of {}", taken.len());
    assert!(gaps >= KILLS, "each absence is a gap: {gaps}");
    gateway.kill().unwrap();
    gateway.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_with_200_before_it_is_stored() {
    let place = Place::made().await;
    let mut gateway = place.start().await;
    place.register().await;
    let (path, token) = place.address();
    let (bot_id, port) = (place.bot_id(), place.http_port);
    assert_eq!(
        post(port, &path, &body(bot_id, &token, "before")).await,
        Some(200)
    );
    let locked = lock(place.folder.path());
    let posting = {
        let (path, body) = (path.clone(), body(bot_id, &token, "locked"));
        tokio::spawn(async move { post(port, &path, &body).await })
    };
    // The database waits for five seconds; killed within them.
    sleep(Duration::from_secs(1)).await;
    assert!(!posting.is_finished());
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    drop(locked);
    assert_eq!(posting.await.unwrap(), None);
    gateway = place.start().await;
    let (found, gaps) = place.log(1).await;
    assert_eq!(found, BTreeSet::from(["before".to_owned()]));
    assert_eq!(gaps, 1, "and that it may be missing is told");
    gateway.kill().unwrap();
    gateway.wait().unwrap();
}

/// Run by `.ci/full-disk`, which makes a disk for it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a small disk of its own: .ci/full-disk"]
async fn what_was_answered_with_200_outlives_a_full_disk_and_a_kill_on_it() {
    let disk = crate::text("GATEWAY_SMALL_DISK").expect("GATEWAY_SMALL_DISK names a small disk");
    let place = Place::made_in(tempfile::tempdir_in(disk).unwrap()).await;
    // What somebody else has on the disk, and takes away later.
    let ballast = place.path("ballast");
    fs::write(&ballast, vec![7; 2 << 20]).unwrap();
    let mut gateway = place.start().await;
    place.register().await;
    let (path, token) = place.address();
    let (bot_id, port) = (place.bot_id(), place.http_port);
    let posting = async |name: &str| {
        // Many bytes in few posts.
        let text = format!("{name}-{}", "x".repeat(10_000));
        (post(port, &path, &body(bot_id, &token, &text)).await, text)
    };
    let mut taken = BTreeSet::new();
    loop {
        let (status, text) = posting(&format!("{}", taken.len())).await;
        if status != Some(200) {
            assert_eq!(status, Some(503));
            break;
        }
        taken.insert(text);
        assert!(taken.len() < 5000, "the disk is too large for this");
    }
    assert!(taken.len() > 20, "the disk is too small: {}", taken.len());
    assert_eq!(posting("full").await.0, Some(503));
    place.until_ready(false).await;

    gateway.kill().unwrap();
    gateway.wait().unwrap();
    gateway = place.start().await;
    assert_ne!(posting("full").await.0, Some(200));
    fs::remove_file(ballast).unwrap();
    place.until_ready(true).await;
    let (status, text) = posting("afterwards").await;
    assert_eq!(status, Some(200));
    taken.insert(text);
    let (found, _) = place.log(1).await;
    assert_eq!(found, taken);
    gateway.kill().unwrap();
    gateway.wait().unwrap();
}

/// What a portal posts when somebody calls a command.
fn body(bot_id: i64, token: &str, name: &str) -> String {
    let synthetic: String = format!("custom{token}").chars().take(50).collect();
    let bot_id = bot_id.to_string();
    let fields = [
        ("event", "ONIMBOTV2COMMANDADD"),
        ("data[bot][id]", &bot_id),
        ("data[command][id]", "1"),
        ("data[command][command]", "/help"),
        ("data[command][params]", name),
        ("ts", "1795168800"),
        ("auth[application_token]", &synthetic),
    ];
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    form.finish()
}

/// The status of the answer, if there is one.
async fn post(port: u16, path: &str, body: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: gateway.test\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    // A connection that breaks off behind an answer takes nothing of it back.
    let _ended = stream.read_to_string(&mut answer).await;
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// A portal and a gateway that it can reach.
struct Place {
    _sim: Sim,
    portal: Portal,
    folder: TempDir,
    port: u16,
    http_port: u16,
}

impl Place {
    async fn made() -> Self {
        Self::made_in(tempfile::tempdir().unwrap()).await
    }

    async fn made_in(folder: TempDir) -> Self {
        let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
        let config = PortalConfig {
            limits: Limits::none(),
            ..PortalConfig::default()
        };
        let portal = sim.add_portal(config).await.unwrap();
        fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
        Self {
            _sim: sim,
            portal,
            folder,
            port: free_port(),
            http_port: free_port(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn start(&self) -> Child {
        let text = |name: &str| self.path(name).display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"));
        command.arg("serve").stderr(Stdio::null());
        for (name, value) in [
            ("WEBHOOK_URL", self.portal.webhook_url()),
            ("OUTBOUND__CA_FILE", text("ca.pem")),
            ("STORE__DIR", text("store")),
            ("STORE__KEY_FILE", text("keys")),
            ("GRPC__LISTEN", format!("127.0.0.1:{}", self.port)),
            ("ADMIN__LISTEN", String::new()),
            ("HTTP__LISTEN", format!("127.0.0.1:{}", self.http_port)),
            ("HTTP__PUBLIC_URL", "https://gateway.test".to_owned()),
        ] {
            command.env(format!("BITRIX24_GATEWAY__{name}"), value);
        }
        let child = command.spawn().unwrap();
        let ready = async {
            while TcpStream::connect(("127.0.0.1", self.http_port))
                .await
                .is_err()
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ready).await.unwrap();
        child
    }

    /// Waits until it says that it serves, or that it does not.
    async fn until_ready(&self, ready: bool) {
        let endpoint = Channel::from_shared(format!("http://127.0.0.1:{}", self.port));
        let mut health = HealthClient::new(endpoint.unwrap().connect_lazy());
        let wanted = match ready {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        let asking = async {
            loop {
                let told = health.check(HealthCheckRequest::default()).await;
                if told.is_ok_and(|told| told.into_inner().status() == wanted) {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, asking).await.unwrap();
    }

    fn client(&self) -> BotServiceClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://127.0.0.1:{}", self.port));
        BotServiceClient::new(endpoint.unwrap().connect_lazy())
    }

    async fn register(&self) {
        let wish = pb::RegisterBotRequest {
            bot_code: "helper".to_owned(),
            properties: Some(pb::BotProperties {
                name: Some("Helper".to_owned()),
                ..pb::BotProperties::default()
            }),
            event_mode: pb::EventMode::Webhook.into(),
            ..pb::RegisterBotRequest::default()
        };
        let registered = async {
            while self.client().register_bot(wish.clone()).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, registered).await.unwrap();
    }

    fn bot_id(&self) -> i64 {
        self.portal.bot_by_code("helper").unwrap().id
    }

    /// The path to which the portal posts, and the token that it shows.
    fn address(&self) -> (String, String) {
        let bot = self.portal.bot_by_code("helper").unwrap();
        let path = bot.webhook_url.strip_prefix("https://gateway.test");
        (path.unwrap().to_owned(), bot.token.unwrap())
    }

    /// The commands that are in the log, and how many gaps. Ends with one that is posted now.
    async fn log(&self, least_gaps: usize) -> (BTreeSet<String>, usize) {
        let (path, token) = self.address();
        let last = body(self.bot_id(), &token, "last");
        assert_eq!(post(self.http_port, &path, &last).await, Some(200));
        let request = pb::SubscribeCommandEventsRequest {
            start: Some(pb::StreamStart {
                position: Some(Position::Point(pb::StreamStartPoint::Earliest.into())),
            }),
            ..pb::SubscribeCommandEventsRequest::default()
        };
        let stream = self.client().subscribe_command_events(request).await;
        let mut stream = stream.unwrap().into_inner();
        let mut found = BTreeSet::new();
        let (mut gaps, mut ended) = (0, false);
        // A gap is written while events are taken already.
        while !ended || gaps < least_gaps {
            let next = timeout(PATIENCE, stream.message()).await.unwrap();
            match next.unwrap().unwrap().item {
                Some(Item::Event(event)) => {
                    let Some(pb::event::Body::CommandAdded(added)) = event.body else {
                        continue;
                    };
                    let params = added.command.unwrap().params;
                    match &*params {
                        "last" => ended = true,
                        _ => assert!(found.insert(params), "twice"),
                    }
                }
                Some(Item::Gap(_)) => gaps += 1,
                _ => {}
            }
        }
        (found, gaps)
    }
}
