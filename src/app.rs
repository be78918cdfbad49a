//! Wires the parts together, and takes them apart in order.

mod credentials;
mod keeping;
mod sealing;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    admin::{self, Keeper, Live},
    bots::{self, Bots},
    callers::{self, Callers, service_account::ServiceAccounts},
    clock::Clock,
    config::{self, AdminSocket, Config, Reload, Reread},
    events::Events,
    fault::Chain,
    grpc::{self, Audit, HealthService, Ledger, Parts, Server},
    http,
    lifecycle::{GRACE, Lifecycle},
    portal::{self, Portals},
    store::{self, Opened, Store},
    telemetry::{
        self,
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
    created_key_file: Option<PathBuf>,
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
    /// Calls to portals cannot be set up.
    #[error("configuration: `outbound.ca_file`: {}", Chain(.0))]
    Transport(#[from] portal::transport::Error),
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
    /// Accepting connections failed.
    #[error("gRPC server: {}", Chain(.0))]
    Serve(#[source] tonic::transport::Error),
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
        let life = Lifecycle::default();
        let meter = config.telemetry.meter.unwrap_or_else(telemetry::meter);
        let (otlp, tracer) = Otlp::start_if(config.telemetry.otlp, config.telemetry.tracer)?;
        let Opened {
            store,
            created_key_file,
            restored,
            unclean,
        } = Store::open_when_free(config.store, clock).await?;
        let names = admin::Names {
            callers: config.callers.keys().cloned().collect(),
            portals: config.portals.portals.keys().cloned().collect(),
        };
        let kept = keeping::portals(&store, &config.portals, restored).await?;
        let named = keeping::named(&names, &kept);
        let callers = keeping::callers(&store, config.callers, named).await?;
        if config.needs_callers && callers.policy().is_open() {
            return Err(config::no_callers(config.grpc.door.listen).into());
        }
        let portals = Portals::new(config.portals, clock, &store, kept, &meter, &life)?;
        keeping::tell_if_held(&portals);
        portals.remember(&store).await?;
        let hooks = config.http.as_ref().map(http::Config::hooks);
        let bots = Bots::load(store.clone(), portals.clone(), clock, hooks).await?;
        let of = (bots.clone(), portals.clone());
        let ours = (tracer.clone(), life.clone());
        let events = Events::load(store.clone(), of, clock, config.events, ours);
        let events = events.await?;
        if unclean {
            life.spawn(look_over(store.clone(), life.clone()));
        }
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
            authorizations: http.as_ref().map(http::Server::authorizations),
        };
        let admin = match keeping::commands(config.admin, &store, clock, names, live, &life) {
            Ok(admin) => admin,
            Err(error) => {
                store.close().await;
                return Err(error);
            }
        };
        let unheard = |cause| grpc::Error::Listen(asked, cause);
        Ok(Self {
            admin,
            address: server.address().map_err(unheard)?,
            http_address: http.as_ref().and_then(|http| http.address().ok()),
            http,
            callers,
            reload: config.reload,
            reread: config.reread,
            store,
            portals,
            bots,
            events,
            server,
            created_key_file,
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
            otlp,
            life,
            ..
        } = self;
        let health = HealthService::default();
        events.start(&life);
        life.spawn(bots.clone().keep_settling(life.stop().clone()));
        life.spawn(bots.keep_settling_modes(life.stop().clone()));
        let watching = life.spawn(watch_health(health.clone(), store.clone(), life.clone()));
        if let Some(reload) = reload {
            life.spawn(follow(reload, callers, life.stop().clone()));
        }
        match http {
            Some(http) => drop(life.spawn(http.run())),
            None => events.tell_who_is_unheard(),
        }
        if let Some(address) = http_address {
            info!(http.address = %address, "installations and callbacks are received");
        }
        life.spawn(sealing::keep(store.clone(), life.stop().clone()));
        if let Some(admin) = admin {
            life.spawn(admin.run());
        }
        life.spawn(portals.clone().watch_ends(life.stop().clone()));
        if let Some(reread) = reread {
            life.spawn(credentials::follow(
                reread,
                portals.clone(),
                life.stop().clone(),
            ));
        }
        let mut serving = tokio::spawn(server.run(health));
        info!(grpc.address = %address, log.id = %store.log_id(), "gateway is ready");
        let broke_off = tokio::select! {
            served = &mut serving => Some(served),
            () = life.stop().cancelled() => None,
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
        Otlp::end(otlp).await;
        info!("gateway stopped");
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

/// After a crash: says whether the store is sound, while the gateway works already.
async fn look_over(store: Store, life: Lifecycle) {
    info!("the process before did not close the store: looking it over");
    let checked = tokio::select! {
        checked = store.check() => checked,
        () = life.stop().cancelled() => return,
    };
    match checked {
        Ok(()) => info!("the store is sound"),
        Err(error) => error!(error = %Chain(&error), "the store is not sound"),
    }
}

/// Puts changed callers in force, until the stop begins.
async fn follow(mut reload: Reload, callers: Callers, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK) => {}
        }
        let look = tokio::task::spawn_blocking(move || {
            let found = reload.look();
            (reload, found)
        });
        let found = match look.await {
            Ok((same, found)) => {
                reload = same;
                found
            }
            Err(error) => {
                error!(%error, "the configuration file is not looked at any more");
                return;
            }
        };
        match found {
            Ok(None) => {}
            // Somebody who empties the file does not mean to let everybody in.
            Ok(Some(configured)) if configured.is_empty() && only_configured(&callers) => {
                error!(
                    "the changed configuration has no callers: those before stay, to let everybody in start again"
                );
            }
            Ok(Some(configured)) => {
                let count = configured.len();
                match callers.change(|roster| roster.configured = configured) {
                    Ok(true) => info!(callers = count, "callers were changed"),
                    Ok(false) => {}
                    Err(error) => {
                        error!(%error, "the changed configuration cannot be used: the callers before stay");
                    }
                }
            }
            Err(error) => {
                error!(%error, "the changed configuration cannot be used: the callers before stay");
            }
        }
    }
}

/// Whether there are callers, and none but configured ones.
fn only_configured(callers: &Callers) -> bool {
    let roster = callers.roster();
    roster.kept.is_empty() && !roster.configured.is_empty()
}

/// The services serve while what they do can be kept, and until the stop begins.
///
/// # Errors
///
/// When another process has taken over the store: this one is then of no use.
async fn watch_health(
    health: HealthService,
    store: Store,
    life: Lifecycle,
) -> Result<(), store::Error> {
    let mut writable = store.writable();
    let mut probes = interval(PROBE);
    health.set(true).await;
    loop {
        tokio::select! {
            () = life.stop().cancelled() => break,
            changed = writable.changed() => {
                if changed.is_err() {
                    break;
                }
                let works = *writable.borrow_and_update();
                health.set(works).await;
                if works {
                    info!("store can be written again");
                } else {
                    error!("store cannot be written: health says not serving");
                }
            }
            _ = probes.tick(), if !*writable.borrow() => {
                match store.probe().await {
                    Err(error @ store::Error::TakenOver { .. }) => {
                        life.begin_stop();
                        return Err(error);
                    }
                    Err(error) => warn!(error = %Chain(&error), "store still cannot be written"),
                    Ok(()) => {}
                }
            }
        }
    }
    health.set(false).await;
    Ok(())
}
