//! The counter of requests, mirrored.
//!
//! Nobody tells when within a second the portal takes its portion off, nor how requests bunch up on
//! the way. So a portion counts as taken off only when a whole second has passed, and two portions of
//! the threshold stay in reserve.
//!
//! The level outlives a restart as the time by which the counter will be empty. That time is written
//! down *ahead* of what is sent: no permit is given that the record does not cover, so it holds after a
//! crash as well, and one write covers many requests.

use std::time::Duration;

use tokio::time::Instant;

/// What a portal allows.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Requests taken off the counter per second; 0 means no limit.
    pub per_second: u32,
    /// The threshold of the counter.
    pub burst: u32,
}

#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    level: u32,
    /// Whole seconds are taken off from here on.
    since: Instant,
    /// By when the counter is empty according to the record; `None` while nobody keeps one.
    covered: Option<Instant>,
    /// A new record was asked for and is not there yet.
    asked: bool,
    /// When the portal last refused.
    refused: Option<Instant>,
}

/// How far ahead the record is written.
const AHEAD: Duration = Duration::from_secs(10);

/// When to ask again for a permit that waits for the record alone.
const SOON: Duration = Duration::from_millis(10);

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            // Nobody knows what was sent from this address before we started.
            level: rate.burst / 2,
            since: now,
            covered: None,
            asked: false,
            refused: None,
        }
    }

    /// Goes on from a record: the counter will be empty this long after now.
    pub(super) fn resume(&mut self, empty_in: Duration, now: Instant) {
        let seconds = u32::try_from(empty_in.as_secs() + 1).unwrap_or(u32::MAX);
        let level = if empty_in.is_zero() {
            0
        } else {
            seconds.saturating_mul(self.rate.per_second)
        };
        self.level = level.min(self.rate.burst);
        self.since = now;
    }

    /// Whether the record should be written anew. Asks once for each record.
    pub(super) fn needs_cover(&mut self, now: Instant) -> bool {
        if self.asked || self.rate.per_second == 0 {
            return false;
        }
        self.settle(now);
        let needed = self.empty_at(self.level) + AHEAD / 2;
        self.asked = self.covered.is_some_and(|covered| covered < needed);
        self.asked
    }

    /// What to write down so that as many requests are covered as can leave in a while.
    pub(super) fn cover_wanted(&mut self, now: Instant) -> Instant {
        self.settle(now);
        self.empty_at(self.level) + AHEAD
    }

    /// The record says so.
    pub(super) fn cover(&mut self, until: Instant) {
        self.covered = Some(until);
        self.asked = false;
    }

    /// When the counter is empty if nothing more is sent.
    pub(super) fn empty(&mut self, now: Instant) -> Instant {
        self.settle(now);
        self.empty_at(self.level)
    }

    fn empty_at(&self, level: u32) -> Instant {
        let seconds = level.div_ceil(self.rate.per_second.max(1));
        self.since + Duration::from_secs(seconds.into())
    }

    /// Takes one, or says when there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.rate.per_second == 0 {
            return Ok(());
        }
        self.settle(now);
        if self.level >= self.usable() {
            return Err(self.since + Duration::from_secs(1));
        }
        let empty = self.empty_at(self.level + 1);
        if self.covered.is_some_and(|covered| covered < empty) {
            return Err(now + SOON);
        }
        self.level += 1;
        Ok(())
    }

    pub(super) fn put_back(&mut self) {
        self.level = self.level.saturating_sub(1);
    }

    pub(super) fn spare(&mut self, now: Instant) -> u32 {
        if self.rate.per_second == 0 {
            return u32::MAX;
        }
        self.settle(now);
        self.usable().saturating_sub(self.level)
    }

    pub(super) fn ready_after(&mut self, requests: u32, now: Instant) -> Instant {
        let missing = (requests.saturating_add(1)).saturating_sub(self.spare(now));
        if self.rate.per_second == 0 || missing == 0 {
            return now;
        }
        self.since + Duration::from_secs(missing.div_ceil(self.rate.per_second).into())
    }

    pub(super) fn fill(&mut self, now: Instant) {
        self.level = self.rate.burst;
        self.since = now;
        self.refused = Some(now);
    }

    /// Since when and until when a refusal holds up what would leave.
    pub(super) fn refusal(&mut self, now: Instant) -> Option<(Instant, Instant)> {
        let since = self.refused?;
        let until = self.ready_after(0, now);
        if until <= now {
            self.refused = None;
            return None;
        }
        Some((since, until))
    }

    fn usable(&self) -> u32 {
        let reserve = self.rate.per_second.saturating_mul(2);
        self.rate.burst.saturating_sub(reserve).max(1)
    }

    fn settle(&mut self, now: Instant) {
        let seconds = now.duration_since(self.since).as_secs();
        let off = u32::try_from(seconds)
            .unwrap_or(u32::MAX)
            .saturating_mul(self.rate.per_second);
        if off >= self.level {
            // The first request of a new busy stretch begins its own seconds.
            self.level = 0;
            self.since = now;
        } else if off > 0 {
            self.level -= off;
            self.since += Duration::from_secs(seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 2,
        burst: 50,
    };

    #[test]
    fn fresh_bucket_gives_half_a_burst_and_then_two_a_second() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        let mut given = Vec::new();
        for _ in 0..20 {
            let mut count = 0;
            while bucket.take(now).is_ok() {
                count += 1;
            }
            given.push(count);
            now += Duration::from_secs(1);
        }
        assert_eq!(given[0], 21);
        assert!(given[1..].iter().all(|count| *count == 2), "{given:?}");
    }

    #[test]
    fn time_of_the_next_permit_is_foretold() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        while bucket.take(now).is_ok() {}
        for requests in 0..10 {
            let foretold = bucket.ready_after(requests, now);
            let mut other = Bucket {
                ..Bucket::new(RATE, now)
            };
            while other.take(now).is_ok() {}
            let mut at = now;
            for _ in 0..=requests {
                while let Err(next) = other.take(at) {
                    at = next;
                }
            }
            assert_eq!(foretold, at, "after {requests}");
        }
    }

    #[test]
    fn full_bucket_waits_for_its_reserve() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        bucket.fill(now);
        assert!(bucket.take(now + Duration::from_secs(2)).is_err());
        assert!(bucket.take(now + Duration::from_secs(3)).is_ok());
    }

    #[test]
    fn record_holds_for_all_that_was_permitted_whenever_the_process_dies() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        let mut record = bucket.cover_wanted(now);
        bucket.cover(record);
        let mut writes = 0;
        for step in 0..2000 {
            now += Duration::from_millis(37);
            // Bursts and pauses.
            while step % 300 < 200 && bucket.take(now).is_ok() {}
            if bucket.needs_cover(now) {
                record = bucket.cover_wanted(now);
                bucket.cover(record);
                writes += 1;
            }
            let mut heir = Bucket::new(RATE, now);
            heir.resume(record.saturating_duration_since(now), now);
            assert!(
                heir.level >= bucket.level,
                "{} < {}",
                heir.level,
                bucket.level
            );
        }
        assert!(writes < 20, "{writes} writes in 74 s");
    }

    #[test]
    fn permit_waits_for_the_record() {
        let now = Instant::now();
        let mut bucket = Bucket::new(RATE, now);
        bucket.cover(now + Duration::from_secs(13));
        let given = (0..50).filter(|_| bucket.take(now).is_ok()).count();
        assert_eq!(given, 1, "25 stand, and 26 are gone after 13 seconds");
        assert_eq!(bucket.take(now), Err(now + SOON));
        bucket.cover(now + Duration::from_secs(60));
        assert!(bucket.take(now).is_ok());
    }

    #[test]
    fn no_limit_means_no_wait() {
        let now = Instant::now();
        let rate = Rate {
            per_second: 0,
            burst: 1,
        };
        let mut bucket = Bucket::new(rate, now);
        assert!((0..1000).all(|_| bucket.take(now).is_ok()));
    }
}
