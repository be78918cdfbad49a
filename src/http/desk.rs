//! What the handlers work with.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Authorizations, EVENTS, PublicUrl, refusals::Refusals};
use crate::{bots::Bots, lifecycle::Lifecycle, portal::Portals};

/// Requests that are worked on at once. Each may wait for the authorization server.
const AT_ONCE: usize = 64;

/// What the handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    portals: Portals,
    bots: Bots,
    life: Lifecycle,
    authorizations: Authorizations,
    events_url: String,
    places: Arc<Semaphore>,
    refusals: Refusals,
}

impl Desk {
    pub(super) fn new(
        portals: Portals,
        bots: Bots,
        life: Lifecycle,
        authorizations: Authorizations,
        public_url: &PublicUrl,
    ) -> Self {
        Self(Arc::new(Inner {
            portals,
            bots,
            life,
            authorizations,
            events_url: public_url.at(EVENTS),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            refusals: Refusals::default(),
        }))
    }

    pub(super) fn portals(&self) -> &Portals {
        &self.0.portals
    }

    pub(super) fn bots(&self) -> &Bots {
        &self.0.bots
    }

    pub(super) fn life(&self) -> &Lifecycle {
        &self.0.life
    }

    pub(super) fn authorizations(&self) -> &Authorizations {
        &self.0.authorizations
    }

    /// Where portals reach us.
    pub(super) fn events_url(&self) -> &str {
        &self.0.events_url
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }

    /// A place for one more request; `None` while all are taken.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.places).try_acquire_owned().ok()
    }
}
