//! Asks a portal to tell us what becomes of our application there.
//!
//! The first callback comes to the address in the application's settings; of the others a portal tells
//! only who asked for them (C24), and it forgets that with every update (C8).

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::desk::Desk;
use crate::{
    fault::Chain,
    portal::{
        self, Call, Patience, Portal,
        wire::{
            Method,
            lenient::{Fields, list},
        },
    },
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

impl Desk {
    /// Sees, while others go on, that a portal tells us of these events.
    pub(super) fn bind(&self, portal: Portal) {
        let handler = self.events_url().to_owned();
        self.life().spawn(async move {
            if let Err(error) = bind(&portal, &handler).await {
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
