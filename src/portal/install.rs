//! Portals that come and go while we run: our application is installed somewhere, or removed.
//!
//! Whoever calls this has made sure that the news is true (C8.2). Here is only decided whether it can
//! be used, and that it is durable before anything else sees it.

mod claim;
mod code;
mod payment;
mod proof;

use tracing::{info, warn};

pub use self::{
    claim::{Claim, ClaimError, Vouched},
    code::Expected,
    proof::Remains,
};
use super::{Access, Config, Portal, Portals, WebhookUrl, all::account_names};
use crate::{
    ids::PortalId,
    store::{self, KeptPair, Pair},
};

/// Whose tokens take the place of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Those of the same user.
    Same,
    /// Those of any user.
    Any,
}

/// Why a pair of tokens is not taken.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no application to which it could belong.
    #[error("`oauth.client_id` is not configured")]
    NoApplication,
    /// Its authorization server must not be told our secrets.
    #[error("its authorization server is not among `oauth.hosts`")]
    ForbiddenServer,
    /// Its portal is where none may be.
    #[error("the host of its portal is not among `outbound.portal_hosts`")]
    ForbiddenHost,
    /// Its `member_id` cannot be the name of a portal.
    #[error("its `member_id` cannot be the name of a portal")]
    NoName,
    /// The name of its portal is that of another one.
    #[error("another portal has the name `{0}`")]
    NameTaken(PortalId),
    /// The tokens there are belong to another user.
    #[error("it belongs to user {theirs}, the one in use to user {ours}")]
    AnotherUser {
        /// The user of the new pair.
        theirs: i64,
        /// The user of the pair in use.
        ours: i64,
    },
    /// It cannot be written down.
    #[error("it cannot be stored")]
    Store(#[from] store::Error),
}

impl Config {
    /// Takes webhooks from the store, beside those that are configured.
    pub(super) fn take(&mut self, webhooks: Vec<(PortalId, WebhookUrl)>) {
        for (id, url) in webhooks {
            if self.portals.contains_key(&id) {
                warn!(portal.id = %id, "a stored webhook is not used: the configuration gives its name to another");
                continue;
            }
            self.portals.insert(id, Access::Webhook(url));
        }
    }
}

impl Portals {
    /// Whether there is an application that portals can let in.
    #[must_use]
    pub fn have_application(&self) -> bool {
        self.0.workshop.authority.is_some()
    }

    /// Takes a webhook, which whoever calls has written down: a portal comes into being.
    ///
    /// # Errors
    ///
    /// [`InstallError::NameTaken`], or when the store cannot be read; then nothing changed.
    pub async fn add_webhook(&self, id: PortalId, url: WebhookUrl) -> Result<(), InstallError> {
        let workshop = &self.0.workshop;
        let _one_at_a_time = self.0.changes.lock().await;
        if self.get(&id).is_some() {
            return Err(InstallError::NameTaken(id));
        }
        let used = workshop.store.pacing().await?;
        workshop.transport.add_own(url.host());
        workshop.memory.recall(&used, &[url.place()], workshop.rate);
        let portal = workshop.webhook(id, url, None);
        let limit = &portal.0.sender.limit;
        workshop.memory.resume_methods(&used, portal.id(), limit);
        info!(portal.id = %portal.id(), "portal is added");
        self.0.add(portal);
        Ok(())
    }

    /// Forgets a portal that lets us in by a webhook. Its bots and events stay in the store. Says whether
    /// there was one.
    pub async fn remove_webhook(&self, id: &PortalId) -> bool {
        let _one_at_a_time = self.0.changes.lock().await;
        let known = self.get(id).is_some_and(|portal| portal.0.oauth.is_none());
        if known {
            info!(portal.id = %id, "portal is removed");
            self.0.remove(id);
        }
        known
    }

