//! Killed while our application is installed in a portal.
//!
//! Whenever that happens, what the next start finds is nothing or the whole pair, and the portal works with
//! it or after being told again.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use bitrix24_sim::{ApplicationConfig, Fault, Limits, Portal, PortalConfig, Sim};
use rusqlite::OpenFlags;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tonic::transport::Channel;

use crate::{PATIENCE, database, free_port, lock, until};

const CLIENT: &str = "app.573ad8a0346747.09223434";
const SECRET: &str = "client-secret";
const INFO: &str = "app.info";

/// When the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The authorization server was asked whether it is true.
    Asked,
    /// It is true, and cannot be written down.
    Vouched,
    /// It is written down.
    Written,
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_killed_at_any_moment_of_an_installation_has_all_of_it_or_nothing() {
    for moment in [Moment::Asked, Moment::Vouched, Moment::Written] {
        let place = Place::made().await;
        let mut gateway = place.start().await;
        let callback = place.callback();
        let faults = place.sim.oauth().faults();
        if moment == Moment::Asked {
            faults.on(INFO, Fault::hang());
        }
        let locked = (moment == Moment::Vouched).then(|| lock(place.folder.path()));
        place.tell(&callback).await;
        match moment {
            Moment::Asked => until(|| faults.waiting() == 0).await,
            Moment::Vouched => until(|| place.could_not_store()).await,
            Moment::Written => until(|| place.pairs() == 1).await,
        }
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        drop(locked);
        let whole = moment == Moment::Written;
        assert_eq!(place.pairs(), i64::from(whole), "{moment:?}");

        let mut gateway = place.start().await;
        if !whole {
            place.tell(&callback).await;
        }
        place.serves().await;
        gateway.kill().unwrap();
        gateway.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn installation_is_kept_once_the_store_can_be_written_again() {
    let place = Place::made().await;
    let mut gateway = place.start().await;
    let locked = lock(place.folder.path());
    place.tell(&place.callback()).await;
    until(|| place.could_not_store()).await;
    drop(locked);
    place.serves().await;
    gateway.kill().unwrap();
    gateway.wait().unwrap();
}

/// A portal in which our application is installed, and a gateway that is to hear of it.
struct Place {
    sim: Sim,
    portal: Portal,
    folder: TempDir,
    port: u16,
    http_port: u16,
}

impl Place {
    async fn made() -> Self {
        let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
        let config = PortalConfig {
            limits: Limits::none(),
            ..PortalConfig::default()
        };
        let portal = sim.add_portal(config).await.unwrap();
        portal.rename_to("a.portal.test").await.unwrap();
        let _known = portal.add_application(ApplicationConfig {
            client_id: Some(CLIENT.to_owned()),
            client_secret: Some(SECRET.to_owned()),
            ..ApplicationConfig::default()
        });
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
        Self {
            sim,
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
        let server = self.sim.oauth().address().replace("https://", "");
        let text = |name: &str| self.path(name).display().to_string();
        let log = File::create(self.path("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"));
        command.arg("serve").stderr(log);
        for (name, value) in [
            ("OAUTH__CLIENT_ID", CLIENT.to_owned()),
            ("OAUTH__CLIENT_SECRET", SECRET.to_owned()),
            ("OAUTH__HOSTS", server),
            ("OUTBOUND__PORTAL_HOSTS", "portal.test".to_owned()),
            ("OUTBOUND__PRIVATE_ADDRESSES", "true".to_owned()),
            ("OUTBOUND__HOSTS", "a.portal.test=127.0.0.1".to_owned()),
            ("OUTBOUND__CA_FILE", text("ca.pem")),
            ("STORE__DIR", text("store")),
            ("STORE__KEY_FILE", text("keys")),
            ("GRPC__LISTEN", format!("127.0.0.1:{}", self.port)),
            ("ADMIN__LISTEN", String::new()),
            ("HTTP__LISTEN", format!("127.0.0.1:{}", self.http_port)),
            ("HTTP__PUBLIC_URL", "https://gateway.test".to_owned()),
            ("HTTP__INSECURE", "true".to_owned()),
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

    /// Somebody installs the application: what the portal says of it.
    fn callback(&self) -> String {
        let tokens = self.portal.install(CLIENT, 1).unwrap();
        let proof = self.portal.application(CLIENT).unwrap().application_token;
        let server = format!("{}/rest/", self.sim.oauth().address());
        let domain = self.portal.address().replace("https://", "");
        let member = self.portal.member_id();
        let fields = [
            ("event", "ONAPPINSTALL"),
            ("ts", "1"),
            ("data[VERSION]", "1"),
            ("auth[access_token]", &tokens.access_token),
            ("auth[refresh_token]", &tokens.refresh_token),
            ("auth[expires_in]", "3600"),
            ("auth[scope]", "im imbot"),
            ("auth[domain]", &domain),
            ("auth[client_endpoint]", &format!("https://{domain}/rest/")),
            ("auth[server_endpoint]", &server),
            ("auth[status]", "L"),
            ("auth[member_id]", &member),
            ("auth[application_token]", &proof),
        ];
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        form.finish()
    }

    async fn tell(&self, callback: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http_port))
            .await
            .unwrap();
        let request = format!(
            "POST /bitrix24/events HTTP/1.1\r\nhost: gateway.test\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{callback}",
            callback.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Registers a bot with the tokens that came.
    async fn serves(&self) {
        let endpoint = Channel::from_shared(format!("http://127.0.0.1:{}", self.port));
        let bots = BotServiceClient::new(endpoint.unwrap().connect_lazy());
        let wish = pb::RegisterBotRequest {
            portal: self.portal.member_id(),
            bot_code: "helper".to_owned(),
            properties: Some(pb::BotProperties {
                name: Some("Helper".to_owned()),
                ..pb::BotProperties::default()
            }),
            ..pb::RegisterBotRequest::default()
        };
        let registered = async {
            while bots.clone().register_bot(wish.clone()).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, registered).await.unwrap();
        assert!(self.portal.bot_by_code("helper").is_some());
    }

    /// How many pairs are written down.
    fn pairs(&self) -> i64 {
        let reader = database(self.folder.path(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let count = "SELECT count(*) FROM pairs";
        reader.query_row(count, [], |row| row.get(0)).unwrap()
    }

    /// Whether the gateway had tokens, and the database was locked.
    fn could_not_store(&self) -> bool {
        let log = fs::read_to_string(self.path("log")).unwrap();
        log.contains("tokens of an installation cannot be stored")
    }
}
