//! Changes how the events of a bot reach us: we fetch them, or the portal posts them (C11, C12, C17.2).
//!
//! A change to webhooks makes the portal drop what waits to be fetched, so that is fetched first, to an
//! empty page. What the portal was asked for is written down before it is asked, and while nobody knows
//! whether it did so events are taken both ways. Afterwards the log has a gap: between the last page and
//! the change something may have happened, and calls that were under way may come late or not at all.
//!
//! Where the answer leaves the outcome open, also because the process ended, the portal itself tells the
//! mode (`settle`).

mod drain;
mod settle;

use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::Map;
use tokio::time::Instant;
use tracing::{debug, info};

pub(super) use self::drain::Drains;
use super::{
    Bots, Error, Name,
    directory::Identity,
    registration::{Told, told},
    wish::set,
};
use crate::{
    fault::Fault as _,
    portal::{
        Patience, Portal,
        wire::{Bot, Method},
    },
    store::{self, Append, Entry, EventMode, Gap, Item, NextMode},
};

/// How long calls of the portal are taken after it was told to make none: what it had queued comes late
/// (C11), and fetched events are others, so that nothing is taken twice.
const LATE: Duration = Duration::from_secs(10 * 60);

/// The reasons of gaps, as published.
pub(super) const MODE_CHANGED: &str = "MODE_CHANGED";
pub(super) const WEBHOOKS_MISSED: &str = "WEBHOOKS_MISSED";

impl Bots {
    /// Changes the mode of a bot that is in another one, or posts to another address. Whoever calls this
    /// has the turn of its changes.
    pub(super) async fn change_mode(
        &self,
        portal: &Portal,
        name: &Name,
        now_in: EventMode,
        mode: EventMode,
        patience: &Patience,
    ) -> Result<Told, Error> {
        self.must_be_reachable(&name.0, Some(mode))?;
        let bot = self.identity_in_turn(portal, name, patience).await?;
        let mut before = self.find(&name.0, &name.1)?;
        if before.event_mode != now_in {
            // Somebody else changed it; what waits there is fetched first.
            before.event_mode = now_in;
            self.keep(before.clone()).await?;
        }
        let from = if (now_in, mode) == (EventMode::Fetch, EventMode::Webhook) {
            self.drain(name, patience).await?;
            self.fetched(&name.0, &name.1).await?.last_polled_at
        } else {
            Some(self.0.clock.now())
        };
        let mut asked = before.clone();
        asked.delivery.next = Some(NextMode { mode, from });
        self.keep(asked.clone()).await?;
        match self.ask_for_mode(portal, &bot, mode, patience).await {
            Ok(told) if self::mode(&told.bot) == mode => {
                let taken = self.mode_is(asked, NextMode { mode, from }).await;
                taken.map_err(|error| {
                    self.0.drains.doubt();
                    error.afterwards()
                })?;
                Ok(told)
            }
            Ok(told) => {
                // Success was answered, the mode stayed.
                self.keep(before).await.map_err(Error::afterwards)?;
                Ok(told)
            }
            Err(error) => {
                // A refusal may come after the mode was saved already (C17.2), so the portal is asked.
                if let Err(unsettled) = self.settle_mode(portal, name, patience).await {
                    debug!(
                        reason = unsettled.reason().as_str(),
                        "mode of the bot is not settled yet"
                    );
                    self.0.drains.doubt();
                }
                let settled = self.known().get(name).cloned();
                match settled {
                    Some(bot) if bot.delivery.next.is_none() && bot.event_mode == mode => {
                        self.look_at(portal, name, patience).await
                    }
                    _ => Err(error),
                }
            }
        }
    }

    /// Asks the portal for a mode, with our address.
    async fn ask_for_mode(
        &self,
        portal: &Portal,
        bot: &Identity,
        mode: EventMode,
        patience: &Patience,
    ) -> Result<Told, Error> {
        let mut fields = Map::new();
        set(&mut fields, "eventMode", Some(mode.as_str()));
        if mode == EventMode::Webhook {
            let url = self.hook_of(&bot.name).ok_or(Error::NoPublicUrl)?;
            set(&mut fields, "webhookUrl", Some(url.expose_secret()));
        }
        let call = bot.call(Method::BotUpdate).with("fields", fields);
        let reply = portal.call(call, patience).await?;
        told(portal, Method::BotUpdate, &reply)
    }

    /// The bot as the portal shows it to its owner.
    pub(super) async fn look_at(
        &self,
        portal: &Portal,
        name: &Name,
        patience: &Patience,
    ) -> Result<Told, Error> {
        let (bot, user) = self.read(portal.id(), &name.1, patience).await?;
        Ok(Told { bot, user })
    }

    /// The portal did change the mode: that is told in the log, then written down.
    async fn mode_is(&self, mut bot: store::Bot, next: NextMode) -> Result<(), Error> {
        let now = self.0.clock.now();
        let name = (bot.portal.clone(), bot.code.clone());
        let why = match next.mode == bot.event_mode {
            true => WEBHOOKS_MISSED,
            false => MODE_CHANGED,
        };
        self.note_gap(&bot, next.mode, next.from, why).await?;
        info!(portal.id = %bot.portal, bot.code = %bot.code, mode = next.mode.as_str(), "events of the bot reach us another way");
        let delivery = &mut bot.delivery;
        delivery.next = None;
        match next.mode {
            EventMode::Webhook => {
                delivery.address = self.hook_hash(&name);
                delivery.since = Some(now);
                delivery.taken_until = None;
            }
            EventMode::Fetch => {
                delivery.since = None;
                delivery.taken_until = now.checked_add(LATE).ok();
            }
        }
        bot.event_mode = next.mode;
        self.keep(bot).await
    }

    /// Writes a gap until now. A bot that is fetched from now on was not left unfetched meanwhile.
    pub(super) async fn note_gap(
        &self,
        bot: &store::Bot,
        mode: EventMode,
        from: Option<Timestamp>,
        why: &str,
    ) -> Result<(), Error> {
        let now = self.0.clock.now();
        let gap = Entry {
            bot_id: bot.bot_id.unwrap_or_default(),
            received_at: now,
            item: Item::Gap(Gap {
                from: from.map(|from| from.min(now)),
                until: now,
                why: why.to_owned(),
            }),
        };
        self.0
            .store
            .append(Append {
                portal: bot.portal.clone(),
                code: bot.code.clone(),
                entries: vec![gap],
                next_offset: None,
                polled_at: (mode == EventMode::Fetch).then_some(now),
            })
            .await?;
        Ok(())
    }
}

/// How the portal delivers events of a bot; what it does not say is the default.
pub(super) fn mode(bot: &Bot) -> EventMode {
    match bot.event_mode.as_deref() {
        Some("webhook") => EventMode::Webhook,
        _ => EventMode::Fetch,
    }
}

/// When whoever waits for a drain goes on without it.
fn drain_ends(patience: &Patience) -> Instant {
    /// For what follows the drain.
    const REST: Duration = Duration::from_secs(5);
    /// Longest wait.
    const MOST: Duration = Duration::from_secs(60);
    let now = Instant::now();
    let most = now + MOST;
    let deadline = patience.deadline();
    deadline.map_or(most, |deadline| {
        deadline.checked_sub(REST).unwrap_or(now).min(most)
    })
}
