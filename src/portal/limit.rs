//! Paces requests so that a portal need not refuse us.
//!
//! Bitrix24 counts requests per portal and source address: each adds one, every second takes some
//! off, and above a threshold it refuses (C5). This is a mirror of that counter on the safe side of
//! its readings: it loses what a second takes off only when the whole second has passed, and keeps
//! the last portion of the threshold in reserve for requests that bunch up on the way.
//!
//! Invariant: nothing reaches the transport without a permit. Permits are given in order of asking.

use std::time::Duration;

use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until},
};

/// What a portal allows.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Requests taken off the counter per second; 0 means no limit.
    pub per_second: u32,
    /// The threshold of the counter.
    pub burst: u32,
}

/// The gate to one portal.
#[derive(Debug)]
pub(super) struct Limit {
    rate: Rate,
    // Held while waiting: that is what keeps the order.
    counter: Mutex<Counter>,
}

#[derive(Debug)]
struct Counter {
    level: u32,
    /// Whole seconds are taken off from here on.
    since: Instant,
}

/// The wait would outlast the deadline.
#[derive(Debug)]
pub(super) struct TooLong {
    /// How long it would have been.
    pub(super) wait: Duration,
}

impl Limit {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            counter: Mutex::new(Counter {
                // Nobody knows what was sent from this address before we started.
                level: rate.burst / 2,
                since: Instant::now(),
            }),
        }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Waits for a turn, or refuses early when it would come after `deadline`.
    pub(super) async fn permit(&self, deadline: Option<Instant>) -> Result<(), TooLong> {
        if self.rate.per_second == 0 {
            return Ok(());
        }
        let mut counter = self.counter.lock().await;
        loop {
            let now = Instant::now();
            counter.settle(now, self.rate.per_second);
            let usable = self.rate.burst.saturating_sub(self.rate.per_second).max(1);
            if counter.level < usable {
                counter.level += 1;
                return Ok(());
            }
            let next = counter.since + Duration::from_secs(1);
            if deadline.is_some_and(|deadline| next >= deadline) {
                return Err(TooLong { wait: next - now });
            }
            sleep_until(next).await;
        }
    }

    /// The portal refused for its rate: somebody else shares our address, so its counter is full.
    pub(super) async fn refused(&self) {
        if self.rate.per_second > 0 {
            let mut counter = self.counter.lock().await;
            counter.level = self.rate.burst;
            counter.since = Instant::now();
        }
    }
}

impl Counter {
    fn settle(&mut self, now: Instant, per_second: u32) {
        let seconds = now.duration_since(self.since).as_secs();
        let off = u32::try_from(seconds)
            .unwrap_or(u32::MAX)
            .saturating_mul(per_second);
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

    #[tokio::test(start_paused = true)]
    async fn a_fresh_gate_lets_half_a_burst_through_and_then_two_a_second() {
        let gate = Limit::new(RATE);
        let started = Instant::now();
        for _ in 0..23 {
            gate.permit(None).await.unwrap();
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            gate.permit(None).await.unwrap();
        }
        assert_eq!(started.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_deadline_is_refused_at_once() {
        let gate = Limit::new(RATE);
        while gate.permit(Some(Instant::now())).await.is_ok() {}
        let started = Instant::now();
        let late = gate
            .permit(Some(started + Duration::from_millis(300)))
            .await;
        assert!(late.is_err());
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_means_no_wait() {
        let gate = Limit::new(Rate {
            per_second: 0,
            burst: 1,
        });
        for _ in 0..1000 {
            gate.permit(Some(Instant::now())).await.unwrap();
        }
    }
}