    /// Takes a pair of tokens: durably, then calls go out with it. A portal that is not configured is
    /// named by its `member_id` and comes into being.
    ///
    /// # Errors
    ///
    /// See [`InstallError`]; then nothing changed.
    pub async fn install(&self, pair: Pair, owner: Owner) -> Result<Portal, InstallError> {
        let all = &self.0;
        let workshop = &all.workshop;
        let authority = workshop.authority.as_ref();
        let authority = authority.ok_or(InstallError::NoApplication)?;
        if !authority.trusts(pair.server_endpoint.as_deref()) {
            return Err(InstallError::ForbiddenServer);
        }
        if !workshop.hosts.allow(&pair.client_endpoint) {
            return Err(InstallError::ForbiddenHost);
        }
        let id = workshop
            .name_of(&pair.member_id)
            .ok_or(InstallError::NoName)?;
        let _one_at_a_time = all.changes.lock().await;
        let portal = self.get(&id);
        let other = |portal: &Portal| match &portal.0.oauth {
            Some(oauth) => !oauth.member_id.eq_ignore_ascii_case(&pair.member_id),
            None => true,
        };
        if portal.as_ref().is_some_and(other) {
            return Err(InstallError::NameTaken(id));
        }
        let kept = self.write_down(&id, pair, owner).await?;
        info!(portal.id = %id, "application is installed");
        match portal {
            Some(portal) => {
                portal.receive(self, kept);
                Ok(portal)
            }
            None => self.come_into_being(id, kept).await,
        }
    }

    /// Forgets the tokens of a portal, durably; a portal that is not configured is gone then. Its bots
    /// and events stay in the store.
    ///
    /// # Errors
    ///
    /// When the store cannot be written; then nothing changed.
    pub async fn uninstall(&self, id: &PortalId) -> Result<(), store::Error> {
        let all = &self.0;
        let _one_at_a_time = all.changes.lock().await;
        let Some(portal) = self.get(id) else {
            return Ok(());
        };
        if portal.0.oauth.is_none() {
            return Ok(());
        }
        all.workshop.store.erase_pair(id).await?;
        self.forget_tokens(&portal);
        Ok(())
    }

    /// The tokens of a portal are no longer in the store.
    fn forget_tokens(&self, portal: &Portal) {
        let (all, id) = (&self.0, portal.id());
        info!(portal.id = %id, "application is removed");
        if let Some(oauth) = &portal.0.oauth {
            let error = oauth.refresher.keyring.lose();
            oauth.refresher.close(&portal.0.queue, &error);
        }
        if !all.workshop.members.values().any(|known| known == id) {
            all.remove(id);
        }
    }

    async fn write_down(
        &self,
        id: &PortalId,
        mut pair: Pair,
        owner: Owner,
    ) -> Result<KeptPair, InstallError> {
        let store = &self.0.workshop.store;
        loop {
            let stood = store.pair(id).await?;
            let before = stood.as_ref().map(|kept| &kept.pair);
            let before = before.filter(|before| before.member_id == pair.member_id);
            if let Some(before) = before {
                if let (Owner::Same, Some(theirs), Some(ours)) =
                    (owner, pair.user_id, before.user_id)
                    && theirs != ours
                {
                    return Err(InstallError::AnotherUser { theirs, ours });
                }
                let proof = pair.application_token.take();
                pair.application_token = proof.or_else(|| before.application_token.clone());
            }
            let from = stood.map(|kept| kept.generation);
            // A refresh may come in between; then the pair takes the place of what that brought.
            if let Some(kept) = store.save_pair(id, &pair, from).await? {
                return Ok(kept);
            }
        }
    }

    async fn come_into_being(&self, id: PortalId, kept: KeptPair) -> Result<Portal, InstallError> {
        let workshop = &self.0.workshop;
        let used = workshop.store.pacing().await?;
        let member_id = kept.pair.member_id.clone();
        let names = account_names(&member_id, Some(&kept.pair.client_endpoint));
        workshop.memory.recall(&used, &names, workshop.rate);
        let portal = workshop.oauth(id, member_id, Some(kept), None);
        let portal = portal.ok_or(InstallError::NoApplication)?;
        let limit = &portal.0.sender.limit;
        workshop.memory.resume_methods(&used, portal.id(), limit);
        self.0.add(portal.clone());
        Ok(portal)
    }
}

impl Portal {
    /// Calls go out with these tokens from now on.
    fn receive(&self, portals: &Portals, kept: KeptPair) {
        let Some(oauth) = &self.0.oauth else {
            return;
        };
        // Where a webhook stands for the same account, both share what it allows.
        let names = account_names(&oauth.member_id, Some(&kept.pair.client_endpoint));
        if let [member, place] = &names[..]
            && let Some(shared) = portals.0.workshop.memory.share(place, member)
        {
            self.0.sender.limit.join(shared);
        }
        oauth.refresher.use_them(&self.0.queue, kept, true);
    }
}
