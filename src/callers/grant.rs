//! What one caller may do.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    pattern::Patterns,
    rpc::{Rpc, Rpcs},
};
use crate::ids::{BotCode, PortalId};

/// What one caller may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    name: Box<str>,
    /// Whose turn it takes: no address looks like it.
    turn: Arc<str>,
    /// Nobody is configured, so everybody may do everything.
    open: bool,
    portals: Patterns,
    bots: Patterns,
    rpcs: Rpcs,
    default_portal: Option<PortalId>,
    names_pods: bool,
    /// Callers that share their bots with this one.
    sharers: BTreeSet<Box<str>>,
    /// All callers there are.
    known: Arc<BTreeSet<Box<str>>>,
    /// Portals that installed themselves and were granted.
    granted: BTreeSet<PortalId>,
    /// Portals that an operator named.
    named: Arc<BTreeSet<PortalId>>,
}

/// What an operator grants to a caller.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Portals it may use.
    pub portals: Patterns,
    /// Codes of bots it may use.
    pub bots: Patterns,
    /// RPCs it may call.
    pub rpcs: Rpcs,
    /// What an empty `portal` means.
    pub default_portal: Option<PortalId>,
    /// Whether it may say from which pods its calls come.
    pub names_pods: bool,
    /// Portals that installed themselves and that it may use.
    pub granted: BTreeSet<PortalId>,
}

impl Grant {
    pub(super) fn new(
        name: &str,
        terms: Terms,
        sharers: BTreeSet<Box<str>>,
        known: Arc<BTreeSet<Box<str>>>,
        named: Arc<BTreeSet<PortalId>>,
    ) -> Self {
        Self {
            name: name.into(),
            turn: format!("caller:{name}").into(),
            open: false,
            portals: terms.portals,
            bots: terms.bots,
            rpcs: terms.rpcs,
            default_portal: terms.default_portal,
            names_pods: terms.names_pods,
            sharers,
            known,
            granted: terms.granted,
            named,
        }
    }

    /// Everything, for everybody.
    #[must_use]
    pub fn open() -> Self {
        Self {
            name: "".into(),
            turn: "".into(),
            open: true,
            portals: Patterns::all(),
            bots: Patterns::all(),
            rpcs: Rpcs::all(),
            default_portal: None,
            names_pods: false,
            sharers: BTreeSet::new(),
            known: Arc::default(),
            granted: BTreeSet::new(),
            named: Arc::default(),
        }
    }

    /// Nothing at all.
    #[must_use]
    pub fn nothing() -> Self {
        let terms = Terms::default();
        Self::new("", terms, BTreeSet::new(), Arc::default(), Arc::default())
    }

    /// The caller's name, which owns the bots it makes; empty for everybody.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose turn its calls take.
    #[must_use]
    pub fn turn(&self) -> &Arc<str> {
        &self.turn
    }

    /// Whether everybody may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// What an empty `portal` means to this caller, where that was decided.
    #[must_use]
    pub fn default_portal(&self) -> Option<&PortalId> {
        self.default_portal.as_ref()
    }

    /// Whether the caller is believed when it says from which pod a call comes, as a relay does. Nothing is
    /// granted for that.
    #[must_use]
    pub fn names_pods(&self) -> bool {
        self.names_pods
    }

    /// Whether the caller may call this at all.
    #[must_use]
    pub fn allows(&self, rpc: Rpc) -> bool {
        self.rpcs.has(rpc)
    }

    /// Whether the caller may use a portal. One that installed itself is none that a `*` means.
    #[must_use]
    pub fn portal(&self, portal: &PortalId) -> bool {
        let name = portal.as_str();
        self.open
            || self.portals.lists(name)
            || (self.portals.has(name) && self.named.contains(portal))
            || self.granted.contains(portal)
    }

    /// Whether the caller may use bots of this code, if they belong to it.
    #[must_use]
    pub fn bot(&self, code: &BotCode) -> bool {
        self.open || self.bots.has(code.as_str())
    }

    /// Whether what belongs to `owner` belongs to this caller as well.
    ///
    /// What nobody there is owns, because it was made before callers were configured or by one that
    /// was removed, belongs to whoever may register bots.
    #[must_use]
    pub fn owns(&self, owner: &str) -> bool {
        if self.open || (!owner.is_empty() && *owner == *self.name) || self.sharers.contains(owner)
        {
            return true;
        }
        !self.known.contains(owner) && self.allows(Rpc::RegisterBot)
    }
}
