//! Which calls of callers failed lately, and why: reasons, never texts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use crate::clock::Clock;

/// Pairs of RPC and reason that are remembered; of more, the one that was seen least recently goes.
const MOST: usize = 200;

/// What failed since the start. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recent(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    tallies: Mutex<BTreeMap<(&'static str, &'static str), Tally>>,
}

#[derive(Debug, Clone, Copy)]
struct Tally {
    count: u64,
    last: Timestamp,
}

/// Calls of one RPC that failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The RPC.
    pub rpc: &'static str,
    /// The published reason, or the gRPC code where there is none.
    pub reason: &'static str,
    /// How many since the start.
    pub count: u64,
    /// When the last one ended.
    pub last: Timestamp,
}

impl Recent {
    /// Nothing failed yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            tallies: Mutex::default(),
        }))
    }

    /// A call of this RPC failed for this reason.
    pub fn failed(&self, rpc: &'static str, reason: &'static str) {
        let last = self.0.clock.now();
        let mut tallies = self.tallies();
        if let Some(tally) = tallies.get_mut(&(rpc, reason)) {
            tally.count += 1;
            tally.last = last;
            return;
        }
        if tallies.len() >= MOST {
            let oldest = tallies.iter().min_by_key(|(_, tally)| tally.last);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                tallies.remove(&oldest);
            }
        }
        tallies.insert((rpc, reason), Tally { count: 1, last });
    }

    /// What failed, the latest first.
    #[must_use]
    pub fn all(&self) -> Vec<Failed> {
        let tallies = self.tallies();
        let all = tallies.iter().map(|((rpc, reason), tally)| Failed {
            rpc,
            reason,
            count: tally.count,
            last: tally.last,
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|failed| std::cmp::Reverse(failed.last));
        all
    }

    fn tallies(&self) -> MutexGuard<'_, BTreeMap<(&'static str, &'static str), Tally>> {
        self.0
            .tallies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_by_rpc_and_reason_and_the_oldest_makes_room() {
        let recent = Recent::new(Clock::driven(Timestamp::UNIX_EPOCH));
        recent.failed("Old", "A");
        advance(Duration::from_secs(1)).await;
        recent.failed("New", "A");
        recent.failed("New", "A");
        let all = recent.all();
        assert_eq!(
            all.iter()
                .map(|it| (it.rpc, it.reason, it.count, it.last.as_second()))
                .collect::<Vec<_>>(),
            [("New", "A", 2, 1), ("Old", "A", 1, 0)]
        );
        for number in 0..MOST {
            advance(Duration::from_secs(1)).await;
            recent.failed("Many", Box::leak(number.to_string().into_boxed_str()));
        }
        let all = recent.all();
        assert_eq!(all.len(), MOST);
        assert!(all.iter().all(|it| it.rpc == "Many"), "{all:?}");
    }
}
