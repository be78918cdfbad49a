//! Somebody says that our application was paid for, or no longer. That proves nothing (C8.2), but is
//! reason enough to look.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use super::super::{
    Cause, Error, OAuth, Portal, Portals, oauth::Trouble, state::PROBE, wire::oauth::Denial,
};

/// However often it is said, we look this often.
const LOOK: Duration = Duration::from_secs(60);

impl Portals {
    /// Looks how our application is licensed in the portal of an account. Says whether there is one
    /// that was looked at.
    pub async fn look_at_payment(&self, member_id: &str) -> bool {
        let id = self.0.workshop.name_of(member_id);
        let Some(portal) = id.and_then(|id| self.get(&id)) else {
            return false;
        };
        let Some(oauth) = portal.0.oauth.as_ref().filter(|oauth| oauth.may_look()) else {
            return false;
        };
        match oauth.refresher.keyring.pass() {
            Some((token, _)) if is_unpaid(oauth, &token).await => portal.close_unpaid(oauth),
            // The portal itself says best whether it serves us again, or no longer.
            _ => portal.0.sender.gate.look_again(),
        }
        true
    }
}

async fn is_unpaid(oauth: &OAuth, token: &SecretString) -> bool {
    let pair = oauth.refresher.keyring.pair();
    let endpoint = pair.and_then(|pair| pair.server_endpoint);
    let authority = &oauth.refresher.authority;
    match authority.app_info(endpoint.as_deref(), token).await {
        Err(Trouble::Refused(refusal)) => refusal.denial() == Denial::PaymentRequired,
        _ => false,
    }
}

impl Portal {
    fn close_unpaid(&self, oauth: &OAuth) {
        let error = Error::new(PROBE, Cause::PaymentRequired).at(self.id());
        oauth.refresher.close(&self.0.queue, &error);
    }
}

impl OAuth {
    fn may_look(&self) -> bool {
        let now = Instant::now();
        let mut looked = self
            .looked
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let may = looked.is_none_or(|at| now.duration_since(at) >= LOOK);
        if may {
            *looked = Some(now);
        }
        may
    }
}
