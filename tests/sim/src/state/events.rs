//! The event log of a bot (C12).
//!
//! A log belongs to a bot and is read destructively: an offset deletes what lies below it. Events
//! older than a day go by themselves. Ids are one sequence for the whole portal.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{EventMode, State};
use crate::clock::UnixTime;
use crate::journal::Effect;

/// How long an event is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The events waiting for one bot, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Event {
    id: u64,
    at: UnixTime,
    kind: &'static str,
    data: Map<String, Value>,
}

impl State {
    /// Adds an event to a bot's log, or sends it when the bot is in webhook mode.
    pub(crate) fn log_event(
        &mut self,
        bot_id: i64,
        kind: &'static str,
        data: Map<String, Value>,
        now: UnixTime,
    ) {
        let Some(bot) = self.bots.get(&bot_id) else {
            return;
        };
        if bot.is_builtin() {
            return;
        }
        if bot.event_mode == EventMode::Webhook {
            self.deliver_event(bot_id, kind, data, now);
            return;
        }
        let event_id = self.append(bot_id, kind, data, now);
        self.record(
            now,
            Effect::EventLogged {
                bot_id,
                event_id,
                kind,
            },
        );
        self.expire_events(bot_id, now);
    }

    /// Adds an event to a person's log.
    pub(super) fn log_for_person(
        &mut self,
        user_id: i64,
        kind: &'static str,
        data: Map<String, Value>,
        now: UnixTime,
    ) {
        self.append(user_id, kind, data, now);
        self.expire_events(user_id, now);
    }

    fn append(
        &mut self,
        reader: i64,
        kind: &'static str,
        data: Map<String, Value>,
        now: UnixTime,
    ) -> u64 {
        let id = self.next_event_id();
        let log = self.logs.entry(reader).or_default();
        log.events.push_back(Event {
            id,
            at: now,
            kind,
            data,
        });
        id
    }

    /// Acknowledges below `offset` when it is over 0, then reads from it; the logs of several
    /// readers are read as one.
    pub(crate) fn read_events(
        &mut self,
        readers: &[i64],
        offset: u64,
        limit: usize,
        now: UnixTime,
    ) -> Value {
        for reader in readers {
            self.expire_events(*reader, now);
            if offset > 0 {
                self.acknowledge(*reader, offset, now);
            }
        }
        let logs = readers.iter().filter_map(|reader| self.logs.get(reader));
        let mut page: Vec<&Event> = logs
            .flat_map(|log| log.events.iter().take(limit + 1))
            .collect();
        page.sort_by_key(|event| event.id);
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().map_or(offset, |event| event.id + 1);
        let full = page.len() >= limit;
        let has_more = if self.quirks.has_more_is_exact {
            more
        } else {
            full
        };
        let offset_minutes = self.utc_offset_minutes;
        let events: Vec<Value> = page
            .into_iter()
            .map(|event| event.written(offset_minutes))
            .collect();
        json!({"events": events, "nextOffset": next, "hasMore": has_more})
    }

    fn acknowledge(&mut self, reader: i64, offset: u64, now: UnixTime) {
        let Some(log) = self.logs.get_mut(&reader) else {
            return;
        };
        let known = log.events.len();
        log.events.retain(|event| event.id >= offset);
        let count = known - log.events.len();
        if count > 0 {
            self.record(
                now,
                Effect::EventsAcknowledged {
                    bot_id: reader,
                    count,
                    offset,
                },
            );
        }
    }

    pub(crate) fn pending_events(&mut self, bot_id: i64, now: UnixTime) -> Vec<u64> {
        self.expire_events(bot_id, now);
        let log = self.logs.get(&bot_id);
        log.map(|log| log.events.iter().map(|event| event.id).collect())
            .unwrap_or_default()
    }

    /// Empties a log without anybody having read it.
    pub(crate) fn drop_events(&mut self, bot_id: i64, now: UnixTime) {
        let Some(log) = self.logs.get_mut(&bot_id) else {
            return;
        };
        let count = log.events.len();
        log.events.clear();
        if count > 0 {
            self.record(now, Effect::EventsDropped { bot_id, count });
        }
    }

    fn expire_events(&mut self, bot_id: i64, now: UnixTime) {
        let Some(log) = self.logs.get_mut(&bot_id) else {
            return;
        };
        let known = log.events.len();
        while log
            .events
            .front()
            .is_some_and(|event| now.saturating_sub(event.at) > KEPT)
        {
            log.events.pop_front();
        }
        let count = known - log.events.len();
        if count > 0 {
            self.record(now, Effect::EventsExpired { bot_id, count });
        }
    }
}

impl Event {
    fn written(&self, utc_offset_minutes: i32) -> Value {
        json!({
            "eventId": self.id,
            "type": self.kind,
            "date": crate::clock::iso(self.at, utc_offset_minutes),
            "data": self.data,
        })
    }
}
