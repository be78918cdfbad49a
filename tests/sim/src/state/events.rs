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
        let event_id = self.next_event_id();
        let log = self.logs.entry(bot_id).or_default();
        log.events.push_back(Event {
            id: event_id,
            at: now,
            kind,
            data,
        });
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

    /// Acknowledges below `offset` when it is over 0, then reads from it.
    pub(crate) fn read_events(
        &mut self,
        bot_id: i64,
        offset: u64,
        limit: usize,
        now: UnixTime,
    ) -> Value {
        self.expire_events(bot_id, now);
        let log = self.logs.entry(bot_id).or_default();
        let known = log.events.len();
        if offset > 0 {
            log.events.retain(|event| event.id >= offset);
        }
        let gone = known - log.events.len();
        let page: Vec<&Event> = log.events.iter().take(limit).collect();
        let next = page.last().map_or(offset, |event| event.id + 1);
        let has_more = page.len() >= limit;
        let offset_minutes = self.utc_offset_minutes;
        let events: Vec<Value> = page
            .into_iter()
            .map(|event| event.written(offset_minutes))
            .collect();
        if gone > 0 {
            self.record(
                now,
                Effect::EventsAcknowledged {
                    bot_id,
                    count: gone,
                    offset,
                },
            );
        }
        json!({"events": events, "nextOffset": next, "hasMore": has_more})
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
