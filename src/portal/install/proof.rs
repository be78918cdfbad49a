//! Callbacks that prove themselves by the `application_token` we were given with the installation.

use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};

use super::super::{OAuth, Portal, Portals};
use crate::{ids::PortalId, store};

/// What becomes of the bots and events of a portal that removes our application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    /// They stay for another installation.
    Kept,
    /// They are erased.
    Erased,
}

impl Portals {
    /// The portal of an account, if this is the token that proves what it says.
    #[must_use]
    pub fn proven(&self, member_id: &str, token: &SecretString) -> Option<Portal> {
        let id = self.0.workshop.name_of(member_id)?;
        let portal = self.get(&id)?;
        let known = portal.0.oauth.as_ref()?.application_token(member_id)?;
        same(&known, token).then_some(portal)
    }

    /// Our application was removed from an account, says whoever has this token. Tells which portal
    /// that was; `None` when the token proves nothing: then nothing changed.
    ///
    /// # Errors
    ///
    /// When the store cannot be written; then nothing changed.
    pub async fn uninstall_proven(
        &self,
        member_id: &str,
        token: &SecretString,
        remains: Remains,
    ) -> Result<Option<PortalId>, store::Error> {
        let all = &self.0;
        let _one_at_a_time = all.changes.lock().await;
        let Some(portal) = self.proven(member_id, token) else {
            return Ok(None);
        };
        let id = portal.id().clone();
        match remains {
            Remains::Kept => all.workshop.store.erase_pair(&id).await?,
            Remains::Erased => all.workshop.store.erase_portal(&id).await?,
        }
        self.forget_tokens(&portal);
        Ok(Some(id))
    }
}

impl OAuth {
    fn application_token(&self, member_id: &str) -> Option<SecretString> {
        let pair = self.refresher.keyring.pair()?;
        let ours = pair.member_id.eq_ignore_ascii_case(member_id);
        pair.application_token.filter(|_| ours)
    }
}

/// Whether both are the same, in a time that tells nothing of either.
fn same(known: &SecretString, said: &SecretString) -> bool {
    // Any key will do: what is wanted is the comparison of two tags.
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"application_token");
    let tag = hmac::sign(&key, known.expose_secret().as_bytes());
    hmac::verify(&key, said.expose_secret().as_bytes(), tag.as_ref()).is_ok()
}
