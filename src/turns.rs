//! One at a time, by key.
//!
//! Bitrix24 does not order concurrent changes of one object, so we do: whoever wants to change a bot,
//! answer an event or write into a dialog waits for its turn, in the order of asking.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// The queues, one per key that somebody uses.
#[derive(Debug)]
pub(crate) struct Turns<K: Eq + Hash>(Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>);

/// A turn; ends when dropped.
pub(crate) struct Turn<'a, K: Eq + Hash> {
    turns: &'a Turns<K>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Whether nobody has the turn of a key, or waits for it.
    pub(crate) fn is_free(&self, key: &K) -> bool {
        let queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !queues.contains_key(key)
    }

    /// Waits for the turn of a key.
    pub(crate) async fn of(&self, key: K) -> Turn<'_, K> {
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(key.clone()).or_default())
        };
        // Made first, so that somebody who stops waiting cleans up as well.
        let mut turn = Turn {
            turns: self,
            key,
            guard: None,
        };
        turn.guard = Some(queue.lock_owned().await);
        turn
    }
}

impl<K: Eq + Hash> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        self.guard = None;
        let mut queues = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queues
            .get(&self.key)
            .is_some_and(|queue| Arc::strong_count(queue) == 1)
        {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_of_one_key_exclude_each_other_and_leave_nothing_behind() {
        let turns = Turns::default();
        let first = turns.of("a").await;
        let other = turns.of("b").await;
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(1), turns.of("a")).await;
        assert!(waiting.is_err());
        drop((first, other));
        drop(turns.of("a").await);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
