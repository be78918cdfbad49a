//! Who may come in, and who must wait for whom.
//!
//! The gateway holds a bounded number of calls per portal, so that a flood costs its callers and not
//! its memory. Calls of one [`Order`] come in one at a time, in the order of their arrival, and each
//! stays until its last repeat ended: a later message never overtakes an earlier one that is repeated.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Call, Cause, Error, Patience, call::Order};
use crate::{
    ids::PortalId,
    turns::{Turn, Turns},
};

/// Most calls of one caller.
pub const PER_CALLER: usize = 1_000;

/// Most calls.
pub const IN_ALL: usize = 10_000;

/// Most bytes of parameters.
pub const BYTES: usize = 64 << 20;

/// The door to a portal.
#[derive(Debug, Default)]
pub(super) struct Admission {
    inside: Mutex<Inside>,
    orders: Turns<Order>,
}

#[derive(Debug, Default)]
struct Inside {
    calls: usize,
    bytes: usize,
    per_caller: HashMap<Arc<str>, usize>,
}

/// A call that is inside, until dropped.
#[derive(Debug)]
pub(super) struct Admitted<'a> {
    door: &'a Admission,
    caller: Arc<str>,
    bytes: usize,
}

impl Admission {
    /// Lets a call in, unless there are too many.
    pub(super) fn admit(
        &self,
        portal: &PortalId,
        call: &Call,
        patience: &Patience,
    ) -> Result<Admitted<'_>, Error> {
        let bytes = call.size();
        let caller = Arc::clone(patience.caller());
        let mut inside = self.inside();
        let of_caller = inside.per_caller.get(&caller).copied().unwrap_or(0);
        if of_caller >= PER_CALLER || inside.calls >= IN_ALL || inside.bytes + bytes > BYTES {
            let full = Error::new(call.method, Cause::QueueFull).at(portal);
            return Err(full.wait(Duration::from_secs(1)));
        }
        inside.calls += 1;
        inside.bytes += bytes;
        *inside.per_caller.entry(Arc::clone(&caller)).or_default() += 1;
        Ok(Admitted {
            door: self,
            caller,
            bytes,
        })
    }

    /// Waits until no earlier call of the same order is inside.
    pub(super) async fn turn(
        &self,
        portal: &PortalId,
        call: &Call,
        patience: &Patience,
    ) -> Result<Option<Turn<'_, Order>>, Error> {
        let Some(order) = call.order() else {
            return Ok(None);
        };
        tokio::select! {
            biased;
            turn = self.orders.of(order) => Ok(Some(turn)),
            () = patience.left() => Err(Error::new(call.method, Cause::CallerLeft).at(portal)),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        inside.calls -= 1;
        inside.bytes -= self.bytes;
        if let Some(count) = inside.per_caller.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                inside.per_caller.remove(&self.caller);
            }
        }
    }
}
