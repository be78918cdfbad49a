//! Replaces the token of a bot, and hands a bot over to whoever chose its next one (C17.2).
//!
//! The next token is written beside the one in force before the portal learns of it, no other call of the
//! bot is under way meanwhile, and where the portal's answer leaves the outcome open a probe tells it
//! (`settle`).

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;
use tracing::debug;

use super::{Bots, Error, Name};
use crate::{
    fault::{Executed, Fault as _},
    portal::{
        BotSecret, Call, Cause, Patience, Portal,
        wire::{Method, answer},
    },
    store::{self, Becomes, NextToken},
};

/// Generations of a token. After the last the first one comes again, so that a lost store finds the bot.
pub(super) const GENERATIONS: u32 = 16;

/// The first REST revision that replaces tokens (C26).
const ROTATES: i64 = 35;

/// How long calls of the bot that are under way may take before the rotation gives up.
const DRAIN: Duration = Duration::from_secs(10);

impl Bots {
    /// Gives a bot the next token that is derived from the bot key.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], [`Error::RotationUnsupported`], [`Error::TokenInUse`], or whatever the
    /// portal or the store says.
    pub async fn rotate_token(&self, name: Name, patience: &Patience) -> Result<(), Error> {
        let portal = self.portal(&name.0)?;
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = self.replaceable(&portal, &name, patience).await?;
        let generation = self.next_generation(&bot);
        let next = NextToken {
            token: self.derived(&bot, generation),
            becomes: Becomes::Derived(generation),
        };
        self.replace(&portal, bot, next, patience).await
    }

    /// Gives a bot a token that somebody else chose, then forgets it here. Its events stay. A bot that was
    /// released so before is no error.
    ///
    /// # Errors
    ///
    /// As [`Bots::rotate_token`].
    pub async fn release(
        &self,
        name: Name,
        token: SecretString,
        patience: &Patience,
    ) -> Result<(), Error> {
        let portal = self.portal(&name.0)?;
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = match self.replaceable(&portal, &name, patience).await {
            Err(Error::UnknownBot(name)) if portal.wants_bot_tokens() => {
                let released = self.is_open_to(&portal, &name, &token, patience).await?;
                return if released {
                    Ok(())
                } else {
                    Err(Error::UnknownBot(name))
                };
            }
            bot => bot?,
        };
        let next = NextToken {
            token,
            becomes: Becomes::Released,
        };
        self.replace(&portal, bot, next, patience).await
    }

    /// The token of a bot with this generation.
    pub(super) fn derived(&self, bot: &store::Bot, generation: u32) -> SecretString {
        let keys = self.0.store.keys();
        keys.bot_token(&bot.portal, &bot.code, generation)
    }

    /// A token that came from outside has no generation.
    fn next_generation(&self, bot: &store::Bot) -> u32 {
        let current = self.derived(bot, bot.generation);
        if current.expose_secret() == bot.token.expose_secret() {
            (bot.generation + 1) % GENERATIONS
        } else {
            0
        }
    }

    /// A bot whose token in force is known, in a portal that replaces tokens.
    async fn replaceable(
        &self,
        portal: &Portal,
        name: &Name,
        patience: &Patience,
    ) -> Result<store::Bot, Error> {
        if portal.wants_bot_tokens() {
            self.identity_in_turn(portal, name, patience).await?;
        }
        let bot = self.find(&name.0, &name.1)?;
        self.must_rotate(portal, patience).await?;
        Ok(bot)
    }

    /// Replaces a token that came from outside.
    pub(super) async fn replace_foreign_token(
        &self,
        portal: &Portal,
        name: &Name,
        patience: &Patience,
    ) -> Result<(), Error> {
        let bot = self.find(&name.0, &name.1)?;
        let current = self.derived(&bot, bot.generation);
        if current.expose_secret() == bot.token.expose_secret() {
            return Ok(());
        }
        let next = NextToken {
            token: self.derived(&bot, 0),
            becomes: Becomes::Derived(0),
        };
        self.replace(portal, bot, next, patience).await
    }

