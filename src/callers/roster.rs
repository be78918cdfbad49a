//! Where callers come from, and the policy that this makes.
//!
//! Some stand in the configuration, others were added while the gateway ran and are in the store. A name
//! stands in one of them only, so that nobody revokes a caller that is there still.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{Ambiguous, Description, Policy};
use crate::ids::PortalId;

/// All that a policy is made of.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// Callers of the configuration.
    pub configured: BTreeMap<String, Description>,
    /// Callers of the store. Those that were revoked have no token; while there is one of them, nobody is
    /// let in because nobody is left.
    pub kept: BTreeMap<String, Description>,
    /// Portals that an operator named. Any other installed itself, and is seen by whom it was granted to.
    pub named: BTreeSet<PortalId>,
    /// Those others: which caller may use which.
    pub grants: BTreeSet<(PortalId, String)>,
}

/// Why a roster makes no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// A name stands in two places.
    #[error(
        "the caller `{0}` is configured and in the store as well: take `callers.{0}` out of the configuration, or \
         revoke it before it is configured"
    )]
    Twice(String),
    /// Two callers would be proven by the same thing.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
}

impl Roster {
    /// The policy of these callers.
    ///
    /// # Errors
    ///
    /// See [`Unclear`].
    pub fn policy(&self) -> Result<Policy, Unclear> {
        let mut described = self.configured.clone();
        // Who was revoked is nobody, and may be configured anew.
        let active = self
            .kept
            .iter()
            .filter(|(_, caller)| !caller.tokens.is_empty());
        for (name, caller) in active {
            if described.insert(name.clone(), caller.clone()).is_some() {
                return Err(Unclear::Twice(name.clone()));
            }
        }
        if described.is_empty() && !self.kept.is_empty() {
            return Ok(Policy::closed());
        }
        for (portal, caller) in &self.grants {
            if let Some(caller) = described.get_mut(caller) {
                caller.terms.granted.insert(portal.clone());
            }
        }
        Ok(Policy::new(described, &self.named)?)
    }
}

/// The policy in force, and what it is made of. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Callers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    roster: Mutex<Roster>,
    policy: watch::Sender<Arc<Policy>>,
}

impl Callers {
    /// With these.
    ///
    /// # Errors
    ///
    /// See [`Unclear`].
    pub fn new(roster: Roster) -> Result<Self, Unclear> {
        let policy = roster.policy()?;
        Ok(Self(Arc::new(Inner {
            roster: Mutex::new(roster),
            policy: watch::Sender::new(Arc::new(policy)),
        })))
    }

    /// The policy now.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.policy.borrow())
    }

    /// What it is made of.
    #[must_use]
    pub fn roster(&self) -> Roster {
        let roster = self.0.roster.lock();
        roster.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what the policy is made of: for the next call of everybody, and for streams under way. Says
    /// whether that changed the policy.
    ///
    /// # Errors
    ///
    /// See [`Unclear`]; then everything stays as it was.
    pub fn change(&self, change: impl FnOnce(&mut Roster)) -> Result<bool, Unclear> {
        let mut roster = self.0.roster.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = roster.clone();
        change(&mut changed);
        let policy = changed.policy()?;
        *roster = changed;
        Ok(self.0.policy.send_if_modified(|current| {
            let differs = **current != policy;
            if differs {
                *current = Arc::new(policy);
            }
            differs
        }))
    }
}
