//! Who floods us does not flood the log: so many lines of a kind in a while, and how many were left out.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Decides which lines of a kind are told.
#[derive(Debug)]
pub(crate) struct LogLimit {
    most: u32,
    period: Duration,
    counted: Mutex<Counted>,
}

/// The period that lines are counted in.
#[derive(Debug, Default)]
struct Counted {
    began: Option<Instant>,
    told: u32,
    untold: u64,
}

impl LogLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            most: per_second,
            period: Duration::from_secs(1),
            counted: Mutex::default(),
        }
    }

    /// One line in each such period.
    pub(crate) fn once_in(period: Duration) -> Self {
        Self {
            period,
            ..Self::new(1)
        }
    }

    /// How many were passed over since the last one that was told; `None` to pass over this one.
    pub(crate) fn may_tell(&self, now: Instant) -> Option<u64> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = counted
            .began
            .is_none_or(|began| now.duration_since(began) >= self.period);
        if fresh {
            counted.began = Some(now);
            counted.told = 0;
        }
        if counted.told >= self.most {
            counted.untold += 1;
            return None;
        }
        counted.told += 1;
        Some(std::mem::take(&mut counted.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn flood_is_told_in_part_and_counted() {
        let limit = LogLimit::new(20);
        let now = Instant::now();
        let told = (0..50).filter_map(|_| limit.may_tell(now)).count();
        assert_eq!(told, 20);
        let later = now + Duration::from_secs(1);
        assert_eq!(limit.may_tell(later), Some(30));
        assert_eq!(limit.may_tell(later), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_line_in_a_minute_is_told() {
        let limit = LogLimit::once_in(Duration::from_secs(60));
        let now = Instant::now();
        let told = (0..600).map(|tenth| limit.may_tell(now + Duration::from_millis(tenth * 100)));
        assert_eq!(told.flatten().collect::<Vec<_>>(), [0]);
        assert_eq!(limit.may_tell(now + Duration::from_secs(60)), Some(599));
    }
}
