//! The keys in use, which can be exchanged while the store works.
//!
//! What is sealed may be written a moment later, and a reader may meet it later still. So new keys come
//! in two steps: first everybody can open with them, then everybody seals with them; and whoever must
//! know that nothing is sealed with an older key any more waits until the last who held it is done.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

use super::Keys;

/// How often it is looked whether older keys are still held.
const LOOK: Duration = Duration::from_millis(20);

/// The keys in use.
#[derive(Debug)]
pub(in crate::store) struct Ring {
    now: RwLock<Arc<Keys>>,
    before: Mutex<Vec<Weak<Keys>>>,
    changed: Notify,
}

impl Ring {
    pub(in crate::store) fn new(keys: Keys) -> Self {
        Self {
            now: RwLock::new(Arc::new(keys)),
            before: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The keys of now. Held for one piece of work only.
    pub(in crate::store) fn now(&self) -> Arc<Keys> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in their place. Whoever holds the ones before goes on with them.
    pub(in crate::store) fn put(&self, keys: Keys) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, Arc::new(keys));
        let mut held = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(Arc::downgrade(&before));
        held.retain(|keys| keys.strong_count() > 0);
        self.changed.notify_one();
    }

    /// Completes after others were put in their place. For one who waits.
    pub(in crate::store) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Completes when nobody holds older keys than those of now.
    pub(in crate::store) async fn settled(&self) {
        while !self.is_settled() {
            sleep(LOOK).await;
        }
    }

    fn is_settled(&self) -> bool {
        let mut held = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|keys| keys.strong_count() > 0);
        held.is_empty()
    }
}
