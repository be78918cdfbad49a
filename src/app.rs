//! Wires the parts together, and takes them apart in order.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    bots::{self, Bots},
    callers::{Callers, service_account::ServiceAccounts},
    clock::Clock,
    config::{Config, Reload, Reread},
    events::Events,
    fault::Chain,
    grpc::{self, Audit, HealthService, Ledger, Parts, Server},
    lifecycle::{GRACE, Lifecycle},
    portal::{self, Portals},
    store::{self, Opened, Store},
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
    callers: Callers,
    reload: Option<Reload>,
    reread: Option<Reread>,
    address: SocketAddr,
    created_key_file: Option<PathBuf>,
    life: Lifecycle,
}

/// Why the gateway cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be opened.
    #[error("store: {}", Chain(.0))]
    Store(#[from] store::Error),
    /// What the store holds cannot be used.
    #[error("store: {}", Chain(.0))]
    Bots(#[from] bots::Error),
    /// Calls to portals cannot be set up.
    #[error("configuration: `outbound.ca_file`: {}", Chain(.0))]
    Transport(#[from] portal::transport::Error),
    /// Nobody can be let in.
    #[error(transparent)]
    Door(#[from] grpc::Error),
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
        let Opened {
            store,
            created_key_file,
            unclean,
        } = Store::open_when_free(config.store, clock).await?;
        let kept = portal::Kept {
            addresses: store.addresses().await?,
            pairs: store.pairs().await?,
        };
        let portals = Portals::new(config.portals, clock, &store, kept, &life)?;
        portals.remember(&store).await?;
        let bots = Bots::load(store.clone(), portals.clone(), clock).await?;
        let events = Events::new(
            store.clone(),
            bots.clone(),
            portals.clone(),
            clock,
            config.events,
        );
        if unclean {
            life.spawn(look_over(store.clone(), life.clone()));
        }
        let callers = Callers::new(config.callers);
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
        };
        let asked = config.grpc.door.listen;
        let server = match Server::bind(config.grpc, parts).await {
            Ok(server) => server,
            Err(error) => {
                store.close().await;
                return Err(error.into());
            }
        };
        let address = server.address();
        Ok(Self {
            address: address.map_err(|cause| grpc::Error::Listen(asked, cause))?,
            callers,
            reload: config.reload,
            reread: config.reread,
            store,
            portals,
            bots,
            events,
            server,
            created_key_file,
            life,
        })
    }

    /// Where the gRPC API is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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
            callers,
            reload,
            reread,
            address,
            life,
            ..
        } = self;
        let health = HealthService::default();
        events.start(&life);
        life.spawn(bots.keep_settling(life.stop().clone()));
        let watching = life.spawn(watch_health(health.clone(), store.clone(), life.clone()));
        if let Some(reload) = reload {
            life.spawn(follow(reload, callers, life.stop().clone()));
        }
        life.spawn(portals.clone().watch_ends(life.stop().clone()));
        if let Some(reread) = reread {
            life.spawn(follow_credentials(
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
        portals.rest(&store).await;
        store.close().await;
        info!("gateway stopped");
        watching.await.map_err(Error::Broken)??;
        served.map_err(Error::Broken)?.map_err(Error::Serve)
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
            Ok(Some(policy)) if policy.is_open() && !callers.policy().is_open() => {
                error!(
                    "the changed configuration has no callers: those before stay, to let everybody in start again"
                );
            }
            Ok(Some(policy)) => {
                let count = policy.len();
                if callers.replace(policy) {
                    info!(callers = count, "callers were changed");
                }
            }
            Err(error) => {
                error!(%error, "the changed configuration cannot be used: the callers before stay");
            }
        }
    }
}

/// Goes on with changed webhooks and secrets, until the stop begins.
async fn follow_credentials(mut reread: Reread, portals: Portals, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK) => {}
        }
        let look = tokio::task::spawn_blocking(move || {
            let found = reread.look();
            (reread, found)
        });
        let found = match look.await {
            Ok((same, found)) => {
                reread = same;
                found
            }
            Err(error) => {
                error!(%error, "files of credentials are not looked at any more");
                return;
            }
        };
        match found {
            Ok(None) => {}
            Ok(Some(fresh)) => portals.renew(fresh),
            Err(error) => {
                error!(%error, "changed credentials cannot be used: those before stay");
            }
        }
    }
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
