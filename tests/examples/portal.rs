//! A simulated portal with a person in it, and a gateway that can be restarted behind one address.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bitrix24_gateway::{
    app::App,
    clock::Clock,
    config::{Config, Flags, Sources},
    lifecycle::Lifecycle,
    proto::v1::{
        self as pb, bot_service_client::BotServiceClient, event_service_client::EventServiceClient,
    },
};
use bitrix24_sim::{Chat, Limits, Portal, PortalConfig, Sim, UserConfig};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep},
};
use tonic::transport::Channel;

use crate::tools::Bot;

/// How long anything may take that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The gateway's Unix socket, in the folder of its world.
const SOCKET: &str = "gateway.sock";

/// Waits until something is the case.
pub(crate) async fn until(what: &str, bot: &mut Bot, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            bot.runs() && Instant::now() < end,
            "it did not happen: {what}\n{}",
            bot.log()
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// Everything around a bot.
pub(crate) struct World {
    folder: TempDir,
    _sim: Sim,
    portal: Portal,
    anna: i64,
    chat: Chat,
    bot_code: &'static str,
    gateway: Gateway,
    address: SocketAddr,
    /// Where the gateway is now, if it runs.
    behind: Arc<Mutex<Option<SocketAddr>>>,
}

struct Gateway {
    life: Lifecycle,
    address: SocketAddr,
    running: JoinHandle<()>,
}

impl World {
    pub(crate) async fn start(bot_code: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
        std::fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
        let portal = sim
            .add_portal(PortalConfig {
                limits: Limits::none(),
                ..PortalConfig::default()
            })
            .await
            .unwrap();
        let anna = portal.add_user(UserConfig::named("Anna", "Weber"));
        let chat = portal.add_group_chat("Numbers", &[1, anna]);
        let gateway = Gateway::start(&portal, folder.path()).await;
        let behind = Arc::new(Mutex::new(Some(gateway.address)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(pass_on(listener, Arc::clone(&behind)));
        Self {
            folder,
            _sim: sim,
            portal,
            anna,
            chat,
            bot_code,
            gateway,
            address,
            behind,
        }
    }

    /// Where bots find the gateway, also after a restart.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What calls the portal without the gateway.
    pub(crate) fn webhook_url(&self) -> String {
        self.portal.webhook_url()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The gateway's own Unix socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Waits until the bot registered itself and its commands, and brings it into the chat.
    pub(crate) async fn wait_for_commands(&self, bot: &mut Bot) {
        let registered = || {
            let known = self.portal.bot_by_code(self.bot_code)?;
            let commands = self.portal.commands(known.id);
            (commands.len() == 2).then_some(known.id)
        };
        until("the bot registers its commands", bot, || {
            registered().is_some()
        })
        .await;
        let bot_id = registered().unwrap();
        self.portal
            .add_bot_to_chat(bot_id, self.chat.id, self.anna)
            .unwrap();
    }

    /// A command that the bot knows nothing of.
    pub(crate) async fn register_command(&self, name: &str) {
        let channel = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        let mut client = BotServiceClient::new(channel.connect_lazy());
        let command = pb::RegisterCommandRequest {
            bot_code: self.bot_code.to_owned(),
            command: name.to_owned(),
            title: [("en".to_owned(), name.to_owned())].into(),
            ..pb::RegisterCommandRequest::default()
        };
        client.register_command(command).await.unwrap();
    }

    /// Waits until the bot has so many workers at the gateway.
    pub(crate) async fn wait_for_workers(&self, count: i32, bot: &mut Bot) {
        let channel = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        let mut client = EventServiceClient::new(channel.connect_lazy());
        let end = Instant::now() + PATIENCE;
        loop {
            let name = self.bot_code.to_owned();
            let found = client.get_subscription(pb::GetSubscriptionRequest { name });
            let found = found.await.unwrap().into_inner().subscription.unwrap();
            if found.streams == count {
                return;
            }
            assert!(
                bot.runs() && Instant::now() < end,
                "{} workers\n{}",
                found.streams,
                bot.log()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn types(&self, text: &str) {
        let anna = self.portal.user(self.anna);
        anna.types(&self.chat.dialog_id(), text).unwrap();
    }

    /// What the bot wrote into the chat, oldest first.
    pub(crate) fn answers(&self) -> Vec<String> {
        let bot = self.portal.bot_by_code(self.bot_code).unwrap();
        let messages = self.portal.messages(&self.chat.dialog_id());
        let own = messages
            .into_iter()
            .filter(|message| message.author_id == bot.id);
        own.map(|message| message.text).collect()
    }

    pub(crate) async fn wait_for_answer(&self, text: &str, bot: &mut Bot) {
        until(text, bot, || {
            self.answers().iter().any(|answer| answer == text)
        })
        .await;
    }

    /// The gateway stops and starts again, with the same store, at another port.
    pub(crate) async fn restart_gateway(&mut self) {
        *self.behind.lock().unwrap() = None;
        self.gateway.stop().await;
        self.gateway = Gateway::start(&self.portal, self.folder.path()).await;
        *self.behind.lock().unwrap() = Some(self.gateway.address);
    }

    pub(crate) async fn stop(mut self) {
        self.gateway.stop().await;
    }
}

impl Gateway {
    async fn start(portal: &Portal, folder: &Path) -> Self {
        let path = |name: &str| folder.join(name).display().to_string();
        let settings = [
            ("webhook_url", portal.webhook_url()),
            ("grpc.listen", "127.0.0.1:0".to_owned()),
            ("grpc.socket", path(SOCKET)),
            ("admin.listen", String::new()),
            ("store.dir", path("store")),
            ("store.key_file", path("keys")),
            ("outbound.ca_file", path("ca.pem")),
            ("rate.requests_per_second", "0".to_owned()),
            ("polling.busy_pause", "100ms".to_owned()),
            ("polling.idle_pause", "100ms".to_owned()),
        ];
        let config = Config::load(&Sources {
            flags: Flags(settings.into()),
            ..Sources::default()
        });
        let app = App::build(config.unwrap(), Clock::system()).await.unwrap();
        Self {
            life: app.lifecycle().clone(),
            address: app.address(),
            running: tokio::spawn(async { app.run().await.unwrap() }),
        }
    }

    async fn stop(&mut self) {
        self.life.begin_stop();
        (&mut self.running).await.unwrap();
    }
}

/// Passes connections on to wherever the gateway is; while it is nowhere they end at once.
async fn pass_on(listener: TcpListener, behind: Arc<Mutex<Option<SocketAddr>>>) {
    while let Ok((mut caller, _)) = listener.accept().await {
        let Some(address) = *behind.lock().unwrap() else {
            continue;
        };
        tokio::spawn(async move {
            if let Ok(mut gateway) = TcpStream::connect(address).await {
                // Either side may leave as it likes.
                let _ended = copy_bidirectional(&mut caller, &mut gateway).await;
            }
        });
    }
}
