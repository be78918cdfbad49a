//! Takes what a portal posted (C11).
//!
//! Whoever posts it is a stranger until the token that comes along was compared. It is taken once it is
//! durable, and an event that is posted again is taken and not kept again.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use tracing::{debug, error};

use super::{Origin, Read, hex, read, traces::came_again};
use crate::{
    bots::{Known, Name, Receiver},
    events::Events,
    fault::Chain,
    ids::PortalId,
    portal::wire::{
        Unreadable,
        event::{Kind, PostedEvent},
    },
    store::{self, Append, BotState, Entry, Item},
};

/// How long an event waits for the registration of its bot, which the portal may answer only after it.
const REGISTRATION: Duration = Duration::from_secs(10);

/// Why something that was posted is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is no event of a bot.
    #[error("it is no event of a bot")]
    Unreadable(#[from] Unreadable),
    /// We have no such bot.
    #[error("it is of a bot that is not known here")]
    UnknownBot,
    /// It does not prove itself.
    #[error("it does not prove itself by the token of its bot or portal")]
    Unproven,
    /// The bot is fetched, gone, or not ours.
    #[error("its bot is not one that posts events")]
    NotPosted,
    /// It cannot be kept.
    #[error("it cannot be stored")]
    Store(#[from] store::Error),
}

impl Events {
    /// Takes a decoded body that was posted to the address of this bot. Tells if it says that a bot is gone.
    ///
    /// # Errors
    ///
    /// [`Refused::Store`] when it is genuine and cannot be kept, which is told as a gap once it can be;
    /// otherwise nothing of it is kept.
    pub async fn take_posted(
        &self,
        address_of: &Name,
        body: Value,
    ) -> Result<Option<Departed>, Refused> {
        let arrived = self.0.clock.now();
        let posted = PostedEvent::from_body(body)?;
        let id = &address_of.0;
        let receiver = self.receiver(address_of, posted.bot_id).await;
        let receiver = receiver.ok_or(Refused::UnknownBot)?;
        let portal = self.0.portals.get(id).ok_or(Refused::UnknownBot)?;
        let (token, next_token) = &receiver.tokens;
        let tokens: Vec<_> = [token].into_iter().chain(next_token).collect();
        if !portal.proves_event(&posted.auth, &tokens) {
            return Err(Refused::Unproven);
        }
        if !receiver.takes {
            return Err(Refused::NotPosted);
        }
        let kept = self.keep_posted(id, &receiver, &posted).await;
        if kept.is_err() {
            self.missed((id.clone(), receiver.code), posted.bot_id, arrived);
        }
        Ok(kept?)
    }

    async fn receiver(&self, address_of: &Name, bot_id: i64) -> Option<Receiver> {
        let bots = &self.0.bots;
        let known = bots.receiver(&address_of.0, bot_id);
        if known.is_some() || !bots.is_being_made(address_of) {
            return known;
        }
        let waited = timeout(REGISTRATION, bots.unchanging(address_of)).await;
        waited.ok()?;
        bots.receiver(&address_of.0, bot_id)
    }

    async fn keep_posted(
        &self,
        portal: &PortalId,
        receiver: &Receiver,
        posted: &PostedEvent,
    ) -> Result<Option<Departed>, store::Error> {
        let inner = &self.0;
        let now = inner.clock.now();
        let name = (portal.clone(), receiver.code.clone());
        let known = inner.bots.known_now(&name);
        let key = hex(&posted.fingerprint());
        let origin = Origin {
            portal,
            code: &receiver.code,
            bot_id: posted.bot_id,
            skip: receiver.skip,
        };
        let arrival;
        let (entry, command) = match read(&origin, &posted.raw, &key, now) {
            Ok(Read::Event(mut entry, command)) => {
                arrival = self.arrives((portal, &receiver.code), &mut entry);
                (entry, command)
            }
            Ok(Read::Skipped) => return Ok(None),
            Err(why) => {
                let place = (portal, &receiver.code);
                self.set_aside(place, &key, &posted.raw, why, now).await?;
                return Ok(None);
            }
        };
        let (happened_at, kind) = (entry.happened_at, Kind::from_name(&entry.kind));
        let append = self.append(Append {
            portal: portal.clone(),
            code: receiver.code.clone(),
            entries: vec![Entry {
                bot_id: posted.bot_id,
                received_at: now,
                item: Item::Event(*entry),
            }],
            next_offset: None,
            polled_at: None,
        });
        let arrival = arrival.unwrap_or_default();
        let appended = arrival.run(append).await?;
        if appended.appended == 0 {
            came_again(&arrival);
        }
        drop(arrival);
        if let Some(command) = command {
            if appended.appended > 0 {
                self.command_came(portal, command.at);
            }
            inner.bots.note_command(command);
        }
        self.happened(portal, happened_at);
        debug!(portal.id = %portal, bot.code = %receiver.code, events = appended.appended, "event received");
        let departed = (kind == Kind::Delete).then(|| Departed {
            events: self.clone(),
            name,
            known,
        });
        Ok(departed)
    }
}

/// A bot that its portal has removed, by its own word.
#[derive(Debug)]
#[must_use = "it is to be written down"]
pub struct Departed {
    events: Events,
    name: Name,
    /// What was known of it then.
    known: Known,
}

impl Departed {
    /// Writes that down, once nobody changes the bot. Should it fail it shows in the next call of the bot.
    pub async fn mark(self) {
        let (portal, code) = self.name.clone();
        let marked = (self.events.0.bots).mark(self.name, self.known, BotState::Gone);
        if let Err(error) = marked.await {
            error!(portal.id = %portal, bot.code = %code, error = %Chain(&error), "state of the bot cannot be stored");
        }
    }
}
