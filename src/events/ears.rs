//! Who reads along without the name of a subscription.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::view::View;

/// A stream without a name.
#[derive(Debug, Clone)]
pub struct Ear {
    /// Whose it is; empty where callers are not told apart.
    pub caller: String,
    /// What it wants to see.
    pub view: View,
}

/// All of them. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Ears(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    next: u64,
    open: BTreeMap<u64, Ear>,
}

/// One is open until this is dropped.
#[derive(Debug)]
pub(super) struct Open(Ears, u64);

impl Ears {
    pub(super) fn open(&self, caller: &str, view: &View) -> Open {
        let mut known = self.known();
        let id = known.next;
        known.next += 1;
        let ear = Ear {
            caller: caller.to_owned(),
            view: view.clone(),
        };
        known.open.insert(id, ear);
        Open(self.clone(), id)
    }

    pub(super) fn all(&self) -> Vec<Ear> {
        self.known().open.values().cloned().collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.known().open.remove(&self.1);
    }
}
