//! Whether the process is ready, found out and told: over HTTP and over gRPC, alike.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::interval;
use tokio_util::sync::DropGuard;
use tracing::{error, info, warn};

use super::{Error, PROBE};
use crate::{
    fault::Chain,
    grpc::HealthService,
    http::{
        self,
        ops::{self, Window},
    },
    lifecycle::{Health, Lifecycle, Part},
    store::{self, Opened, Store},
    telemetry::Render,
};

/// Where operators look, for as long as it is kept.
#[derive(Debug)]
pub(super) struct Lookout {
    pub(super) address: Option<SocketAddr>,
    pub(super) window: Window,
    _stop: DropGuard,
}

/// Answers operators from now on. Where nobody asked for an address of its own the gateway does
/// without, if it must.
pub(super) async fn look_out(
    config: Option<ops::Config>,
    measurements: Option<Render>,
    life: &Lifecycle,
) -> Result<Option<Lookout>, Error> {
    let Some(mut config) = config else {
        return Ok(None);
    };
    config.metrics = measurements.map(|render| ops::Metrics(Arc::new(move || render.text())));
    let (asked, asked_for, named_by) = (config.listen, config.asked_for, config.named_by);
    let server = match ops::Server::bind(config, life.health().clone()).await {
        Ok(server) => server,
        Err(cause) if asked_for => return Err(Error::Lookout(cause)),
        Err(http::Error::Listen(_, error)) => {
            warn!(
                address = %asked, %error,
                "neither health nor metrics are shown over HTTP: name another address with {named_by}"
            );
            return Ok(None);
        }
        Err(cause) => return Err(Error::Lookout(cause)),
    };
    let window = Window::default();
    let server = server.showing(window.clone());
    let address = server.address().ok();
    if let Some(address) = address {
        info!(admin.address = %address, "health, metrics and a page for operators are shown over HTTP");
    }
    let apart = life.apart();
    apart.spawn("admin HTTP", server.run(apart.clone()));
    Ok(Some(Lookout {
        address,
        window,
        _stop: apart.stop().clone().drop_guard(),
    }))
}

/// Opens the store, and says to those who look who holds it as long as somebody else does.
pub(super) async fn open(
    config: store::Config,
    clock: crate::clock::Clock,
    health: &Health,
) -> Result<Opened, Error> {
    let held = |holder: &str| {
        let why = format!("the store is held by another process: {holder}");
        health.fails(Part::Start, why);
    };
    let opened = Store::open_when_free(config, clock, held).await?;
    health.fails(Part::Start, "starting");
    Ok(opened)
}

/// Tells over gRPC what is found out, until the stop begins.
pub(super) async fn tell(service: HealthService, life: Lifecycle) {
    let mut failing = life.health().failing();
    let mut told = None;
    loop {
        let ready = failing.borrow_and_update().is_empty();
        if told != Some(ready) {
            service.set(ready).await;
            told = Some(ready);
        }
        tokio::select! {
            () = life.stop().cancelled() => break,
            // The sender lives in `life`, which we hold.
            _ = failing.changed() => {}
        }
    }
    if told != Some(false) {
        service.set(false).await;
    }
}

/// Finds out whether what is done can be kept, until the stop begins.
///
/// # Errors
///
/// When another process has taken over the store, or it broke: this one is then of no use.
pub(super) async fn watch_store(store: Store, life: Lifecycle) -> Result<(), Error> {
    let mut writable = store.writable();
    let mut probes = interval(PROBE);
    loop {
        tokio::select! {
            () = life.stop().cancelled() => return Ok(()),
            changed = writable.changed() => {
                if changed.is_err() {
                    life.health().fails(Part::Store, "its writer ended");
                    life.begin_stop();
                    return Err(Error::Writer);
                }
                if *writable.borrow_and_update() {
                    life.health().works(Part::Store);
                    info!("store can be written again");
                } else {
                    life.health().fails(Part::Store, "cannot be written");
                    error!("store cannot be written: health says not serving");
                }
            }
            _ = probes.tick(), if !*writable.borrow() => {
                match store.probe().await {
                    Err(error @ store::Error::TakenOver { .. }) => {
                        life.health().fails(Part::Store, "was taken over by another process");
                        life.begin_stop();
                        return Err(error.into());
                    }
                    Err(error) => {
                        let why = format!("cannot be written: {}", Chain(&error));
                        life.health().fails(Part::Store, why);
                        warn!(error = %Chain(&error), "store still cannot be written");
                    }
                    Ok(()) => {}
                }
            }
        }
    }
}

/// After a crash: says whether the store is sound, while the gateway works already.
pub(super) async fn look_over(store: Store, life: Lifecycle) {
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
