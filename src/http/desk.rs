//! What the handlers work with.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Authorizations, EVENTS, PublicUrl, bindings::Bindings, refusals::Refusals};
use crate::{bots::Bots, events::Events, lifecycle::Lifecycle, portal::Portals};

/// Requests that are worked on at once. Each may wait for the authorization server.
const AT_ONCE: usize = 64;

/// What the handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    portals: Portals,
    bots: Bots,
    events: Events,
    life: Lifecycle,
    authorizations: Authorizations,
    events_url: String,
    places: Arc<Semaphore>,
    bindings: Bindings,
    refusals: Refusals,
}

impl Desk {
    pub(super) fn new(
        portals: Portals,
        bots: Bots,
        events: Events,
        life: Lifecycle,
        authorizations: Authorizations,
        public_url: &PublicUrl,
    ) -> Self {
        Self(Arc::new(Inner {
            portals,
            bots,
            events,
            life,
            authorizations,
            events_url: public_url.at(EVENTS),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            bindings: Bindings::default(),
            refusals: Refusals::default(),
        }))
    }

    pub(super) fn portals(&self) -> &Portals {
        &self.0.portals
    }

    pub(super) fn bots(&self) -> &Bots {
        &self.0.bots
    }

    pub(super) fn events(&self) -> &Events {
        &self.0.events
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

    /// Which portals are being asked to tell us of events.
    pub(super) fn bindings(&self) -> &Bindings {
        &self.0.bindings
    }

    /// A place for one more request; `None` while all are taken.
    pub(super) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.places).try_acquire_owned().ok()
    }
}
