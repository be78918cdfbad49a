//! The counter of requests, mirrored.
//!
//! Nobody tells when within a second the portal takes its portion off, nor how requests bunch up on
//! the way. So a portion counts as taken off only when a whole second has passed, and two portions of
//! the threshold stay in reserve.

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
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            // Nobody knows what was sent from this address before we started.
            level: rate.burst / 2,
            since: now,
        }
    }

    /// Takes one, or says when there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.rate.per_second == 0 {
            return Ok(());
        }
        self.settle(now);
        if self.level < self.usable() {
            self.level += 1;
            return Ok(());
        }
        Err(self.since + Duration::from_secs(1))
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
