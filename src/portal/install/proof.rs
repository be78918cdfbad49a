//! Callbacks that prove themselves by the `application_token` we were given with the installation.

use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};

use super::super::{OAuth, Portal, Portals, wire::callback::Auth};
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

impl Portal {
    /// Whether there is something by which events that the portal posts are known to be genuine.
    #[must_use]
    pub fn proves_events(&self) -> bool {
        let Some(oauth) = &self.0.oauth else {
            return true;
        };
        let pair = oauth.refresher.keyring.pair();
        pair.is_some_and(|pair| pair.application_token.is_some())
    }

    /// Whether an event that was posted for a bot is genuine (C11): it shows the token that came with the
    /// installation and names its account, or, where bots have tokens, one that is made of any of these.
    #[must_use]
    pub fn proves_event(&self, auth: &Auth, bot_tokens: &[&SecretString]) -> bool {
        let Some(said) = &auth.application_token else {
            return false;
        };
        let Some(oauth) = &self.0.oauth else {
            let made = |token: &&SecretString| same(&synthetic(token), said);
            // All of them, so that the time does not tell which one it was.
            return bot_tokens.iter().filter(|token| made(token)).count() > 0;
        };
        let known = auth.member_id.as_deref();
        let known = known.and_then(|member| oauth.application_token(member));
        known.is_some_and(|known| same(&known, said))
    }
}

/// The `application_token` of a bot that has a token of its own.
fn synthetic(bot_token: &SecretString) -> SecretString {
    /// Characters of it.
    const LENGTH: usize = 50;
    let whole = ["custom", bot_token.expose_secret()];
    let made: String = whole
        .iter()
        .flat_map(|part| part.chars())
        .take(LENGTH)
        .collect();
    made.into()
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
