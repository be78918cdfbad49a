//! Whether anything at all may leave for portals.
//!
//! A restored store may be a clone of one that a living gateway works with. Two that fetch the same
//! events and spend the same refresh tokens ruin each other, so nothing leaves before an operator says
//! that this is the one to go on.
//!
//! Rule: the transport asks last, whoever sends and whatever for; gates ask first, so that nobody tries.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use super::Portals;

/// One for all portals. Cheap to clone; nothing is held by default.
#[derive(Debug, Clone, Default)]
pub struct Hold(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    holds: AtomicBool,
    released: Notify,
}

impl Hold {
    /// One that lets nothing through before it is released.
    #[must_use]
    pub fn closed() -> Self {
        let hold = Self::default();
        hold.0.holds.store(true, Ordering::Release);
        hold
    }

    /// Whether nothing may leave.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.holds.load(Ordering::Acquire)
    }

    /// Lets everything through from now on. Says whether that changed anything.
    pub fn release(&self) -> bool {
        let held = self.0.holds.swap(false, Ordering::AcqRel);
        self.0.released.notify_waiters();
        held
    }

    /// Completes when everything is let through.
    pub async fn released(&self) {
        loop {
            let mut released = std::pin::pin!(self.0.released.notified());
            released.as_mut().enable();
            if !self.holds() {
                return;
            }
            released.await;
        }
    }
}

impl Portals {
    /// Whether nothing leaves for any portal, because the store was restored and is not activated.
    #[must_use]
    pub fn held(&self) -> bool {
        self.0.workshop.hold.holds()
    }

    /// Lets calls leave for portals although the store was restored. Says whether they could not before.
    pub fn release(&self) -> bool {
        let held = self.0.workshop.hold.release();
        for portal in self.list() {
            portal.0.queue.gate_changed();
        }
        self.0.changed.send_replace(());
        held
    }
}
