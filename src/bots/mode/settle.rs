//! Finds out in which mode a bot is that was asked to change it, and goes on with that.
//!
//! The portal tells. Where it has the new mode the change is made once more, so that the address is surely
//! ours; where it refuses that, the mode before is put back. A bot that posts to an address that is ours no
//! more, because the public URL was changed, is given the present one.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Bots, Error, Name, Patience, Portal, mode};
use crate::{
    fault::{Chain, Executed, Fault as _},
    portal::Cause,
    store::{self, BotState, EventDelivery, EventMode, NextMode},
};

/// Pauses after a look that told nothing, first and longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl Bots {
    /// Settles the mode of a bot, if that is in doubt. Whoever calls this has the turn of its changes.
    pub(super) async fn settle_mode(
        &self,
        portal: &Portal,
        name: &Name,
        patience: &Patience,
    ) -> Result<(), Error> {
        let Some(next) = self.doubtful_mode(name) else {
            return Ok(());
        };
        let told = match self.look_at(portal, name, patience).await {
            Ok(told) => told,
            Err(error) => return self.gone(name, error).await,
        };
        let identity = self.identity_in_turn(portal, name, patience).await?;
        let bot = self.find(&name.0, &name.1)?;
        let told = mode(&told.bot);
        if told != next.mode {
            return match told == bot.event_mode {
                true => self.stays(bot).await,
                // Somebody else changed it.
                false => self.mode_is(bot, NextMode { mode: told, ..next }).await,
            };
        }
        let reachable = self.0.hooks.are_reachable() || next.mode == EventMode::Fetch;
        if reachable {
            let asked = self.ask_for_mode(portal, &identity, next.mode, patience);
            match asked.await {
                Ok(_) => return self.mode_is(bot, next).await,
                Err(error) if error.executed() == Executed::No && error.portal_code().is_some() => {
                    warn!(portal.id = %name.0, bot.code = %name.1, error = %Chain(&error), "the portal does not take the mode that it has: the one before is put back");
                }
                Err(error) => return Err(error),
            }
        }
        self.ask_for_mode(portal, &identity, EventMode::Fetch, patience)
            .await?;
        match bot.event_mode {
            EventMode::Fetch => self.stays(bot).await,
            EventMode::Webhook => {
                let mode = EventMode::Fetch;
                self.mode_is(bot, NextMode { mode, ..next }).await
            }
        }
    }

    /// The mode before is in force.
    async fn stays(&self, bot: store::Bot) -> Result<(), Error> {
        let delivery = EventDelivery {
            next: None,
            ..bot.delivery
        };
        self.keep(store::Bot { delivery, ..bot }).await
    }

    /// There is no mode to settle if the bot is not there, or not ours.
    async fn gone(&self, name: &Name, error: Error) -> Result<(), Error> {
        let cause = match &error {
            Error::Portal(error) => Some(error.cause()),
            _ => None,
        };
        let state = match cause {
            Some(Cause::BotMissing) => BotState::Gone,
            Some(Cause::BotToken) => BotState::Foreign,
            _ => return Err(error),
        };
        let bot = self.find(&name.0, &name.1)?;
        self.stays(store::Bot { state, ..bot }).await
    }

    /// What is to be settled of a bot.
    fn doubtful_mode(&self, name: &Name) -> Option<NextMode> {
        let address = self.hook_hash(name);
        let known = self.known();
        let bot = known.get(name)?;
        if bot.state != BotState::Active {
            return None;
        }
        let moved = bot.event_mode == EventMode::Webhook
            && bot.delivery.address.is_some()
            && address.is_some()
            && bot.delivery.address != address;
        let again = || NextMode {
            mode: EventMode::Webhook,
            from: Some(self.0.clock.now()),
        };
        bot.delivery.next.or_else(|| moved.then(again))
    }

    /// Settles the modes in doubt, until the stop begins.
    pub async fn keep_settling_modes(self, stop: CancellationToken) {
        let mut under_way = FuturesUnordered::new();
        let mut named = BTreeSet::new();
        loop {
            let names: Vec<_> = self.known().keys().cloned().collect();
            for name in names {
                if self.doubtful_mode(&name).is_some() && named.insert(name.clone()) {
                    under_way.push(self.settle_mode_in_the_end(name));
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.drains.doubted() => {}
                Some(name) = under_way.next() => {
                    named.remove(&name);
                }
            }
        }
    }

    async fn settle_mode_in_the_end(&self, name: Name) -> Name {
        let mut pause = PAUSES.0;
        while self.doubtful_mode(&name).is_some() {
            let Ok(portal) = self.portal(&name.0) else {
                // It may come back.
                sleep(PAUSES.1).await;
                continue;
            };
            portal.opened().await;
            let settled = {
                let _turn = self.0.changes.of(name.clone()).await;
                self.settle_mode(&portal, &name, &Patience::endless()).await
            };
            if let Err(error) = settled {
                warn!(portal.id = %name.0, bot.code = %name.1, reason = error.reason().as_str(), error = %Chain(&error), "nobody tells how events of the bot are delivered");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
        name
    }
}
