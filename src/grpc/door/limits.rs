//! How much one caller may have under way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts what is under way. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    calls: usize,
    streams: usize,
    under_way: Mutex<HashMap<(Arc<str>, Kind), usize>>,
}

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Call,
    Stream,
}

/// Something under way, until dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limits: Limits,
    key: (Arc<str>, Kind),
}

impl Limits {
    pub(super) fn new(calls: usize, streams: usize) -> Self {
        Self(Arc::new(Inner {
            calls,
            streams,
            under_way: Mutex::default(),
        }))
    }

    /// Lets one more begin; `None` when the caller has as many as it may.
    pub(super) fn begin(&self, caller: &Arc<str>, kind: Kind) -> Option<Permit> {
        let most = match kind {
            Kind::Call => self.0.calls,
            Kind::Stream => self.0.streams,
        };
        let key = (Arc::clone(caller), kind);
        let mut under_way = self.under_way();
        let count = under_way.entry(key.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(under_way);
        Some(Permit {
            limits: self.clone(),
            key,
        })
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, HashMap<(Arc<str>, Kind), usize>> {
        let under_way = self.0.under_way.lock();
        under_way.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut under_way = self.limits.under_way();
        if let Some(count) = under_way.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_its_own_limits_and_leaves_nothing_behind() {
        let limits = Limits::new(2, 1);
        let (one, other) = (Arc::from("one"), Arc::from("other"));
        let calls: Vec<_> = (0..3).map(|_| limits.begin(&one, Kind::Call)).collect();
        assert!(calls[1].is_some() && calls[2].is_none());
        let stream = limits.begin(&one, Kind::Stream);
        assert!(stream.is_some() && limits.begin(&one, Kind::Stream).is_none());
        let elsewhere = limits.begin(&other, Kind::Call);
        assert!(elsewhere.is_some());
        drop((calls, stream, elsewhere));
        assert!(limits.under_way().is_empty());
        assert!(limits.begin(&one, Kind::Stream).is_some());
    }
}
