//! A desk for whoever writes a bot: the gateway, a simulated portal with people in it, and a page in the
//! browser on which to talk to the bot and to see what made the conversation.
//!
//! It reads no configuration and no environment, so that it never calls a real portal by mistake.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bitrix24_sim::{ChangeDelivery, ChatPage, Ingress, Portal, PortalConfig, Sim, UserConfig};
use tempfile::TempDir;
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::{
    app::{self, App},
    clock::Clock,
    config::{self, Config, Flags, Sources},
    fault::Chain,
    grpc, http,
    lifecycle::Lifecycle,
    proto::v1::{self as pb, bot_service_client::BotServiceClient},
    telemetry,
};

/// How long a change of delivery may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where everything is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address of the gRPC API; of this machine, since everybody who reaches it may call.
    pub listen: SocketAddr,
    /// Address of the page; of this machine, for the same reason.
    pub page: SocketAddr,
    /// Address of the operator page, health and metrics; `None` for the usual one, if nobody has it.
    pub admin: Option<SocketAddr>,
    /// Folder for the store of the gateway, to keep it between runs; `None` for one that goes at the end.
    pub folder: Option<PathBuf>,
}

/// Why it did not start, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others could do whatever they like.
    #[error(
        "{flag} {address} is beyond this machine, and `dev` asks nobody who they are; name an address such as \
         127.0.0.1:{}",
        address.port()
    )]
    BeyondThisMachine {
        /// The flag.
        flag: &'static str,
        /// Its address.
        address: SocketAddr,
    },
    /// The folder cannot be used.
    #[error("folder {} cannot be used: {cause}; name another one with --folder", path.display())]
    Folder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Somebody else has an address.
    #[error("cannot listen on {address}: {cause}; name another address with {flag}")]
    Taken {
        /// The flag that names it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The simulated portal did not start.
    #[error("simulated portal: {}", Chain(.0))]
    Sim(#[from] bitrix24_sim::Error),
    /// The time of this machine is none.
    #[error("the clock of this machine is wrong")]
    Clock,
    /// The gateway does not like its configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// Logs cannot be written.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The gateway did not start, or broke off.
    #[error(transparent)]
    App(#[from] app::Error),
}

/// A desk that is ready to be used.
#[derive(Debug)]
pub struct Dev {
    app: App,
    page: ChatPage,
    portal: Portal,
    /// Posts to the gateway go through it.
    _ingress: Ingress,
    _sim: Sim,
    place: Place,
}

/// Where things are kept.
#[derive(Debug)]
enum Place {
    Kept(PathBuf),
    /// Until the end.
    Passing(TempDir),
}

impl Place {
    fn of(folder: Option<PathBuf>) -> Result<Self, Error> {
        let failed = |path: PathBuf| |cause| Error::Folder { path, cause };
        match folder {
            None => {
                let made = tempfile::tempdir();
                made.map(Self::Passing)
                    .map_err(failed(std::path::absolute(".").unwrap_or_default()))
            }
            Some(folder) => {
                std::fs::create_dir_all(&folder).map_err(failed(folder.clone()))?;
                Ok(Self::Kept(folder))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }
}

impl Dev {
    /// Starts portal and page, and builds the gateway.
    ///
    /// # Errors
    ///
    /// When an address is taken or not of this machine, or the folder cannot be used.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let own = [
            ("--listen", Some(options.listen)),
            ("--page", Some(options.page)),
            ("--admin", options.admin),
        ];
        for (flag, address) in own {
            if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
                return Err(Error::BeyondThisMachine { flag, address });
            }
        }
        let place = Place::of(options.folder.clone())?;
        let now = Clock::system().now().as_millisecond();
        let now = u64::try_from(now).map_err(|_| Error::Clock)?;
        let sim = Sim::start(bitrix24_sim::Config {
            starts_at: Duration::from_millis(now),
            ..bitrix24_sim::Config::default()
        })
        .await?;
        let portal = sim
            .add_portal(PortalConfig {
                // The portal begins anew each time, and a gateway that kept its place must not take its
                // events for ones it had: no portal raises a thousand events in a second.
                first_event_id: now,
                ..PortalConfig::default()
            })
            .await?;
        people(&portal);
        let ca_file = place.path().join("portal.pem");
        std::fs::write(&ca_file, sim.ca_pem()).map_err(|cause| Error::Folder {
            path: ca_file.clone(),
            cause,
        })?;
        let ingress = sim.open_ingress().await?;
        let config = config(&options, &portal, &ingress, place.path(), &ca_file)?;
        telemetry::start(&config.telemetry)?;
        telemetry::tell_panics();
        // The page's address is tried before the gateway waits for its store.
        let (found, gateway) = tokio::sync::watch::channel(None);
        let delivery = ChangeDelivery::new(move |code, mode| {
            let address = *gateway.borrow();
            async move { change_delivery(address, code, &mode).await }
        });
        let page = sim.open_chat(&portal, options.page, Some(delivery)).await;
        let page = page.map_err(|error| match error {
            bitrix24_sim::Error::Listen { address, cause } => Error::Taken {
                flag: "--page",
                address,
                cause,
            },
            other => Error::Sim(other),
        })?;
        let app = App::build(config, Clock::system()).await;
        let app = app.map_err(|error| match error {
            app::Error::Door(grpc::Error::Listen(address, cause)) => Error::Taken {
                flag: "--listen",
                address,
                cause,
            },
            app::Error::Lookout(http::Error::Listen(address, cause)) => Error::Taken {
                flag: "--admin",
                address,
                cause,
            },
            other => Error::App(other),
        })?;
        if let Some(address) = app.http_address() {
            ingress.leads_to(address);
        }
        found.send_replace(Some(app.address()));
        Ok(Self {
            app,
            page,
            portal,
            _ingress: ingress,
            _sim: sim,
            place,
        })
    }

    /// What to tell whoever started it: where everything is, and what to do next.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let mut lines = vec![
            format!("chat page   {}", self.page.url()),
            format!("gRPC API    {}, without a token", self.app.address()),
        ];
        if let Some(address) = self.app.admin_address() {
            lines.push(format!(
                "operators   http://{address}/, which says why a bot is silent"
            ));
        }
        lines.push(format!(
            "portal      {}, simulated, begins anew with each start",
            self.portal.address()
        ));
        let path = self.place.path().display();
        lines.push(match &self.place {
            Place::Kept(_) => format!("store       {path}, kept"),
            Place::Passing(_) => format!("store       {path}, gone at the end"),
        });
        lines.push(
            "next        start a bot, such as one that `new-bot` writes, and type to it on the page"
                .to_owned(),
        );
        lines.push("stop        Ctrl-C".to_owned());
        lines
    }

    /// Begins the stop when asked to.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        self.app.lifecycle()
    }

    /// Runs until the stop begins.
    ///
    /// # Errors
    ///
    /// When a part of the gateway ended by itself.
    pub async fn run(self) -> Result<(), Error> {
        // Portal and page stay until the gateway has ended: it may still speak to them.
        let Self {
            app,
            page,
            portal,
            _ingress: ingress,
            _sim: sim,
            place,
        } = self;
        let ended = app.run().await;
        drop((page, portal, ingress, sim, place));
        Ok(ended?)
    }
}

