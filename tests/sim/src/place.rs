//! Where faults wait and requests are recorded: a portal, or the authorization server.

use std::sync::{Arc, Mutex, PoisonError};

use crate::fault::Queue;
use crate::journal::Record;
use crate::oauth::Office;
use crate::portal::Portal;

/// One of the places that answer requests.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Portal(Portal),
    OAuth(Arc<Mutex<Office>>),
}

impl Place {
    pub(crate) fn with_faults<T>(&self, act: impl FnOnce(&mut Queue) -> T) -> T {
        match self {
            Self::Portal(portal) => act(&mut portal.state().faults),
            Self::OAuth(office) => {
                act(&mut office.lock().unwrap_or_else(PoisonError::into_inner).faults)
            }
        }
    }

    pub(crate) fn with_journal<T>(&self, act: impl FnOnce(&mut Record) -> T) -> T {
        match self {
            Self::Portal(portal) => act(&mut portal.state().journal),
            Self::OAuth(office) => act(&mut office
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .journal),
        }
    }
}
