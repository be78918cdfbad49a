//! How much a portal bears: requests per second and execution time per method (C5).
//!
//! The request rate is a bucket per source address: each request adds one, every whole second
//! since the bucket began to fill takes the drain away, and a request that brings the level above
//! the threshold is refused. Execution time is summed per credential and method over ten minutes.
//!
//! Where the contract allows two readings, the default is the one that refuses more.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;

/// Limits of a portal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Level of the bucket above which requests are refused; `None` = no rate limit. Default: 50.
    pub threshold: Option<u32>,
    /// What leaves the bucket each second. Default: 2.
    pub drain_per_second: u32,
    /// Drain without steps, as official SDKs model it. Default: off.
    pub continuous_drain: bool,
    /// Refused requests fill the bucket too. Default: on.
    pub refused_count: bool,
    /// The rule for accumulated execution time. Default: [`OperatingRule::Sliding`].
    pub operating: OperatingRule,
    /// Execution time per credential and method in ten minutes, above which calls are refused.
    /// Default: 480 s.
    #[serde(rename = "operating_limit_ms", with = "crate::written::millis")]
    pub operating_limit: Duration,
    /// Execution time charged for every call beside its simulated latency, without letting
    /// anybody wait. Default: 20 ms.
    #[serde(rename = "execution_time_ms", with = "crate::written::millis")]
    pub execution_time: Duration,
    /// Whether the outer `batch` itself is charged, with half its time. Default: on.
    pub outer_batch_is_charged: bool,
    /// Bots one owner may register; `None` = no limit. Default: 100.
    pub bots_per_owner: Option<usize>,
}

/// When a method is blocked for its accumulated execution time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatingRule {
    /// Never, and `time` carries no `operating`.
    Off,
    /// While the sum over the last ten one-minute buckets is at or over the limit (documentation).
    Sliding,
    /// For 300 s after the limit was crossed; calls under 0.1 s are not charged (server code).
    Ban,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threshold: Some(50),
            drain_per_second: 2,
            continuous_drain: false,
            refused_count: true,
            operating: OperatingRule::Sliding,
            operating_limit: Duration::from_secs(480),
            execution_time: Duration::from_millis(20),
            outer_batch_is_charged: true,
            bots_per_owner: Some(100),
        }
    }
}

impl Limits {
    /// No limits at all, as on a self-hosted portal.
    #[must_use]
    pub fn none() -> Self {
        Self {
            threshold: None,
            operating: OperatingRule::Off,
            bots_per_owner: None,
            ..Self::default()
        }
    }

    /// The limits of an Enterprise plan: 250 at once, 5 per second.
    #[must_use]
    pub fn enterprise() -> Self {
        Self {
            threshold: Some(250),
            drain_per_second: 5,
            ..Self::default()
        }
    }
}

/// The request counter of one source address.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    level: f64,
    drained_at: UnixTime,
}

impl Bucket {
    pub(crate) fn new(now: UnixTime) -> Self {
        Self {
            level: 0.0,
            drained_at: now,
        }
    }

    /// Counts one request; false = it is refused.
    pub(crate) fn admits(&mut self, limits: &Limits, now: UnixTime) -> bool {
        let Some(threshold) = limits.threshold else {
            return true;
        };
        self.drain(limits, now);
        if self.level <= 0.0 {
            self.level = 0.0;
            // An empty bucket has no phase: steps count from the request that fills it again,
            // so no step comes earlier than a continuous drain would allow.
            self.drained_at = now;
        }
        let admitted = self.level + 1.0 <= f64::from(threshold);
        if admitted || limits.refused_count {
            self.level += 1.0;
        }
        admitted
    }

    /// How full it is now.
    pub(crate) fn level(&self, limits: &Limits, now: UnixTime) -> f64 {
        let mut later = self.clone();
        later.drain(limits, now);
        later.level.max(0.0)
    }

    fn drain(&mut self, limits: &Limits, now: UnixTime) {
        let passed = now.saturating_sub(self.drained_at);
        let drain = f64::from(limits.drain_per_second);
        if limits.continuous_drain {
            self.level -= passed.as_secs_f64() * drain;
            self.drained_at = now;
        } else {
            let steps = passed.as_secs();
            self.level -= Duration::from_secs(steps).as_secs_f64() * drain;
            self.drained_at += Duration::from_secs(steps);
        }
    }
}

/// Execution time of one method for one credential.
#[derive(Debug, Default)]
pub(crate) struct Operating {
    /// (minute since 1970, seconds spent in it), oldest first.
    minutes: VecDeque<(u64, f64)>,
    banned_until: Option<UnixTime>,
}

const WINDOW_MINUTES: u64 = 10;
const BAN: Duration = Duration::from_secs(300);
const FREE_OF_CHARGE: Duration = Duration::from_millis(100);

impl Operating {
    /// Whether a call may begin now.
    pub(crate) fn admits(&mut self, limits: &Limits, now: UnixTime) -> bool {
        match limits.operating {
            OperatingRule::Off => true,
            OperatingRule::Sliding => self.sum(now) < limits.operating_limit.as_secs_f64(),
            OperatingRule::Ban => self.banned_until.is_none_or(|until| now >= until),
        }
    }

