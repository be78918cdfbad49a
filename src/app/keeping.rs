//! What an operator gave us: in the configuration, and by commands that the store remembers.

use std::collections::{BTreeMap, BTreeSet};

use tracing::error;

use super::{Error, listen};
use crate::{
    admin::{self, Keeper, Live, Names},
    callers::{Callers, Description, Roster},
    clock::Clock,
    config::{self, AdminSocket},
    ids::PortalId,
    lifecycle::Lifecycle,
    portal::{self, Portals, WebhookUrl},
    store::Store,
};

/// What the store holds of portals.
pub(super) async fn portals(
    store: &Store,
    config: &portal::Config,
    restored: bool,
) -> Result<portal::Kept, Error> {
    let mut webhooks = Vec::new();
    for (id, url) in store.webhooks().await? {
        match WebhookUrl::parse(&url) {
            Ok(url) => webhooks.push((id, url)),
            Err(rule) => error!(portal.id = %id, %rule, "a stored webhook cannot be used"),
        }
    }
    if config.portals.is_empty() && config.application.is_none() && webhooks.is_empty() {
        return Err(config::no_portal().into());
    }
    Ok(portal::Kept {
        addresses: store.addresses().await?,
        pairs: store.pairs().await?,
        webhooks,
        restored,
    })
}

/// Who may call. `named`: portals that are configured or were added.
pub(super) async fn callers(
    store: &Store,
    configured: BTreeMap<String, Description>,
    named: BTreeSet<PortalId>,
) -> Result<Callers, Error> {
    let mut kept = BTreeMap::new();
    for caller in store.callers().await? {
        let described = admin::describe(&caller).unwrap_or_else(|error| {
            error!(%error, "a stored caller cannot be used: nobody is let in as it");
            Description::default()
        });
        kept.insert(caller.name, described);
    }
    let roster = Roster {
        configured,
        kept,
        named,
        grants: store.grants().await?.into_iter().collect(),
    };
    Ok(Callers::new(roster)?)
}

/// Takes commands.
pub(super) fn commands(
    place: Option<AdminSocket>,
    store: &Store,
    clock: Clock,
    names: Names,
    live: Live,
    life: &Lifecycle,
) -> Result<Option<admin::Server>, Error> {
    let keeper = Keeper::new(store.clone(), clock, names, Some(live));
    listen(place, keeper, life)
}

/// Portals that an operator named.
pub(super) fn named(configured: &Names, kept: &portal::Kept) -> BTreeSet<PortalId> {
    let added = kept.webhooks.iter().map(|(id, _)| id);
    configured.portals.iter().chain(added).cloned().collect()
}

/// Says why portals are not called, if none is.
pub(super) fn tell_if_held(portals: &Portals) {
    if portals.held() {
        tracing::warn!(
            "the store was restored: its portals are not called before `store activate`"
        );
    }
}
