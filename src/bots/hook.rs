//! Where portals post the events of our bots, and what is to be known of a bot to take one (C11).
//!
//! The address of a bot is derived, so that it is the same after a lost store. It says which portal is
//! meant and proves nothing: a portal may post the events of one bot to the address of another.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ring::digest;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Bots, Error, Name};
use crate::{
    ids::{BotCode, PortalId},
    store::{self, BotState, EventMode, Skip, Store},
};

/// The addresses of our bots.
pub(super) struct Hooks {
    /// What all of them begin with; `None` while nobody listens.
    base: Option<Box<str>>,
    names: Mutex<HashMap<Box<str>, Name>>,
}

/// A bot as an event that was posted needs it.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) code: BotCode,
    pub(crate) skip: Skip,
    /// Its token, and the one that may have taken its place.
    pub(crate) tokens: (SecretString, Option<SecretString>),
    /// Whether what is posted for it is taken.
    pub(crate) takes: bool,
}

impl Hooks {
    pub(super) fn new(base: Option<String>) -> Self {
        Self {
            base: base.map(Into::into),
            names: Mutex::default(),
        }
    }

    /// Whether portals can reach us.
    pub(super) fn are_reachable(&self) -> bool {
        self.base.is_some()
    }

    /// Knows the address of a bot.
    pub(super) fn add(&self, store: &Store, name: Name) {
        let hook = store.keys().hook(&name.0, &name.1);
        self.names().insert(hook.expose_secret().into(), name);
    }

    /// Knows it no more.
    pub(super) fn remove(&self, store: &Store, name: &Name) {
        let hook = store.keys().hook(&name.0, &name.1);
        self.names().remove(hook.expose_secret());
    }

    fn names(&self) -> MutexGuard<'_, HashMap<Box<str>, Name>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Addresses are secrets.
impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl Bots {
    /// The bot whose address ends so.
    #[must_use]
    pub fn of_hook(&self, hook: &str) -> Option<Name> {
        self.0.hooks.names().get(hook).cloned()
    }

    /// Whether portals can post events to us.
    #[must_use]
    pub fn are_reachable(&self) -> bool {
        self.0.hooks.are_reachable()
    }

    /// Where the portal posts the events of a bot; `None` while nobody listens.
    pub(super) fn hook_of(&self, name: &Name) -> Option<SecretString> {
        let base = self.0.hooks.base.as_ref()?;
        let hook = self.0.store.keys().hook(&name.0, &name.1);
        Some(format!("{base}{}", hook.expose_secret()).into())
    }

    /// A hash of that address, to be kept.
    pub(super) fn hook_hash(&self, name: &Name) -> Option<[u8; 32]> {
        let url = self.hook_of(name)?;
        let hash = digest::digest(&digest::SHA256, url.expose_secret().as_bytes());
        hash.as_ref().try_into().ok()
    }

    /// A wish that events are posted is refused while nobody listens, or nothing would prove them.
    pub(super) fn must_be_reachable(
        &self,
        portal: &PortalId,
        wish: Option<EventMode>,
    ) -> Result<(), Error> {
        if wish != Some(EventMode::Webhook) {
            return Ok(());
        }
        if !self.0.hooks.are_reachable() {
            return Err(Error::NoPublicUrl);
        }
        match self.portal(portal)?.proves_events() {
            true => Ok(()),
            false => Err(Error::NothingProvesEvents(portal.clone())),
        }
    }

    /// The bot of a portal that has this id.
    pub(crate) fn receiver(&self, portal: &PortalId, bot_id: i64) -> Option<Receiver> {
        let now = self.0.clock.now();
        let known = self.known();
        let mut of_portal = known.values().filter(|bot| bot.portal == *portal);
        let bot = of_portal.find(|bot| bot.bot_id == Some(bot_id))?;
        Some(Receiver {
            code: bot.code.clone(),
            skip: bot.skip,
            tokens: (
                bot.token.clone(),
                bot.next_token.as_ref().map(|next| next.token.clone()),
            ),
            takes: bot.state == BotState::Active && takes(bot, now),
        })
    }

    /// Whether a bot was written down that the portal gave no id yet.
    pub(crate) fn is_being_made(&self, name: &Name) -> bool {
        let known = self.known();
        known.get(name).is_some_and(|bot| bot.bot_id.is_none())
    }

    /// Completes when nobody changes a bot.
    pub(crate) async fn unchanging(&self, name: &Name) {
        drop(self.0.changes.of(name.clone()).await);
    }

    /// The bots whose events are posted.
    #[must_use]
    pub fn posted(&self) -> Vec<store::Bot> {
        let known = self.known();
        let posted = |bot: &&store::Bot| {
            bot.state == BotState::Active && bot.event_mode == EventMode::Webhook
        };
        known.values().filter(posted).cloned().collect()
    }
}

/// While a change of the mode is under way, and for a while after it, both modes are good.
fn takes(bot: &store::Bot, now: jiff::Timestamp) -> bool {
    let delivery = &bot.delivery;
    bot.event_mode == EventMode::Webhook
        || delivery.next.is_some()
        || delivery.taken_until.is_some_and(|until| now < until)
}