    /// Adds the time a call took.
    pub(crate) fn charge(&mut self, limits: &Limits, now: UnixTime, took: Duration) {
        let free = limits.operating == OperatingRule::Ban && took < FREE_OF_CHARGE;
        if limits.operating == OperatingRule::Off || free {
            return;
        }
        let minute = now.as_secs() / 60;
        match self.minutes.back_mut() {
            Some((last, seconds)) if *last == minute => *seconds += took.as_secs_f64(),
            _ => self.minutes.push_back((minute, took.as_secs_f64())),
        }
        let crossed = self.sum(now) >= limits.operating_limit.as_secs_f64();
        if limits.operating == OperatingRule::Ban && crossed {
            self.banned_until = Some(now + BAN);
            self.minutes.clear();
        }
    }

    /// Seconds spent in the last ten minutes.
    pub(crate) fn sum(&mut self, now: UnixTime) -> f64 {
        let minute = now.as_secs() / 60;
        while self
            .minutes
            .front()
            .is_some_and(|(oldest, _)| oldest + WINDOW_MINUTES <= minute)
        {
            self.minutes.pop_front();
        }
        self.minutes.iter().map(|(_, seconds)| seconds).sum()
    }

    /// When the oldest minute leaves the sum, or the ban ends; whole seconds since 1970.
    pub(crate) fn resets_at(&self, now: UnixTime) -> u64 {
        match (self.banned_until, self.minutes.front()) {
            (Some(until), _) if until > now => until.as_secs(),
            (_, Some((oldest, _))) => (oldest + WINDOW_MINUTES) * 60,
            (_, None) => now.as_secs() + WINDOW_MINUTES * 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(bucket: &mut Bucket, limits: &Limits, at: f64, calls: usize) -> usize {
        let now = Duration::from_secs_f64(at);
        (0..calls).filter(|_| bucket.admits(limits, now)).count()
    }

    #[test]
    fn a_full_bucket_admits_two_more_after_each_whole_second() {
        let limits = Limits {
            refused_count: false,
            ..Limits::default()
        };
        let mut bucket = Bucket::new(Duration::from_secs(1));
        assert_eq!(admitted(&mut bucket, &limits, 1.0, 60), 50);
        assert_eq!(admitted(&mut bucket, &limits, 1.9, 5), 0);
        assert_eq!(admitted(&mut bucket, &limits, 2.0, 5), 2);
        assert_eq!(admitted(&mut bucket, &limits, 4.5, 9), 4);
    }

    #[test]
    fn looking_at_the_level_changes_nothing() {
        let limits = Limits::default();
        let mut bucket = Bucket::new(Duration::from_secs(1));
        assert_eq!(admitted(&mut bucket, &limits, 1.0, 10), 10);
        for (at, level) in [(1, 10.0), (3, 6.0), (9, 0.0), (1, 10.0)] {
            assert_eq!(bucket.level(&limits, Duration::from_secs(at)), level);
        }
    }

    #[test]
    fn refused_requests_fill_the_bucket_when_they_count() {
        let limits = Limits::default();
        let mut bucket = Bucket::new(Duration::from_secs(1));
        assert_eq!(admitted(&mut bucket, &limits, 1.0, 60), 50);
        assert_eq!(admitted(&mut bucket, &limits, 6.0, 1), 0);
        assert_eq!(admitted(&mut bucket, &limits, 7.0, 3), 1);
    }

    #[test]
    fn a_continuous_drain_admits_one_every_half_second() {
        let limits = Limits {
            continuous_drain: true,
            refused_count: false,
            ..Limits::default()
        };
        let mut bucket = Bucket::new(Duration::from_secs(1));
        assert_eq!(admitted(&mut bucket, &limits, 1.0, 60), 50);
        assert_eq!(admitted(&mut bucket, &limits, 1.5, 5), 1);
    }

    #[test]
    fn sliding_sum_blocks_until_the_old_minute_falls_out() {
        let limits = Limits::default();
        let mut operating = Operating::default();
        let start = Duration::from_secs(6_000);
        operating.charge(&limits, start, Duration::from_secs(481));
        assert!(!operating.admits(&limits, start + Duration::from_secs(599)));
        assert_eq!(operating.resets_at(start), 6_600);
        assert!(operating.admits(&limits, start + Duration::from_secs(600)));
    }

    #[test]
    fn a_ban_lasts_five_minutes_and_short_calls_are_free() {
        let limits = Limits {
            operating: OperatingRule::Ban,
            ..Limits::default()
        };
        let mut operating = Operating::default();
        let start = Duration::from_secs(6_000);
        for _ in 0..10_000 {
            operating.charge(&limits, start, Duration::from_millis(99));
        }
        assert!(operating.admits(&limits, start));
        operating.charge(&limits, start, Duration::from_secs(481));
        assert!(!operating.admits(&limits, start + Duration::from_secs(299)));
        assert_eq!(operating.resets_at(start), 6_300);
        assert!(operating.admits(&limits, start + Duration::from_secs(300)));
    }
}
