//! Who floods us does not flood the log: so many lines of a kind a second, and how many were left out.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Decides which lines of a kind are told.
#[derive(Debug)]
pub(crate) struct LogLimit {
    per_second: u32,
    second: Mutex<Second>,
}

/// The second that lines are counted in.
#[derive(Debug, Default)]
struct Second {
    began: Option<Instant>,
    told: u32,
    untold: u64,
}

impl LogLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second,
            second: Mutex::default(),
        }
    }

    /// How many were passed over since the last one that was told; `None` to pass over this one.
    pub(crate) fn may_tell(&self, now: Instant) -> Option<u64> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = second
            .began
            .is_none_or(|began| now.duration_since(began) >= Duration::from_secs(1));
        if fresh {
            second.began = Some(now);
            second.told = 0;
        }
        if second.told >= self.per_second {
            second.untold += 1;
            return None;
        }
        second.told += 1;
        Some(std::mem::take(&mut second.untold))
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
}
