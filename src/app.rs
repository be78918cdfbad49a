//! Wires the parts together, and takes them apart in order.

mod check;
mod credentials;
mod gauges;
mod health;
mod keeping;
mod reload;
mod sealing;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use self::check::{check, limits};
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use self::health::Lookout;
use crate::{
    admin::{self, Keeper, Live},
    bots::{self, Bots},
    callers::{self, Callers, service_account::ServiceAccounts},
    clock::Clock,
    config::{self, AdminSocket, Config, Reload, Reread},
    diagnosis::Diagnosis,
    events::Events,
    fault::Chain,
    grpc::{self, Audit, Failures, HealthService, Ledger, Parts, Server},
    http,
    lifecycle::{GRACE, Lifecycle, Part},
    portal::{self, Portals},
    store::{self, Opened, Store},
    telemetry::{
        self, Measurements, Recent, Render,
        otlp::{self, Otlp},
    },
};

/// How long connections may take to close once the last call of them ended.
const LINGER: Duration = Duration::from_secs(1);

/// How often the configuration file is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How often a store that cannot be written is tried again.
const PROBE: Duration = Duration::from_secs(5);

/// A gateway, ready to run.
#[derive(Debug)]
pub struct App {
    store: Store,
    portals: Portals,
    bots: Bots,
    events: Events,
    server: Server,
    http: Option<http::Server>,
    http_address: Option<SocketAddr>,
    admin: Option<admin::Server>,
    callers: Callers,
    reload: Option<Reload>,
    reread: Option<Reread>,
    address: SocketAddr,
    lookout: Option<Lookout>,
    delay: Duration,
    created_key_file: Option<PathBuf>,
    measurements: Option<Measurements>,
    otlp: Option<Otlp>,
    life: Lifecycle,
}

