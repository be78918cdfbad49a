//! Asks a portal to tell us what becomes of our application there.
//!
//! The first callback comes to the address in the application's settings; of the others a portal tells
//! only who asked for them (C24), and it forgets that with every update (C8).

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::warn;

use super::desk::Desk;
use crate::{
    fault::Chain,
    ids::PortalId,
    portal::{
        self, Call, Patience, Portal,
        wire::{
            Method,
            lenient::{Fields, list},
        },
    },
    turns::Turns,
};

/// What we want to hear of.
const EVENTS: [&str; 4] = [
    "ONAPPUNINSTALL",
    "ONAPPUPDATE",
    "ONAPPPAYMENT",
    "ONAPPMETHODCONFIRM",
];

/// How long each call for it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Portals that are being asked, and those that wait for that.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    turns: Turns<PortalId>,
    waiting: Mutex<BTreeSet<PortalId>>,
}

/// The one who waits to ask a portal.
struct Waiting(PortalId);

impl Bindings {
    /// `None` when somebody waits already.
    fn wait(&self, portal: &PortalId) -> Option<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let first = waiting.insert(portal.clone());
        first.then(|| Waiting(portal.clone()))
    }

    fn begin(&self, one: Waiting) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&one.0);
    }
}

impl Desk {
    /// Sees, while others go on, that a portal tells us of these events.
    pub(super) fn bind(&self, portal: Portal) {
        // One who waits does it for all who come meanwhile.
        let Some(waiting) = self.bindings().wait(portal.id()) else {
            return;
        };
        let desk = self.clone();
        self.life().serve(async move {
            // What is bound twice at once is refused to one of them.
            let _turn = desk.bindings().turns.of(waiting.0.clone()).await;
            desk.bindings().begin(waiting);
            let handler = desk.events_url();
            if let Err(error) = bind(&portal, handler).await {
                warn!(portal.id = %portal.id(), error = %Chain(&error), "the portal will not tell when the application is removed, updated or paid");
            }
        });
    }
}

async fn bind(portal: &Portal, handler: &str) -> Result<(), portal::Error> {
    let ask = async |call| {
        let patience = Patience::until("".into(), Instant::now() + PATIENCE);
        portal.call(call, &patience).await
    };
    let reply = ask(Call::new(Method::EventBindings)).await?;
    let bound = list(&reply.result).unwrap_or_default();
    let is_bound = |event: &str| {
        bound.iter().any(|one| {
            let one = Fields::or_none(Some(one));
            let (name, url) = (one.filled("event"), one.filled("handler"));
            name.is_some_and(|name| name.eq_ignore_ascii_case(event))
                && url.is_some_and(|url| url == handler)
        })
    };
    for event in EVENTS {
        if !is_bound(event) {
            let call = Call::new(Method::EventBind);
            ask(call.with("event", event).with("handler", handler)).await?;
        }
    }
    Ok(())
}
