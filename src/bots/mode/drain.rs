//! Waits until a bot's events were fetched to an empty page.
//!
//! Whoever fetches, fetches on; here it is asked to do so at once and tells when nothing is left.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::timeout_at};

use super::{Bots, Error, Name, Patience, drain_ends};

/// Which bots are drained, and who is told of modes that nobody knows.
#[derive(Debug, Default)]
pub(in crate::bots) struct Drains {
    wanted: Mutex<BTreeMap<Name, Arc<Notify>>>,
    doubts: Notify,
}

/// Ends a wish for a drain when dropped.
struct Wish<'a>(&'a Drains, &'a Name);

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        self.0.wanted().remove(self.1);
    }
}

impl Drains {
    fn wanted(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Notify>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody knows the mode of some bot.
    pub(super) fn doubt(&self) {
        self.doubts.notify_one();
    }

    /// Completes when that may be so.
    pub(super) async fn doubted(&self) {
        self.doubts.notified().await;
    }
}

impl Bots {
    /// Whether a bot is to be fetched at once, until nothing is left.
    pub(crate) fn is_drained(&self, name: &Name) -> bool {
        self.0.drains.wanted().contains_key(name)
    }

    /// Nothing was left of a bot.
    pub(crate) fn drained(&self, name: &Name) {
        if let Some(waiting) = self.0.drains.wanted().get(name) {
            waiting.notify_one();
        }
    }

    /// Completes when nothing is left of a bot in the portal. Whoever calls this has the turn of its
    /// changes.
    pub(super) async fn drain(&self, name: &Name, patience: &Patience) -> Result<(), Error> {
        let empty = Arc::new(Notify::new());
        self.0
            .drains
            .wanted()
            .insert(name.clone(), Arc::clone(&empty));
        let _wish = Wish(&self.0.drains, name);
        self.0.changed.send_replace(());
        let drained = timeout_at(drain_ends(patience), empty.notified()).await;
        drained.map_err(|_| Error::NotDrained(name.1.clone()))
    }
}
