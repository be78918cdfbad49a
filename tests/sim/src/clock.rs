//! The time of the simulated world.
//!
//! Portal time is a fixed moment plus what tokio's clock has measured since the start, times a
//! scale, plus the steps a test took. A paused tokio clock therefore pauses every portal, and a
//! step moves portal time alone, without waking timers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A moment: time since 1970-01-01T00:00:00Z.
pub type UnixTime = Duration;

/// The largest scale of a [`Clock`].
pub(crate) const FASTEST: f64 = 1_000_000.0;
/// Portal time never leaves this range, so that sums with it cannot overflow: about 30,000 years.
const LATEST: UnixTime = UnixTime::from_secs(1_000_000_000_000);

/// Portal time, shared by all portals of one [`Sim`](crate::Sim). Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    pace: Arc<Mutex<Pace>>,
}

/// What the clock showed at a moment of tokio's clock, and how fast it runs from there.
#[derive(Debug)]
struct Pace {
    since: Instant,
    shown: UnixTime,
    scale: f64,
}

impl Pace {
    fn now(&self) -> UnixTime {
        let passed = self.since.elapsed();
        // The product is exact only where nothing is multiplied.
        let passed = if self.scale == 1.0 {
            passed
        } else {
            Duration::try_from_secs_f64(passed.as_secs_f64() * self.scale).unwrap_or(LATEST)
        };
        self.shown.saturating_add(passed).min(LATEST)
    }
}

impl Clock {
    /// A clock that shows `base` now.
    #[must_use]
    pub fn starting_at(base: UnixTime) -> Self {
        let pace = Pace {
            since: Instant::now(),
            shown: base.min(LATEST),
            scale: 1.0,
        };
        Self {
            pace: Arc::new(Mutex::new(pace)),
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present moment of all portals.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.pace().now()
    }

    /// Moves portal time forward at once. Timers of tokio do not notice: only limits, windows,
    /// expiries and dates do.
    pub fn advance(&self, by: Duration) {
        let mut pace = self.pace();
        pace.shown = pace.shown.saturating_add(by).min(LATEST);
    }

    /// How many seconds of portal time pass in one of tokio's.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.pace().scale
    }

    /// Lets portal time run this many times as fast from now on; 0 stops it. Values outside
    /// 0 to 1,000,000 are brought into that range. Timers of tokio do not notice.
    pub fn set_scale(&self, scale: f64) {
        let mut pace = self.pace();
        let now = pace.now();
        *pace = Pace {
            since: Instant::now(),
            shown: now,
            scale: if scale.is_finite() {
                scale.clamp(0.0, FASTEST)
            } else {
                1.0
            },
        };
    }
}

/// `moment` as ISO 8601 in a zone `offset_minutes` east of UTC, e.g. `2026-11-20T11:00:00+01:00`.
pub(crate) fn iso(moment: UnixTime, offset_minutes: i32) -> String {
    let local =
        i64::try_from(moment.as_secs()).unwrap_or(i64::MAX / 2) + i64::from(offset_minutes) * 60;
    let (year, month, day) = civil(local.div_euclid(86_400));
    let second = local.rem_euclid(86_400);
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let offset = offset_minutes.abs();
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{sign}{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60,
        offset / 60,
        offset % 60
    )
}

/// Year, month and day of a day counted from 1970-01-01, by the Gregorian calendar.
///
/// Days are counted from 0000-03-01, so that the leap day ends a year; 400 years repeat exactly.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_with_the_offset_of_the_portal() {
        assert_eq!(iso(Duration::from_secs(0), 0), "1970-01-01T00:00:00+00:00");
        assert_eq!(
            iso(Duration::from_secs(951_782_400), 0),
            "2000-02-29T00:00:00+00:00"
        );
        assert_eq!(
            iso(Duration::from_secs(1_795_168_800), 60),
            "2026-11-20T11:00:00+01:00"
        );
        assert_eq!(
            iso(Duration::from_secs(1_795_168_800), -210),
            "2026-11-20T06:30:00-03:30"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_and_the_tokio_clock_add_up() {
        let clock = Clock::starting_at(Duration::from_secs(100));
        tokio::time::advance(Duration::from_secs(5)).await;
        clock.clone().advance(Duration::from_secs(600));
        assert_eq!(clock.now(), Duration::from_secs(705));
    }

    #[tokio::test(start_paused = true)]
    async fn a_scaled_clock_runs_faster_or_stands_still() {
        let clock = Clock::starting_at(Duration::from_secs(100));
        clock.set_scale(60.0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now(), Duration::from_secs(220));
        clock.set_scale(0.0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now(), Duration::from_secs(220));
    }
}
