//! What happened in the portals, and who is told.
//!
//! Fetching is the truth: `poller` asks each portal for the events of our bots, `intake` writes
//! them into the store's log, and only then the portal is told to forget them. A portal that posts the
//! events of a bot is told that they are taken only then, too; it posts nothing twice, so `listening`
//! keeps account of when nobody listened, and the log gets a gap for that. A [`Feed`] reads the
//! log after a position and waits at its end: catching up and being live are one path, so a slow
//! reader costs nothing. A named subscription ([`subscriptions`]) keeps its place itself, and hands each
//! event to one of its streams until somebody says that it is done.
//!
//! Invariant: an offset is sent to a portal only after everything before it is durable.

pub mod cursor;
mod ears;
pub mod entry;
pub mod error;
pub mod feed;
mod intake;
mod listening;
mod metrics;
mod poller;
mod reader;
mod retention;
mod rotation;
pub mod subscriptions;
mod tail;
pub mod traces;
pub mod view;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use opentelemetry::metrics::Meter;
use tokio_util::sync::CancellationToken;

use crate::{
    bots::Bots,
    clock::Clock,
    ids::PortalId,
    lifecycle::Lifecycle,
    log_limit::LogLimit,
    portal::{Portals, State},
    store::{self, Store},
    telemetry::trace::Tracer,
};

use self::tail::Tail;
pub use self::{
    cursor::Cursor,
    ears::Ear,
    entry::{LogEntry, LogItem},
    error::Error,
    feed::{Feed, Next, Start},
    intake::{Departed, Refused},
    subscriptions::Subscriptions,
    view::View,
};

/// Lines in one second about events that cannot be read or stored.
const LOSSES: u32 = 5;

/// How often to fetch and how long to keep.
#[derive(Debug, Clone)]
pub struct Config {
    /// Pause between two fetches of a bot that people are talking to.
    pub busy_pause: Duration,
    /// Pause between two fetches of a quiet bot.
    pub idle_pause: Duration,
    /// How long a bot counts as busy after an event.
    pub busy_for: Duration,
    /// How long events are kept.
    pub retention: Duration,
    /// How many bytes of them are kept. When there are more, those go first of which a bot has too many.
    pub retention_bytes: u64,
}

/// The events of all portals. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    bots: Bots,
    portals: Portals,
    clock: Clock,
    config: Config,
    tracer: Tracer,
    tail: Arc<Tail>,
    subscriptions: Subscriptions,
    polls: Mutex<HashMap<PortalId, Progress>>,
    ears: ears::Ears,
    listening: listening::Listening,
    metrics: metrics::Metrics,
    /// Of events that cannot be read or stored.
    losses: LogLimit,
}

/// How far fetching came in a portal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// When the last fetch succeeded.
    pub last_poll: Option<Timestamp>,
    /// When the newest event happened.
    pub newest_event: Option<Timestamp>,
}

impl Events {
    /// The events of these bots.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn load(
        store: Store,
        (bots, portals): (Bots, Portals),
        clock: Clock,
        config: Config,
        (tracer, life): (Tracer, Lifecycle),
        meter: &Meter,
    ) -> Result<Self, store::Error> {
        let tail = Arc::new(Tail::new(store.clone()));
        let subscriptions = Subscriptions::load(
            store.clone(),
            portals.clone(),
            clock,
            Arc::clone(&tail),
            life,
            meter,
        );
        let events = Self(Arc::new(Inner {
            subscriptions: subscriptions.await?,
            store,
            bots,
            portals,
            clock,
            config,
            tracer,
            tail,
            polls: Mutex::default(),
            ears: ears::Ears::default(),
            listening: listening::Listening::default(),
            metrics: metrics::Metrics::new(meter, clock.now()),
            losses: LogLimit::new(LOSSES),
        }));
        events.tell_of_bots(meter);
        Ok(events)
    }

    /// The named subscriptions.
    #[must_use]
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.0.subscriptions
    }

    /// Begins to fetch and to expire, until the process stops.
    pub fn start(&self, life: &Lifecycle) {
        life.spawn("rotation", rotation::run(self.clone(), life.clone()));
        life.spawn(
            "retention",
            retention::run(self.clone(), life.stop().clone()),
        );
        let looks = self.subscriptions().clone();
        life.spawn("looks", looks.keep_looking(life.stop().clone()));
    }

    /// Begins to keep account of what is posted while nobody listens, until the process stops. Whoever
    /// calls this listens, or is about to.
    pub fn start_listening(&self, life: &Lifecycle) {
        life.spawn(
            "end of listening",
            listening::note_end(self.clone(), life.stop().clone()),
        );
        life.spawn(
            "listening",
            listening::run(self.clone(), life.stop().clone()),
        );
    }

    /// Opens a view of the log for a caller.
    ///
    /// # Errors
    ///
    /// When the start is a cursor of another log or of history that is gone.
    pub async fn feed(
        &self,
        caller: &str,
        view: View,
        start: Start,
        stop: CancellationToken,
    ) -> Result<Feed, Error> {
        let tail = Arc::clone(&self.0.tail);
        let open = self.0.ears.open(caller, &view);
        let feed = Feed::open(self.0.store.clone(), tail, view, start, stop).await?;
        Ok(feed.heard_by(open))
    }

    /// Who reads along without a name.
    #[must_use]
    pub fn ears(&self) -> Vec<Ear> {
        self.0.ears.all()
    }

    /// Pause between two fetches of a quiet bot.
    #[must_use]
    pub fn idle_pause(&self) -> Duration {
        self.0.config.idle_pause
    }

    /// How each portal is doing.
    #[must_use]
    pub fn health(&self, portal: Option<&PortalId>) -> Vec<(PortalId, State, Progress)> {
        let polls = self.0.polls.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = |id: &PortalId| portal.is_none_or(|portal| portal == id);
        let portals = self.0.portals.list().into_iter();
        portals
            .filter(|portal| asked(portal.id()))
            .map(|portal| {
                let progress = polls.get(portal.id()).copied().unwrap_or_default();
                (portal.id().clone(), portal.state(), progress)
            })
            .collect()
    }

    /// Begins the traces of deliveries.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.0.tracer
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// An event was posted.
    fn happened(&self, portal: &PortalId, at: Timestamp) {
        let mut polls = self.0.polls.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = polls.entry(portal.clone()).or_default();
        progress.newest_event = progress.newest_event.max(Some(at));
    }

    fn progressed(&self, portal: &PortalId, polled: Timestamp, newest: Option<Timestamp>) {
        let mut polls = self.0.polls.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = polls.entry(portal.clone()).or_default();
        progress.last_poll = Some(polled);
        progress.newest_event = progress.newest_event.max(newest);
    }
}
