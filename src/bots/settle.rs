//! Finds out which of two tokens of a bot is in force.
//!
//! While a token is replaced the store holds both. Where the portal's answer did not come, or the process
//! ended before, a probe under each token tells: the portal lists a bot to its owner only (C17.4). That
//! the token before is still in force is believed for good only once the call that was to replace it can
//! no longer be at work; until then a refusal of it leads here again.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use secrecy::SecretString;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Bots, Error, Name, directory::Identity};
use crate::{
    fault::{Chain, Fault as _},
    portal::{
        self, BotSecret, Call, Patience, Portal,
        wire::{Method, answer},
    },
    store::{self, Becomes, BotState, NextToken},
};

/// How long a call that nobody hears of any more may be at work: the portal cuts it off after 60 s (C5).
const AT_WORK: Duration = Duration::from_secs(70);

/// Bots in one page of a list.
const PAGE: i64 = 50;

/// Pages that are looked through. Only a token from outside can have so many bots.
const PAGES: i64 = 20;

/// Pauses after a probe that told nothing, first and longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl Bots {
    /// A bot whose calls go out with the token in force, for whoever has the turn of its changes.
    pub(super) async fn identity_in_turn(
        &self,
        portal: &Portal,
        name: &Name,
        patience: &Patience,
    ) -> Result<Identity, Error> {
        self.settle(portal, name, patience).await?;
        let known = self.known();
        let bot = known
            .get(name)
            .ok_or_else(|| Error::UnknownBot(name.clone()))?;
        let Some(bot_id) = bot.bot_id else {
            return Err(Error::UnknownBot(name.clone()));
        };
        Ok(Identity {
            name: name.clone(),
            bot_id,
            // Nobody replaces it meanwhile, so there is nothing to wait for.
            secret: BotSecret::Fixed(bot.token.clone()),
        })
    }

    /// Finds out which token of a bot is in force, if that is in doubt, and goes on with it. Whoever calls
    /// this has the turn of its changes.
    pub(super) async fn settle(
        &self,
        portal: &Portal,
        name: &Name,
        patience: &Patience,
    ) -> Result<(), Error> {
        let known = self.known().get(name).cloned();
        let Some(bot) = known else {
            return Ok(());
        };
        let Some(next) = bot.next_token.clone() else {
            return Ok(());
        };
        let Some(bot_id) = bot.bot_id else {
            // It is to be made anew, with the token that stands there.
            let next_token = None;
            return self.keep(store::Bot { next_token, ..bot }).await;
        };
        if self.opens(portal, bot_id, &next.token, patience).await? {
            return self.take_over(bot, next).await;
        }
        let key = self.key(&bot);
        if self.opens(portal, bot_id, &bot.token, patience).await? {
            if self.may_be_at_work(name) {
                // The key stays on its guard.
                key.open();
                return Ok(());
            }
            self.keep(store::Bot {
                next_token: None,
                ..bot
            })
            .await?;
        } else {
            warn!(portal.id = %name.0, bot.code = %name.1, "portal takes neither the token before nor the one to come");
            self.keep(store::Bot {
                next_token: None,
                state: BotState::Foreign,
                ..bot
            })
            .await?;
        }
        key.open();
        Ok(())
    }

    /// The next token is in force.
    pub(super) async fn take_over(&self, bot: store::Bot, next: NextToken) -> Result<(), Error> {
        let key = self.key(&bot);
        match next.becomes {
            Becomes::Derived(generation) => {
                info!(portal.id = %bot.portal, bot.code = %bot.code, generation, "token of the bot was replaced");
                self.keep(store::Bot {
                    token: next.token,
                    generation,
                    next_token: None,
                    ..bot
                })
                .await?;
            }
            Becomes::Released => {
                info!(portal.id = %bot.portal, bot.code = %bot.code, "bot was released");
                self.forget(&(bot.portal, bot.code)).await?;
            }
        }
        key.open();
        Ok(())
    }

    /// Whether the portal takes a token for that of a bot.
    pub(super) async fn opens(
        &self,
        portal: &Portal,
        bot_id: i64,
        token: &SecretString,
        patience: &Patience,
    ) -> Result<bool, Error> {
        for page in 0..PAGES {
            let call = Call::new(Method::BotList)
                .with("limit", PAGE)
                .with("offset", page * PAGE)
                .as_bot(BotSecret::Fixed(token.clone()));
            let reply = portal.call(call, patience).await?;
            let listed = answer::bots(&reply.result).map_err(|unreadable| {
                portal::Error::unreadable(Method::BotList, unreadable).at(portal.id())
            })?;
            if listed.bots.iter().any(|bot| bot.id == bot_id) {
                return Ok(true);
            }
            if listed.bots.is_empty() || !listed.has_next_page {
                break;
            }
        }
        Ok(false)
    }

    /// From now on a call that replaces the token of a bot may be at work without our hearing of it.
    pub(super) fn doubt(&self, name: &Name) {
        self.doubted()
            .insert(name.clone(), Instant::now() + AT_WORK);
        self.0.doubts.notify_one();
    }

    /// The process before may have ended while it replaced tokens: no call leaves until they are settled.
    pub(super) fn doubt_what_was_broken_off(&self) {
        for name in self.unsettled() {
            let Some(bot) = self.known().get(&name).cloned() else {
                continue;
            };
            let key = self.key(&bot);
            key.set(bot.token.clone(), true);
            key.close();
            self.doubt(&name);
        }
    }

    fn may_be_at_work(&self, name: &Name) -> bool {
        let mut doubted = self.doubted();
        let doubt = doubted.get(name);
        let doubtful = doubt.is_some_and(|until| Instant::now() < *until);
        if !doubtful {
            doubted.remove(name);
        }
        doubtful
    }

    /// Settles what is in doubt, until the stop begins. Callers need not wait for it: whoever has the turn
    /// of a bot's changes settles first.
    pub async fn keep_settling(self, stop: CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let mut named = BTreeSet::new();
        loop {
            for name in self.unsettled() {
                if named.insert(name.clone()) {
                    under_way.push(self.settle_in_the_end(name));
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.doubts.notified() => {}
                Some(name) = under_way.next() => {
                    named.remove(&name);
                }
            }
        }
    }

    async fn settle_in_the_end(&self, name: Name) -> Name {
        let mut pause = PAUSES.0;
        loop {
            let known = self.known().get(&name).cloned();
            let Some(bot) = known.filter(|bot| bot.next_token.is_some()) else {
                return name;
            };
            let Ok(portal) = self.portal(&name.0) else {
                // It may come back.
                sleep(PAUSES.1).await;
                continue;
            };
            let key = self.key(&bot);
            let doubt_ends = self.doubted().get(&name).copied();
            // As long as its key is open nobody waits, and the last look comes when it is the last.
            tokio::select! {
                () = key.closed() => {}
                () = sleep_until(doubt_ends.unwrap_or_else(Instant::now)) => {}
            }
            portal.opened().await;
            let settled = {
                let _turn = self.0.changes.of(name.clone()).await;
                self.settle(&portal, &name, &Patience::endless()).await
            };
            match settled {
                Ok(()) if self.is_settled(&name) => return name,
                Ok(()) => pause = PAUSES.0,
                Err(error) => {
                    warn!(portal.id = %name.0, bot.code = %name.1, reason = error.reason().as_str(), error = %Chain(&error), "nobody tells which token of the bot is in force");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    fn is_settled(&self, name: &Name) -> bool {
        let known = self.known();
        known.get(name).is_none_or(|bot| bot.next_token.is_none())
    }

    fn unsettled(&self) -> Vec<Name> {
        let known = self.known();
        let unsettled = known.iter().filter(|(_, bot)| bot.next_token.is_some());
        unsettled.map(|(name, _)| name.clone()).collect()
    }

    fn doubted(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<Name, Instant>> {
        let doubted = &self.0.doubted;
        doubted
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
