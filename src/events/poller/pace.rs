//! When a bot is asked for again, and with how many others.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Config,
    fetch::{Failure, Progress},
};
use crate::{fault::Fault as _, portal::wire::batch::MOST_CALLS};

/// Bitrix24 asks for at least this pause where more events wait (C5).
const MORE_PAUSE: Duration = Duration::from_secs(2);

/// Longest pause after failures.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// A bot goes another way at once so many times at most.
const DETOURS: u32 = 3;

/// Who kept the portal busy for so many seconds travels alone next time: in a batch all wait for each.
const SLOW: f64 = 1.0;

/// Doubts beyond which nothing gets smaller: it travels alone, and one event at a time.
const MOST_DOUBTS: u32 = 7;

/// How a bot is doing.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) due: Instant,
    /// More events wait in the portal.
    pub(super) more: bool,
    busy_until: Instant,
    failures: u32,
    detours: u32,
    /// Failures in a row after which nobody knows who was to blame, such as an answer too late or too
    /// large. With each the company is quartered, so that who is to blame is soon alone.
    doubts: u32,
    slow: bool,
}

impl Pace {
    pub(super) fn new(config: &Config) -> Self {
        let now = Instant::now();
        Self {
            due: now,
            more: false,
            // Somebody who registers a bot is about to try it.
            busy_until: now + config.busy_for,
            failures: 0,
            detours: 0,
            doubts: 0,
            slow: false,
        }
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// How many may be asked for together with it, itself included.
    pub(super) fn company(&self) -> usize {
        match self.slow {
            true => 1,
            false => (MOST_CALLS >> (2 * self.doubts)).max(1),
        }
    }

    /// How often its page is halved, in case it was too large.
    pub(super) fn doubts(&self) -> u32 {
        self.doubts
    }

    pub(super) fn succeeded(&mut self, progress: &Progress, config: &Config) {
        let now = Instant::now();
        (self.failures, self.detours, self.doubts) = (0, 0, 0);
        self.more = progress.more;
        self.slow = progress.took.is_some_and(|took| took > SLOW);
        if progress.news {
            self.busy_until = now + config.busy_for;
        }
        let pause = if progress.more {
            MORE_PAUSE
        } else if now < self.busy_until {
            config.busy_pause
        } else {
            config.idle_pause
        };
        self.due = now + pause;
    }

    /// `another_way`: nothing was done, and it can be done otherwise. Tells whether it is a failure.
    pub(super) fn failed(&mut self, failure: &Failure, another_way: bool, config: &Config) -> bool {
        let now = Instant::now();
        if another_way && self.detours < DETOURS {
            self.detours += 1;
            self.due = now;
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let asked = match failure {
            Failure::Portal(error) => {
                if error.cause().is_ambiguous() && !error.is_held_back() {
                    self.doubts = (self.doubts + 1).min(MOST_DOUBTS);
                }
                error.retry_after().unwrap_or_default()
            }
            Failure::Store(_) => Duration::ZERO,
        };
        // From the usual pause, doubled with each failure.
        let doubled = config.busy_pause.saturating_mul(1 << self.failures.min(10));
        self.due = now + doubled.max(asked).min(MAX_PAUSE);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::portal::{self, Cause, wire::Method};

    fn config() -> Config {
        Config {
            busy_pause: Duration::from_secs(1),
            idle_pause: Duration::from_secs(5),
            busy_for: Duration::ZERO,
            retention: Duration::from_secs(3600),
            retention_bytes: 1 << 20,
        }
    }

    fn failure(cause: Cause) -> Failure {
        portal::Error::new(Method::EventGet, cause).into()
    }

    #[test]
    fn who_is_slow_travels_alone_until_it_is_quick_again() {
        let config = config();
        let mut pace = Pace::new(&config);
        let took = |took| Progress {
            took: Some(took),
            ..Progress::default()
        };
        pace.succeeded(&took(20.0), &config);
        assert_eq!(pace.company(), 1);
        pace.succeeded(&took(0.03), &config);
        assert_eq!(pace.company(), MOST_CALLS);
    }

    #[test]
    fn company_shrinks_with_every_failure_that_it_may_be_the_reason_of() {
        let config = config();
        let mut pace = Pace::new(&config);
        let companies: Vec<_> = (0..4)
            .map(|_| {
                let company = pace.company();
                assert!(pace.failed(&failure(Cause::Ambiguous), false, &config));
                company
            })
            .collect();
        assert_eq!(companies, [50, 12, 3, 1]);
        pace.succeeded(&Progress::default(), &config);
        assert_eq!((pace.company(), pace.doubts()), (50, 0));
        assert!(pace.failed(&failure(Cause::Throttled), false, &config));
        assert_eq!(pace.company(), 50, "nobody in it was the reason");
    }

    #[test]
    fn another_way_is_taken_at_once_and_not_for_ever() {
        let config = config();
        let mut pace = Pace::new(&config);
        for _ in 0..DETOURS {
            assert!(!pace.failed(&failure(Cause::NotInBatch), true, &config));
            assert!(pace.due <= Instant::now());
        }
        assert!(pace.failed(&failure(Cause::NotInBatch), true, &config));
        assert!(pace.due > Instant::now());
    }

    #[test]
    fn pauses_double_with_failures_up_to_a_minute() {
        let config = config();
        let mut pace = Pace::new(&config);
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let now = Instant::now();
            pace.failed(&failure(Cause::Ambiguous), false, &config);
            pauses.push((pace.due - now).as_secs());
        }
        assert_eq!(pauses[..6], [2, 4, 8, 16, 32, 60]);
        assert_eq!(pauses[19], 60);
    }
}
