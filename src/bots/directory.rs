//! Which bots we have: the store's knowledge at hand, and in step with it.

use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Bots, Error, Known, Name, Written};
use crate::{
    ids::{BotCode, PortalId},
    portal::{BotKey, BotSecret, Call, wire::Method},
    store::{self, BotState},
};

/// A bot as a call needs it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: Name,
    pub(crate) bot_id: i64,
    pub(super) secret: BotSecret,
}

impl Identity {
    /// A call of this bot.
    pub(crate) fn call(&self, method: Method) -> Call {
        Call::new(method)
            .with("botId", self.bot_id)
            .as_bot(self.secret.clone())
    }
}

impl Bots {
    /// The bots of a portal, in order of their codes.
    #[must_use]
    pub fn list(&self, portal: &PortalId) -> Vec<store::Bot> {
        let of_portal = |bot: &&store::Bot| bot.portal == *portal;
        self.known().values().filter(of_portal).cloned().collect()
    }

    /// A bot of ours.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`].
    pub fn find(&self, portal: &PortalId, code: &BotCode) -> Result<store::Bot, Error> {
        self.portal(portal)?;
        let name = (portal.clone(), code.clone());
        self.known()
            .get(&name)
            .cloned()
            .ok_or(Error::UnknownBot(name))
    }

    /// Asks something about the owner of a bot; nobody, an empty name, owns one that is not there.
    pub(crate) fn with_owner<T>(
        &self,
        portal: &PortalId,
        code: &BotCode,
        ask: impl FnOnce(&str) -> T,
    ) -> T {
        let name = (portal.clone(), code.clone());
        ask(self.known().get(&name).map_or("", |bot| &bot.owner))
    }

    /// The bot that an event of the log happened to.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn bot_of_event(&self, seq: u64) -> Result<Option<Name>, Error> {
        let found = self.0.store.find(seq).await?;
        Ok(found.map(|stored| (stored.portal, stored.code)))
    }

    /// How far fetching a bot's events came.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) async fn fetched(
        &self,
        portal: &PortalId,
        code: &BotCode,
    ) -> Result<store::Fetched, store::Error> {
        self.0.store.fetched(portal, code).await
    }

    /// Marked as changed whenever a bot comes, goes or changes.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Names what is known of a bot now.
    #[must_use]
    pub fn known_now(&self, name: &Name) -> Known {
        Known(self.written().of.get(name).copied().unwrap_or_default())
    }

    /// The portal told us of a bot that it is not there, or not ours, asked when this was known of it.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub async fn mark(&self, name: Name, asked: Known, state: BotState) -> Result<(), Error> {
        let _turn = self.0.changes.of(name.clone()).await;
        if self.known_now(&name) != asked {
            return Ok(());
        }
        let bot = self.known().get(&name).cloned();
        match bot {
            Some(bot) if bot.state == BotState::Active && state != BotState::Active => {
                self.keep(store::Bot { state, ..bot }).await
            }
            _ => Ok(()),
        }
    }

    /// What a call in the name of a bot needs, if the portal gave it an id.
    pub(crate) fn identity(&self, portal: &PortalId, code: &BotCode) -> Result<Identity, Error> {
        self.portal(portal)?;
        let name = (portal.clone(), code.clone());
        let known = self.known();
        let Some(bot) = known.get(&name) else {
            return Err(Error::UnknownBot(name));
        };
        let Some(bot_id) = bot.bot_id else {
            return Err(Error::UnknownBot(name));
        };
        Ok(Identity {
            bot_id,
            secret: BotSecret::Key(self.key(bot)),
            name,
        })
    }

    /// What the calls of a bot show.
    pub(super) fn key(&self, bot: &store::Bot) -> BotKey {
        let mut keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (bot.portal.clone(), bot.code.clone());
        let make = || BotKey::new(bot.token.clone(), Arc::clone(&self.0.doubts));
        keys.entry(name).or_insert_with(make).clone()
    }

    /// Writes a bot down, then knows it.
    pub(super) async fn keep(&self, bot: store::Bot) -> Result<(), Error> {
        self.0.store.save_bot(&bot).await?;
        self.key(&bot)
            .set(bot.token.clone(), bot.next_token.is_some());
        let name = (bot.portal.clone(), bot.code.clone());
        self.0.hooks.add(&self.0.store, name.clone());
        let mut written = self.written();
        written.last += 1;
        let number = written.last;
        written.of.insert(name.clone(), number);
        drop(written);
        self.known().insert(name, bot);
        self.0.changed.send_replace(());
        Ok(())
    }

    /// Forgets a bot. Its events stay.
    pub(super) async fn forget(&self, name: &Name) -> Result<(), Error> {
        self.0.store.forget_bot(&name.0, &name.1).await?;
        self.trust(name).await?;
        self.known().remove(name);
        self.said().remove(name);
        self.written().of.remove(name);
        self.0.hooks.remove(&self.0.store, name);
        let mut keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Calls that wait are told by the portal.
        if let Some(key) = keys.remove(name) {
            key.open();
        }
        drop(keys);
        self.0.changed.send_replace(());
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn known(&self) -> MutexGuard<'_, std::collections::BTreeMap<Name, store::Bot>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