/// Why the gateway cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be opened.
    #[error("store: {}", Chain(.0))]
    Store(#[from] store::Error),
    /// The settings do not fit what the store holds.
    #[error(transparent)]
    Settings(#[from] config::Error),
    /// Callers cannot be told apart.
    #[error("configuration: {0}")]
    Callers(#[from] callers::Unclear),
    /// What the store holds cannot be used.
    #[error("store: {}", Chain(.0))]
    Bots(#[from] bots::Error),
    /// Logs cannot be written so.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// Calls to portals cannot be set up.
    #[error("configuration: `outbound.ca_file`: {}", Chain(.0))]
    Transport(#[from] portal::transport::Error),
    /// Nothing can be measured.
    #[error("measurements: {0}")]
    Measurements(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// Traces cannot be sent.
    #[error("configuration: `telemetry`: {}", Chain(.0))]
    Otlp(#[from] otlp::Error),
    /// Nobody can be let in.
    #[error(transparent)]
    Door(#[from] grpc::Error),
    /// Nobody can be let in over HTTP.
    #[error("HTTP server: {0}")]
    Http(#[from] http::Error),
    /// Commands cannot be taken.
    #[error("cannot listen on {}: {cause}", path.display())]
    Admin {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// Operators cannot look.
    #[error("admin HTTP server: {0}")]
    Lookout(#[source] http::Error),
    /// Accepting connections failed.
    #[error("gRPC server: {}", Chain(.0))]
    Serve(#[source] tonic::transport::Error),
    /// Nothing can be kept any more.
    #[error("the store's writer ended unexpectedly")]
    Writer,
    /// A background task panicked.
    #[error("a part of the gateway broke: {0}")]
    Panicked(&'static str),
    /// A part ended that should not have.
    #[error("a part of the gateway ended unexpectedly: {0}")]
    Broken(#[source] tokio::task::JoinError),
}

impl App {
    /// Opens the store, takes the address, and makes every part, but starts none. Waits for the store
    /// as long as another process holds it.
    ///
    /// # Errors
    ///
    /// The first part that cannot be made.
    pub async fn build(config: Config, clock: Clock) -> Result<Self, Error> {
        let life = Lifecycle::with_fault(config.fault);
        let (otlp, tracer) = Otlp::start_if(config.telemetry.otlp, config.telemetry.tracer)?;
        let (meter, measurements) = match config.telemetry.meter {
            Some(meter) => (meter, None),
            None => {
                let own = Measurements::new(|builder| match &otlp {
                    Some(otlp) => otlp.also_measures(builder),
                    None => builder,
                })?;
                (own.meter(), Some(own))
            }
        };
        if let Some(otlp) = &otlp {
            otlp.measured_by(&meter);
        }
        life.health().fails(Part::Start, "starting");
        let render = measurements.as_ref().map(Measurements::render);
        let lookout = health::look_out(config.lookout, render, &life).await?;
        let Opened {
            store,
            created_key_file,
            restored,
            unclean,
        } = health::open(config.store, clock, life.health()).await?;
        let names = admin::Names {
            callers: config.callers.keys().cloned().collect(),
            portals: config.portals.portals.keys().cloned().collect(),
        };
        store.measured_by(&meter);
        let kept = keeping::portals(&store, &config.portals, restored).await?;
        let named = keeping::named(&names, &kept);
        let callers = keeping::callers(&store, config.callers, named).await?;
        if config.needs_callers && callers.policy().is_open() {
            return Err(config::no_callers(config.grpc.door.listen).into());
        }
        let portals = Portals::new(config.portals, clock, &store, kept, &meter, &life)?;
        portals.measured_by(&meter);
        keeping::tell_if_held(&portals);
        portals.remember(&store).await?;
        let hooks = config.http.as_ref().map(http::Config::hooks);
        let bots = Bots::load(store.clone(), portals.clone(), clock, hooks, &meter).await?;
        let of = (bots.clone(), portals.clone());
        let keeps = config.events.retention_bytes;
        let ours = (tracer.clone(), life.clone());
        let events = Events::load(store.clone(), of, clock, config.events, ours, &meter);
        let events = events.await?;
        gauges::tell(&meter, &store, clock, keeps);
        if unclean {
            life.spawn(
                "look over the store",
                health::look_over(store.clone(), life.clone()),
            );
        }
        let recent = Recent::new(clock);
        let diagnosis = Diagnosis::new(
            store.clone(),
            (portals.clone(), bots.clone(), events.clone()),
            callers.clone(),
            (life.health().clone(), recent.clone()),
            clock,
        );
        let accounts = config.service_accounts;
        let accounts = accounts.map(|accounts| ServiceAccounts::new(accounts, clock));
        let parts = Parts {
            portals: portals.clone(),
            bots: bots.clone(),
            events: events.clone(),
            ledger: Ledger::new(store.clone(), clock),
            log_id: store.log_id(),
            life: life.clone(),
            callers: callers.clone(),
            accounts,
            audit: Audit::default(),
            meter: meter.clone(),
            failures: Failures::default(),
            recent: recent.clone(),
            tracer,
        };
        let asked = config.grpc.door.listen;
        let bound = async {
            let server = Server::bind(config.grpc, parts).await?;
            let http = match config.http {
                Some(config) => {
                    let (portals, bots) = (portals.clone(), bots.clone());
                    let (events, life) = (events.clone(), life.clone());
                    Some(http::Server::bind(&config, portals, bots, events, life).await?)
                }
                None => None,
            };
            Ok::<_, Error>((server, http))
        };
        let (server, http) = match bound.await {
            Ok(bound) => bound,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        let live = Live {
            portals: portals.clone(),
            callers: callers.clone(),
            subscriptions: events.subscriptions().clone(),
            diagnosis: diagnosis.clone(),
            authorizations: http.as_ref().map(http::Server::authorizations),
        };
        let admin = match keeping::commands(config.admin, &store, clock, names, live, &life) {
            Ok(admin) => admin,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        if let Some(lookout) = &lookout {
            lookout.window.open(diagnosis);
        }
        let unheard = |cause| grpc::Error::Listen(asked, cause);
        Ok(Self {
            admin,
            address: server.address().map_err(unheard)?,
            http_address: http.as_ref().and_then(|http| http.address().ok()),
            http,
            lookout,
            delay: config.shutdown_delay,
            callers,
            reload: config.reload,
            reread: config.reread,
            store,
            portals,
            bots,
            events,
            server,
            created_key_file,
            measurements,
            otlp,
            life,
        })
    }

    /// Where the gRPC API is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where installations and callbacks come in, if anywhere.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Where operators look at health, if anywhere.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.lookout.as_ref().and_then(|lookout| lookout.address)
    }

    /// Where links are made by which people authorize portals, if they can come back.
    #[must_use]
    pub fn authorizations(&self) -> Option<http::Authorizations> {
        self.http.as_ref().map(http::Server::authorizations)
    }

    /// The portals: which there are, and where new ones are installed.
    #[must_use]
    pub fn portals(&self) -> &Portals {
        &self.portals
    }

    /// The key file made for a new store, of which the operator must keep a copy.
    #[must_use]
    pub fn created_key_file(&self) -> Option<&PathBuf> {
        self.created_key_file.as_ref()
    }

    /// Writes down what is measured; `None` where that goes elsewhere.
    #[must_use]
    pub fn measurements(&self) -> Option<Render> {
        self.measurements.as_ref().map(Measurements::render)
    }

    /// Begins the stop when asked to.
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.life
    }

    /// Runs until the stop begins: then no new calls are taken, streams end, calls in flight finish,
    /// and the store is closed.
    ///
    /// # Errors
    ///
    /// When a part ended by itself.
    pub async fn run(self) -> Result<(), Error> {
        let Self {
            store,
            portals,
            bots,
            events,
            server,
            http,
            http_address,
            admin,
            callers,
            reload,
            reread,
            address,
            lookout,
            measurements,
            delay,
            otlp,
            life,
            ..
        } = self;
        let serving = HealthService::default();
        events.start(&life);
        let _watched = life.health().watch("store writer", store.pulse());
        life.spawn("settling", bots.clone().keep_settling(life.stop().clone()));
        life.spawn(
            "settling of modes",
            bots.keep_settling_modes(life.stop().clone()),
        );
        life.spawn("health", health::tell(serving.clone(), life.clone()));
        let watching = life.spawn(
            "watch of the store",
            health::watch_store(store.clone(), life.clone()),
        );
        if let Some(reload) = reload {
            life.spawn(
                "callers",
                reload::follow(reload, callers, life.stop().clone()),
            );
        }
        match http {
            Some(http) => drop(life.spawn("HTTP", http.run())),
            None => events.tell_who_is_unheard(),
        }
        if let Some(address) = http_address {
            info!(http.address = %address, "installations and callbacks are received");
        }
        life.spawn("sealing", sealing::keep(store.clone(), life.stop().clone()));
        if let Some(admin) = admin {
            life.spawn("admin socket", admin.run());
        }
        life.spawn(
            "ends of webhooks",
            portals.clone().watch_ends(life.stop().clone()),
        );
        if let Some(reread) = reread {
            let following = credentials::follow(reread, portals.clone(), life.stop().clone());
            life.spawn("credentials", following);
        }
        let mut serving = life.attend("gRPC", server.run(serving));
        life.health().works(Part::Start);
        info!(grpc.address = %address, log.id = %store.log_id(), "gateway is ready");
        let asked = async {
            life.asked().await;
            if !delay.is_zero() {
                info!(?delay, "not ready any more, and still taking calls");
            }
            sleep(delay).await;
        };
        let broke_off = tokio::select! {
            served = &mut serving => Some(served),
            () = life.stop().cancelled() => None,
            () = asked => None,
        };
        life.begin_stop();
        life.finished(GRACE).await;
        let served = match broke_off {
            Some(served) => served,
            None => timeout(LINGER, &mut serving).await.unwrap_or_else(|_| {
                // Some hold on to connections that say nothing, do not read, or watch our health.
                info!("connections did not end by themselves and are cut");
                serving.abort();
                Ok(Ok(()))
            }),
        };
        events.end_listening().await;
        portals.rest(&store).await;
        store.close().await;
        drop((lookout, measurements));
        Otlp::end(otlp).await;
        info!("gateway stopped");
        if let Some(task) = life.broken() {
            return Err(Error::Panicked(task));
        }
        watching.await.map_err(Error::Broken)??;
        served.map_err(Error::Broken)?.map_err(Error::Serve)
    }
}

/// Takes commands. Where nobody asked for a place of its own the gateway does without, if it must: its
/// path may be longer than sockets can have.
fn listen(
    place: Option<AdminSocket>,
    keeper: Keeper,
    life: &Lifecycle,
) -> Result<Option<admin::Server>, Error> {
    let Some(AdminSocket { path, asked_for }) = place else {
        return Ok(None);
    };
    match admin::Server::bind(&path, keeper, life) {
        Ok(server) => Ok(Some(server)),
        Err(cause) if asked_for => Err(Error::Admin { path, cause }),
        Err(error) => {
            error!(path = %path.display(), %error, "no commands are taken: set `admin.socket`");
            Ok(None)
        }
    }
}
