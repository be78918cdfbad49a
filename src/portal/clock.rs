//! The time by a portal's own clock.
//!
//! The portal says in its answers when it finished them. From there its time is counted on with a
//! clock that never jumps, so that setting ours changes nothing of what we know about the portal's.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::wire::Time;
use crate::clock::Clock;

/// A portal's clock, as far as its answers told.
#[derive(Debug)]
pub(super) struct PortalClock {
    ours: Clock,
    /// What it showed at a moment of the clock that never jumps.
    known: Mutex<Option<(Timestamp, Instant)>>,
}

impl PortalClock {
    /// One that shows what ours does, until the portal says otherwise.
    pub(super) fn new(ours: Clock) -> Self {
        Self {
            ours,
            known: Mutex::new(None),
        }
    }

    /// What it shows now.
    pub(super) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    /// What it shows now, once an answer told.
    pub(super) fn told(&self) -> Option<Timestamp> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.map(|_| self.now())
    }

    /// What it shows less what ours shows.
    pub(super) fn skew(&self) -> SignedDuration {
        self.now().duration_since(self.ours.now())
    }

    /// An answer came. The portal finished it somewhere between our sending and receiving: a clock that
    /// shows as much is right, another is off by at least the rest.
    pub(super) fn learn(&self, time: &Time, sent: Instant, received: Instant) {
        let finish = time.finish.map(SignedDuration::try_from_secs_f64);
        let Some(Ok(finish)) = finish else { return };
        let Ok(finish) = Timestamp::from_duration(finish) else {
            return;
        };
        let moment = if finish < self.at(sent) {
            sent
        } else if finish > self.at(received) {
            received
        } else {
            let kept = (self.at(received), received);
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
            return;
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((finish, moment));
    }

    fn at(&self, instant: Instant) -> Timestamp {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((shown, then)) = known else {
            return self.ours.at(instant);
        };
        let there = if instant >= then {
            shown.saturating_add(instant - then)
        } else {
            shown.saturating_sub(then - instant)
        };
        there.unwrap_or(shown)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn told(finish: Timestamp) -> Time {
        Time {
            finish: Some(finish.as_duration().as_secs_f64()),
            ..Time::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clock_that_agrees_with_an_answer_is_kept() {
        let base: Timestamp = "2026-11-02T10:00:00Z".parse().unwrap();
        let clock = PortalClock::new(Clock::driven(base));
        let sent = Instant::now();
        advance(Duration::from_secs(2)).await;
        clock.learn(&told(base + Duration::from_secs(1)), sent, Instant::now());
        assert_eq!(clock.skew(), SignedDuration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn clock_that_is_off_is_corrected_by_no_more_than_is_sure() {
        let base: Timestamp = "2026-11-02T10:00:00Z".parse().unwrap();
        let clock = PortalClock::new(Clock::driven(base));
        let sent = Instant::now();
        advance(Duration::from_secs(2)).await;
        let received = Instant::now();
        clock.learn(&told(base + Duration::from_secs(62)), sent, received);
        assert_eq!(clock.skew(), SignedDuration::from_secs(60));
        clock.learn(&told(base - Duration::from_secs(60)), sent, received);
        assert_eq!(clock.skew(), SignedDuration::from_secs(-60));
    }
}
