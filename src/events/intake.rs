//! Takes what a portal tells into the log.
//!
//! Secrets are removed first, an event that cannot be read is set aside and stops no other, and the
//! offset that makes the portal forget is written in the same transaction as the events. What is
//! fetched and what is posted is read alike (`read`).

mod posted;
mod read;
mod traces;

use jiff::{SignedDuration, Timestamp};
use ring::digest;
use tokio::time::Instant;
use tracing::{info, warn};

pub use self::posted::{Departed, Refused};
use self::read::{Origin, Read, read};
use super::Events;
use crate::{
    ids::{BotCode, PortalId},
    portal::wire::event::{EventPage, RawEvent},
    store::{self, Append, Entry, Gap, Item, Unreadable},
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

    /// Whether a line is told about events that cannot be stored, and how many were not before.
    pub(super) fn may_tell_of_loss(&self) -> Option<u64> {
        self.events.0.losses.may_tell(Instant::now())
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
        // Until they are durable.
        let mut arrivals = Vec::new();
        for raw in page.events {
            match self.read(bot, bot_id, &raw, now) {
                Ok(Read::Skipped) => {}
                Ok(Read::Event(mut entry, command)) => {
                    arrivals.extend(self.events.arrives((&self.portal, &bot.code), &mut entry));
                    newest = newest.max(Some(entry.happened_at));
                    seen.extend(command);
                    entries.push(Entry {
                        bot_id,
                        received_at: now,
                        item: Item::Event(*entry),
                    });
                }
                Err(why) => {
                    let key = match raw.event_id {
                        Some(id) => id.to_string(),
                        None => hex(digest::digest(
                            &digest::SHA256,
                            raw.value.to_string().as_bytes(),
                        )
                        .as_ref()),
                    };
                    let place = (&self.portal, &bot.code);
                    self.events.set_aside(place, &key, &raw, why, now).await?;
                }
            }
        }
        let appended = self
            .events
            .append(Append {
                portal: self.portal.clone(),
                code: bot.code.clone(),
                entries,
                next_offset: page.next_offset,
                polled_at: Some(now),
            })
            .await?;
        if appended.appended == 0 {
            arrivals.iter().for_each(traces::came_again);
        }
        drop(arrivals);
        for command in seen {
            if appended.appended > 0 {
                self.events.command_came(&self.portal, command.at);
            }
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
        let origin = Origin {
            portal: &self.portal,
            code: &bot.code,
            bot_id,
            skip: bot.skip,
        };
        read(&origin, raw, &event_id.to_string(), now)
    }
}

impl Events {
    /// Keeps an event that cannot be read where an operator finds it.
    async fn set_aside(
        &self,
        (portal, code): (&PortalId, &BotCode),
        key: &str,
        raw: &RawEvent,
        why: String,
        at: Timestamp,
    ) -> Result<(), store::Error> {
        if let Some(untold) = self.0.losses.may_tell(Instant::now()) {
            warn!(portal.id = %portal, bot.code = %code, event.id = raw.event_id, why, untold, "event cannot be read and is set aside");
        }
        let unreadable = Unreadable {
            portal: portal.clone(),
            code: code.clone(),
            dedupe_key: format!("{code}/{key}"),
            why,
            body: store::Body(raw.value.to_string().into_bytes()),
            at,
        };
        self.0.store.set_aside(unreadable).await
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
