//! Whether this process can be given work, and whether it still does any.
//!
//! *Ready*: every [`Part`] works. *Alive*: nothing that was begun ([`Pulse`]) is undone for
//! [`STUCK`]. A portal that is down makes neither fail: to be told so is progress.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// Without progress for so long, something hangs that will not go on by itself.
pub const STUCK: Duration = Duration::from_secs(60);

/// What must work for us to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Everything is made and runs.
    Start,
    /// The store can be written.
    Store,
    /// Nobody asked us to stop.
    Stop,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Store => "store",
            Self::Stop => "stop",
        })
    }
}

/// What fails, and why.
pub type Failing = BTreeMap<Part, String>;

/// How the process is doing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    failing: watch::Sender<Failing>,
    pulses: Mutex<Pulses>,
}

#[derive(Debug, Default)]
struct Pulses {
    next: u64,
    all: BTreeMap<u64, (String, Pulse)>,
}

impl Health {
    /// A part does not work. `why` is shown to whoever asks, so it holds no secret.
    pub fn fails(&self, part: Part, why: impl Into<String>) {
        let why = why.into();
        self.0.failing.send_if_modified(|failing| {
            let before = failing.insert(part, why.clone());
            before.is_none_or(|before| before != why)
        });
    }

    /// A part works.
    pub fn works(&self, part: Part) {
        let known = |failing: &mut Failing| failing.remove(&part).is_some();
        self.0.failing.send_if_modified(known);
    }

    /// What fails, and its changes. Ready is who has nothing here.
    #[must_use]
    pub fn failing(&self) -> watch::Receiver<Failing> {
        self.0.failing.subscribe()
    }

    /// Has something watched that owes progress, for as long as the answer is kept.
    pub fn watch(&self, name: impl Into<String>, pulse: Pulse) -> Watched {
        let mut pulses = self.pulses();
        let id = pulses.next;
        pulses.next += 1;
        pulses.all.insert(id, (name.into(), pulse));
        Watched(self.clone(), id)
    }

    /// What owes progress and made none for [`STUCK`], and for how long.
    #[must_use]
    pub fn stuck(&self) -> Vec<(String, Duration)> {
        let pulses = self.pulses();
        let owing = pulses.all.values().filter_map(|(name, pulse)| {
            let owed = pulse.owed()?;
            (owed >= STUCK).then(|| (name.clone(), owed))
        });
        owing.collect()
    }

    fn pulses(&self) -> MutexGuard<'_, Pulses> {
        self.0.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something is watched until this is dropped.
#[derive(Debug)]
#[must_use = "it is watched only as long"]
pub struct Watched(Health, u64);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.pulses().all.remove(&self.1);
    }
}

/// The progress of one thing: what it began and has not done. Cheap to clone; at first that is nothing.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Debts>>);

#[derive(Debug, Default)]
struct Debts {
    next: u64,
    since: BTreeMap<u64, Instant>,
}

impl Pulse {
    /// Something was begun that needs nobody but us. It is done when the answer is dropped.
    pub fn owe(&self) -> Owed {
        let mut debts = self.debts();
        let id = debts.next;
        debts.next += 1;
        debts.since.insert(id, Instant::now());
        Owed(self.clone(), id)
    }

    /// For how long progress is owed.
    fn owed(&self) -> Option<Duration> {
        // They were numbered in the order of their times.
        let debts = self.debts();
        debts
            .since
            .first_key_value()
            .map(|(_, since)| since.elapsed())
    }

    fn debts(&self) -> MutexGuard<'_, Debts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that was begun, until it is dropped.
#[derive(Debug)]
#[must_use = "it is owed only as long"]
pub struct Owed(Pulse, u64);

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.debts().since.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn ready_is_who_has_no_part_that_fails_and_changes_alone_are_told() {
        let health = Health::default();
        let mut failing = health.failing();
        health.works(Part::Store);
        assert!(!failing.has_changed().unwrap());
        health.fails(Part::Store, "cannot be written");
        health.fails(Part::Start, "waiting");
        let parts: Vec<_> = failing.borrow_and_update().keys().copied().collect();
        assert_eq!(parts, [Part::Start, Part::Store]);
        health.fails(Part::Store, "cannot be written");
        assert!(!failing.has_changed().unwrap());
        health.works(Part::Store);
        health.works(Part::Start);
        assert!(failing.borrow_and_update().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn stuck_is_who_owes_progress_for_a_minute_and_nobody_that_is_gone() {
        let health = Health::default();
        let (busy, idle) = (Pulse::default(), Pulse::default());
        let watched = health.watch("busy", busy.clone());
        let _idle = health.watch("idle", idle);
        let first = busy.owe();
        advance(STUCK - Duration::from_millis(1)).await;
        assert!(health.stuck().is_empty());
        let second = busy.owe();
        drop(first);
        advance(STUCK).await;
        assert_eq!(health.stuck(), [("busy".to_owned(), STUCK)]);
        drop(second);
        assert!(health.stuck().is_empty());
        let _third = busy.owe();
        advance(STUCK * 2).await;
        assert_eq!(health.stuck().len(), 1);
        drop(watched);
        assert!(health.stuck().is_empty());
    }
}
