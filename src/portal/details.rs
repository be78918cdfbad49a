//! What a portal tells of itself when it is asked: its revision, and what its webhook may use.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Call, Credential, Error, Patience, Portal,
    wire::{Method, answer},
};

/// How long what was told is taken for granted: portals are updated, and webhooks edited.
const HOLDS: Duration = Duration::from_secs(3600);

/// What was told, and when.
#[derive(Debug, Default)]
pub(super) struct Details(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    revision: Option<(i64, Instant)>,
    scopes: Option<(Vec<String>, Instant)>,
}

impl Details {
    /// Something else lets us in.
    pub(super) fn forget(&self) {
        *self.told() = Told::default();
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Portal {
    /// Its REST revision. Asked for unless it was told within the hour.
    ///
    /// # Errors
    ///
    /// As [`Portal::call`]; [`Cause::MethodMissing`](super::Cause::MethodMissing) before revision 33.
    pub async fn revision(&self, patience: &Patience) -> Result<i64, Error> {
        if let Some(known) = self.known_revision() {
            return Ok(known);
        }
        let method = Method::RevisionGet;
        let reply = self.call(Call::new(method), patience).await?;
        let told = answer::revision(&reply.result)
            .map_err(|unreadable| Error::unreadable(method, unreadable).at(self.id()))?;
        self.0.details.told().revision = Some((told.rest, Instant::now()));
        Ok(told.rest)
    }

    /// Its REST revision, if it was told within the hour.
    #[must_use]
    pub fn known_revision(&self) -> Option<i64> {
        fresh(self.0.details.told().revision.as_ref())
    }

    /// What its webhook may use, or its tokens. Asked for unless it is known.
    ///
    /// # Errors
    ///
    /// As [`Portal::call`].
    pub async fn scopes(&self, patience: &Patience) -> Result<Vec<String>, Error> {
        if let Some(known) = self.known_scopes() {
            return Ok(known);
        }
        let reply = self.call(Call::new(Method::Scope), patience).await?;
        let told = answer::scopes(&reply.result);
        self.0.details.told().scopes = Some((told.clone(), Instant::now()));
        Ok(told)
    }

    /// What its tokens may use, or its webhook, if that was told within the hour.
    #[must_use]
    pub fn known_scopes(&self) -> Option<Vec<String>> {
        match self.credential() {
            Credential::OAuth { tokens, .. } => {
                Some(tokens.map(|tokens| tokens.scope).unwrap_or_default())
            }
            Credential::Webhook { .. } => fresh(self.0.details.told().scopes.as_ref()),
        }
    }
}

fn fresh<T: Clone>(told: Option<&(T, Instant)>) -> Option<T> {
    let (told, at) = told?;
    (at.elapsed() < HOLDS).then(|| told.clone())
}
