//! How subscriptions and the log are doing, looked at now and then and told when somebody asks.
//!
//! What waits is in the store, which cannot be read while somebody waits for an answer, so what is told is
//! up to [`EVERY`] old, and older only for who asks for the first time in minutes. Ages are as of when they
//! are asked for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use opentelemetry::{KeyValue, metrics::Meter};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    Subscriptions,
    metrics::{Label, labels},
};
use crate::{
    clock::Clock,
    fault::Chain,
    store::{self, look::Size},
};

/// How often to look.
const EVERY: Duration = Duration::from_secs(15);

/// So many further looks after somebody asked: five minutes, within which whoever collects asks again. Where
/// nobody does the store is left alone.
const WANTED: u32 = 20;

/// The log is counted once in so many looks.
const COUNT: u64 = 4;

/// What was seen last. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Looks(Arc<(Mutex<Seen>, Notify)>);

#[derive(Default)]
struct Seen {
    /// Looks that somebody may still ask for.
    wanted: u32,
    size: Size,
    entries: u64,
    standings: BTreeMap<Label, Standing>,
}

/// How a subscription is doing, or several of one label.
#[derive(Default)]
struct Standing {
    /// Events that are not done, and entries of the log not looked at.
    backlog: u64,
    oldest: Option<Timestamp>,
    outstanding: u64,
    streams: u64,
    aside: BTreeMap<&'static str, u64>,
}

impl Subscriptions {
    /// Looks, until the process stops.
    pub(in crate::events) async fn keep_looking(self, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if looks > 0 && !self.0.looks.lock().is_wanted() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.0.looks.asked() => {}
                }
            }
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look(looks % COUNT == 0) => looked,
            };
            match looked {
                Ok(()) => looks += 1,
                // Told where the store is needed; here it is counted.
                Err(error) => debug!(error = %Chain(&error), "nobody can see what waits"),
            }
        }
    }

    async fn look(&self, count: bool) -> Result<(), store::Error> {
        let store = &self.0.store;
        let size = store.size().await?;
        let entries = match count {
            true => Some(store.entries().await?),
            false => None,
        };
        let mut standings: BTreeMap<Label, Standing> = BTreeMap::new();
        for one in self.survey().await? {
            let label = self.0.instruments.label(&one.caller, &one.name);
            let standing = standings.entry(label).or_default();
            standing.backlog += one.unfinished + one.unread;
            let oldest = standing.oldest.into_iter().chain(one.oldest);
            standing.oldest = oldest.min();
            standing.outstanding += one.outstanding as u64;
            standing.streams += one.streams as u64;
            for (why, events) in one.aside {
                *standing.aside.entry(why).or_default() += events;
            }
        }
        let mut seen = self.0.looks.lock();
        seen.size = size;
        seen.entries = entries.unwrap_or(seen.entries);
        seen.standings = standings;
        Ok(())
    }
}

impl Seen {
    /// Whether to look once more.
    fn is_wanted(&mut self) -> bool {
        let wanted = self.wanted > 0;
        self.wanted = self.wanted.saturating_sub(1);
        wanted
    }
}

impl Looks {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody asks, or has asked since this was awaited the last time.
    async fn asked(&self) {
        self.0.1.notified().await;
    }

    /// Tells what was seen.
    pub(super) fn measured_by(&self, meter: &Meter, clock: Clock) {
        let each = |name, unit, what, tell: fn(&Standing) -> u64| {
            let looks = self.clone();
            meter
                .u64_observable_gauge(name)
                .with_description(what)
                .with_unit(unit)
                .with_callback(move |told| {
                    for (label, standing) in &looks.lock().standings {
                        told.observe(tell(standing), &labels(label));
                    }
                })
                .build();
        };
        each(
            "bitrix24.gateway.subscription.backlog",
            "{event}",
            "Events that are not done; of those not looked at yet about, others' events included.",
            |standing| standing.backlog,
        );
        each(
            "bitrix24.gateway.subscription.outstanding",
            "{event}",
            "Events that are handed out.",
            |standing| standing.outstanding,
        );
        each(
            "bitrix24.gateway.subscription.streams",
            "{stream}",
            "Streams that are open.",
            |standing| standing.streams,
        );
        let looks = self.clone();
        meter
            .f64_observable_gauge("bitrix24.gateway.subscription.oldest.age")
            .with_description("Age of the oldest event that is not done, 0 where all are.")
            .with_unit("s")
            .with_callback(move |told| {
                let now = clock.now();
                for (label, standing) in &looks.lock().standings {
                    let age = standing.oldest.map(|oldest| now.duration_since(oldest));
                    let age = age.unwrap_or_default().max(SignedDuration::ZERO);
                    told.observe(age.as_secs_f64(), &labels(label));
                }
            })
            .build();
        let looks = self.clone();
        meter
            .u64_observable_gauge("bitrix24.gateway.subscription.set_aside")
            .with_description("Events that are set aside and wait for somebody to look at them.")
            .with_unit("{event}")
            .with_callback(move |told| {
                for (label, standing) in &looks.lock().standings {
                    for (why, events) in &standing.aside {
                        let [caller, name] = labels(label);
                        let why = KeyValue::new("bitrix24.reason", *why);
                        told.observe(*events, &[caller, name, why]);
                    }
                }
            })
            .build();
        let of_log = |name, unit, what, tell: fn(&Seen) -> u64| {
            let looks = self.clone();
            meter
                .u64_observable_gauge(name)
                .with_description(what)
                .with_unit(unit)
                .with_callback(move |told| {
                    let mut seen = looks.lock();
                    seen.wanted = WANTED;
                    looks.0.1.notify_one();
                    told.observe(tell(&seen), &[]);
                })
                .build();
        };
        of_log(
            "bitrix24.gateway.log.entries",
            "{entry}",
            "Events and gaps that are kept.",
            |seen| seen.entries,
        );
        of_log(
            "bitrix24.gateway.log.size",
            "By",
            "What events and gaps weigh that are kept, about.",
            |seen| seen.size.log_bytes,
        );
        of_log(
            "bitrix24.gateway.store.file.size",
            "By",
            "What the store takes on the disk, its write-ahead log included.",
            |seen| seen.size.file_bytes,
        );
    }
}