    /// Whether the portal replaces tokens.
    pub(super) async fn must_rotate(
        &self,
        portal: &Portal,
        patience: &Patience,
    ) -> Result<(), Error> {
        if !portal.wants_bot_tokens() {
            return Err(Error::RotationUnsupported("its bots have no tokens"));
        }
        let ancient = match portal.revision(patience).await {
            Ok(revision) => revision < ROTATES,
            // Before 33 there is no such method.
            Err(error) if matches!(error.cause(), Cause::MethodMissing | Cause::Refused) => true,
            Err(error) => return Err(error.into()),
        };
        if ancient {
            return Err(Error::RotationUnsupported("its REST revision is before 35"));
        }
        Ok(())
    }

    /// Replaces the token in force.
    pub(super) async fn replace(
        &self,
        portal: &Portal,
        bot: store::Bot,
        next: NextToken,
        patience: &Patience,
    ) -> Result<(), Error> {
        let name = (bot.portal.clone(), bot.code.clone());
        let repeated = match &bot.next_token {
            None => false,
            Some(before) if same(before, &next) => true,
            // The other one may still come into force.
            Some(_) => return Err(Error::TokenInUse(name.1)),
        };
        let key = self.key(&bot);
        key.close();
        if timeout(DRAIN, key.idle()).await.is_err() {
            key.open();
            return Err(Error::TokenInUse(name.1));
        }
        let written = store::Bot {
            next_token: Some(next.clone()),
            ..bot.clone()
        };
        if let Err(error) = self.keep(written.clone()).await {
            key.open();
            return Err(error);
        }
        let call = Call::new(Method::BotUpdate)
            .with("botId", bot.bot_id)
            .as_bot(BotSecret::Fixed(bot.token.clone()));
        let call = call.with_next_token(next.token.clone());
        let Err(error) = portal.call(call, patience).await else {
            let taken = self.take_over(written, next).await;
            // What cannot be written now is settled later.
            return taken.map_err(|error| {
                self.doubt(&name);
                error.afterwards()
            });
        };
        let surely_not =
            error.executed() == Executed::No && !matches!(error.cause(), Cause::BotToken);
        if surely_not && !repeated {
            let before = store::Bot {
                next_token: None,
                ..bot
            };
            match self.keep(before).await {
                Ok(()) => key.open(),
                Err(_) => self.doubt(&name),
            }
            return Err(error.into());
        }
        self.doubt(&name);
        // Should that fail as well, it goes on without us.
        if let Err(unsettled) = self.settle(portal, &name, patience).await {
            debug!(reason = unsettled.reason().as_str(), "not settled yet");
            return Err(error.into());
        }
        let now = self.known().get(&name).map(|bot| bot.token.clone());
        let taken = match (next.becomes, now) {
            (Becomes::Released, now) => now.is_none(),
            (Becomes::Derived(_), now) => {
                now.is_some_and(|now| now.expose_secret() == next.token.expose_secret())
            }
        };
        if taken { Ok(()) } else { Err(error.into()) }
    }

    /// Whether a bot of this code exists whose token is this.
    async fn is_open_to(
        &self,
        portal: &Portal,
        name: &Name,
        token: &SecretString,
        patience: &Patience,
    ) -> Result<bool, Error> {
        let call = Call::new(Method::BotGet)
            .with("code", name.1.as_str())
            .as_bot(BotSecret::Fixed(token.clone()));
        match portal.call(call, patience).await {
            Ok(reply) => {
                let bot = answer::bot(&reply.result);
                // Anybody gets the brief form; only the owner the whole (C17.3).
                Ok(bot.is_ok_and(|bot| bot.is_owner_form()))
            }
            Err(error)
                if matches!(
                    error.cause(),
                    Cause::BotMissing | Cause::BotToken | Cause::Refused
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn same(one: &NextToken, other: &NextToken) -> bool {
    one.becomes == other.becomes && one.token.expose_secret() == other.token.expose_secret()
}
