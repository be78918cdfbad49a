//! Takes what a portal tells into the log.
//!
//! Secrets are removed first, an event that cannot be read is set aside and stops no other, and the
//! offset that makes the portal forget is written in the same transaction as the events.

use jiff::{SignedDuration, Timestamp};
use ring::digest;
use tracing::{info, warn};

use super::Events;
use crate::{
    bots::Seen,
    ids::{DialogId, PortalId},
    portal::wire::event::{Body, EventPage, RawEvent},
    store::{self, Append, CommandRef, Entry, Gap, Item, Skip, Unreadable},
};

/// Portals drop events after this, acknowledged or not (C12).
const PORTAL_KEEPS: SignedDuration = SignedDuration::from_hours(24);

/// The reason of a gap, as published.
const NOT_POLLED: &str = "NOT_POLLED";

/// The intake of one portal.
#[derive(Debug)]
pub(super) struct Intake {
    events: Events,
    portal: PortalId,
}

impl Intake {
    pub(super) fn new(events: Events, portal: PortalId) -> Self {
        Self { events, portal }
    }

    /// The time of day.
    pub(super) fn now(&self) -> Timestamp {
        self.events.now()
    }

    /// Writes a fetched page. Says whether it held anything new.
    pub(super) async fn take(
        &self,
        bot: &store::Bot,
        bot_id: i64,
        last_poll: Option<Timestamp>,
        page: EventPage,
    ) -> Result<bool, store::Error> {
        let inner = &self.events.0;
        let now = inner.clock.now();
        let mut entries: Vec<_> = self.gap(bot, bot_id, last_poll, now).into_iter().collect();
        let mut seen = Vec::new();
        let mut newest = None;
        for raw in page.events {
            match self.read(bot, bot_id, &raw, now) {
                Ok(Read::Skipped) => {}
                Ok(Read::Event(entry, command)) => {
                    newest = newest.max(Some(entry.happened_at));
                    seen.extend(command);
                    entries.push(Entry {
                        bot_id,
                        received_at: now,
                        item: Item::Event(*entry),
                    });
                }
                Err(why) => self.set_aside(bot, raw, why, now).await?,
            }
        }
        let appended = inner
            .store
            .append(Append {
                portal: self.portal.clone(),
                code: bot.code.clone(),
                entries,
                next_offset: page.next_offset,
                polled_at: Some(now),
            })
            .await?;
        for command in seen {
            inner.bots.note_command(command);
        }
        self.events.progressed(&self.portal, now, newest);
        if appended.appended > 0 {
            info!(portal.id = %self.portal, bot.code = %bot.code, events = appended.appended, "events received");
        }
        Ok(appended.appended > 0)
    }

    fn gap(
        &self,
        bot: &store::Bot,
        bot_id: i64,
        last_poll: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Entry> {
        let last = last_poll?;
        if now.duration_since(last) <= PORTAL_KEEPS {
            return None;
        }
        warn!(portal.id = %self.portal, bot.code = %bot.code, since = %last, "bot was not fetched for over 24 hours, its portal may have dropped events");
        Some(Entry {
            bot_id,
            received_at: now,
            item: Item::Gap(Gap {
                from: Some(last),
                until: now,
                why: NOT_POLLED.to_owned(),
            }),
        })
    }

    fn read(
        &self,
        bot: &store::Bot,
        bot_id: i64,
        raw: &RawEvent,
        now: Timestamp,
    ) -> Result<Read, String> {
        let event_id = raw.event_id.ok_or("the event has no id")?;
        let event = raw.read().map_err(|unreadable| unreadable.to_string())?;
        let happened_at = event.date.unwrap_or(now);
        let skipped = match bot.skip {
            Skip::Nothing => false,
            Skip::Before(adopted) => happened_at < adopted,
            Skip::UpTo(handled) => event_id <= handled,
        };
        if skipped {
            return Ok(Read::Skipped);
        }
        let dialog = dialog(&event.body).and_then(|id| id.parse::<DialogId>().ok());
        let command = match &event.body {
            Body::CommandAdd {
                command,
                message,
                user,
                ..
            } => Some(CommandRef {
                // Without its ids a command can be seen, but not answered.
                command_id: command.id.unwrap_or_default(),
                message_id: message.as_ref().map_or(0, |message| message.id),
                user_id: user.as_ref().map_or(0, |user| user.id),
                typed: command.context.as_deref() == Some("textarea"),
            }),
            _ => None,
        };
        let seen = command.zip(dialog.clone()).map(|(command, dialog)| Seen {
            portal: self.portal.clone(),
            bot_id,
            dialog,
            message_id: command.message_id,
            at: happened_at,
            typed: command.typed,
        });
        let body = serde_json::to_vec(&raw.value).map_err(|error| error.to_string())?;
        let entry = store::Event {
            dedupe_key: format!("{}/{event_id}", bot.code),
            kind: event.kind.as_str().to_owned(),
            dialog,
            happened_at,
            trace_context: None,
            command,
            body: store::Body(body),
        };
        Ok(Read::Event(Box::new(entry), seen))
    }

    async fn set_aside(
        &self,
        bot: &store::Bot,
        raw: RawEvent,
        why: String,
        at: Timestamp,
    ) -> Result<(), store::Error> {
        warn!(portal.id = %self.portal, bot.code = %bot.code, event.id = raw.event_id, why, "event cannot be read and is set aside");
        let body = raw.value.to_string().into_bytes();
        let key = match raw.event_id {
            Some(id) => id.to_string(),
            None => hex(digest::digest(&digest::SHA256, &body).as_ref()),
        };
        let unreadable = Unreadable {
            portal: self.portal.clone(),
            code: bot.code.clone(),
            dedupe_key: format!("{}/{key}", bot.code),
            why,
            body: store::Body(body),
            at,
        };
        self.events.0.store.set_aside(unreadable).await
    }
}

/// Where an event happened. A chat that is reduced to its id is named by that: whether it is a
/// private dialog is not told, and Bitrix24 goes by the message anyway (C18.5).
fn dialog(body: &Body) -> Option<String> {
    let (chat, message) = match body {
        Body::JoinChat { dialog_id, .. } | Body::ContextGet { dialog_id, .. } => {
            return dialog_id.clone();
        }
        Body::MessageAdd { chat, message, .. }
        | Body::MessageUpdate { chat, message, .. }
        | Body::CommandAdd { chat, message, .. }
        | Body::ReactionChange { chat, message, .. } => (chat, message.as_ref()),
        Body::MessageDelete { chat, .. } => (chat, None),
        Body::Delete | Body::Other(_) => return None,
    };
    let named = chat.as_ref().and_then(|chat| chat.dialog_id.clone());
    let id = || chat.as_ref().map(|chat| chat.id).or(message?.chat_id);
    named.or_else(|| id().map(|id| format!("chat{id}")))
}

enum Read {
    Event(Box<store::Event>, Option<Seen>),
    /// Handled elsewhere, before the bot was adopted.
    Skipped,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