/// Somebody to talk as, and somewhere to talk. The first person of a portal is there already.
fn people(portal: &Portal) {
    let person = |first: &str, last: &str, position: &str| {
        portal.add_user(UserConfig {
            work_position: position.to_owned(),
            ..UserConfig::named(first, last)
        })
    };
    let anna = person("Anna", "Weber", "Support");
    let ben = person("Ben", "Carter", "Sales");
    let olga = portal.add_user(UserConfig {
        extranet: true,
        work_position: "Customer".to_owned(),
        ..UserConfig::named("Olga", "Petrova")
    });
    for (title, members) in [
        ("Support", vec![1, anna, ben]),
        ("Customer Petrova", vec![anna, olga]),
    ] {
        // Only its name on the page leads to it.
        let _chat = portal.add_group_chat(title, &members);
    }
}

fn config(
    options: &Options,
    portal: &Portal,
    ingress: &Ingress,
    folder: &Path,
    ca_file: &Path,
) -> Result<Config, Error> {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut settings = vec![
        ("webhook_url", portal.webhook_url()),
        ("grpc.listen", options.listen.to_string()),
        ("http.listen", "127.0.0.1:0".to_owned()),
        ("http.public_url", ingress.url()),
        ("store.dir", path("store")),
        ("store.key_file", path("keys")),
        ("outbound.ca_file", ca_file.display().to_string()),
        // Whoever tries something out does not want to wait for a quiet bot.
        ("polling.idle_pause", "1s".to_owned()),
        ("log.level", "warn,audit=off".to_owned()),
    ];
    settings.extend(
        options
            .admin
            .map(|address| ("admin.listen", address.to_string())),
    );
    let mut config = Config::load(&Sources {
        flags: Flags(settings),
        ..Sources::default()
    })?;
    if let Some(lookout) = &mut config.lookout {
        lookout.named_by = "--admin";
    }
    Ok(config)
}

/// Asks the gateway for it, as the service that owns the bot would.
async fn change_delivery(
    gateway: Option<SocketAddr>,
    code: String,
    mode: &str,
) -> Result<(), String> {
    let Some(address) = gateway else {
        return Err("the gateway is not ready yet".to_owned());
    };
    let event_mode = match mode {
        "webhook" => pb::EventMode::Webhook,
        _ => pb::EventMode::Fetch,
    };
    let changing = async {
        let endpoint = Channel::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|error| error.to_string())?;
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|error| Chain(&error).to_string())?;
        let request = pb::UpdateBotRequest {
            bot_code: code,
            event_mode: event_mode.into(),
            ..pb::UpdateBotRequest::default()
        };
        let changed = BotServiceClient::new(channel).update_bot(request).await;
        changed.map_err(|status| status.message().to_owned())?;
        Ok(())
    };
    timeout(PATIENCE, changing)
        .await
        .unwrap_or_else(|_| Err("the gateway did not answer in time".to_owned()))
}
