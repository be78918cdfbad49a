//! A fetched page of events, and the offset that acknowledges it (C12).

use jiff::Timestamp;
use serde_json::Value;

use super::Event;
use crate::portal::wire::lenient::{self, Fields, Unreadable};

/// An item of a page, not yet read.
#[derive(Debug, Clone, PartialEq)]
pub struct RawEvent {
    /// Its place in the portal's sequence, when that much can be read.
    pub event_id: Option<i64>,
    /// The item, without any member named `auth`.
    pub value: Value,
}

/// A page of `Event.get`.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPage {
    /// The items in the portal's order.
    pub events: Vec<RawEvent>,
    /// The offset that acknowledges exactly this page; none when it acknowledges nothing, and the
    /// offset sent last stays the right one.
    pub next_offset: Option<i64>,
    /// The `nextOffset` of the answer, whatever we think of it.
    pub reported_offset: Option<i64>,
    /// More may be waiting. May be a false alarm.
    pub has_more: bool,
}

impl EventPage {
    /// Takes the `result` of `Event.get` apart.
    ///
    /// # Errors
    /// When it is no object or `events` is no list.
    pub fn from_result(mut result: Value) -> Result<Self, Unreadable> {
        let events = match &mut result {
            Value::Object(members) => members.remove("events"),
            Value::Array(items) if items.is_empty() => Some(Value::Null),
            _ => None,
        };
        let events = events
            .ok_or_else(|| Unreadable::shape("events", "a list", None))
            .and_then(|events| {
                let unreadable = Unreadable::shape("events", "a list", Some(&events));
                lenient::into_list(events).ok_or(unreadable)
            })?;
        let events: Vec<RawEvent> = events.into_iter().map(RawEvent::new).collect();
        let fields = Fields::or_none(Some(&result));
        let reported_offset = fields.int("nextOffset").filter(|offset| *offset > 0);
        Ok(Self {
            next_offset: safe_offset(&events, reported_offset),
            events,
            reported_offset,
            has_more: fields.flag("hasMore").unwrap_or(false),
        })
    }
}

/// The largest offset that surely acknowledges nothing but `events`.
///
/// An offset deletes everything below it, so one that is too large loses events for good while one
/// that is too small only repeats them (C12). Hence the portal's word is taken only as far as the ids
/// we hold, and below them not at all, for it would repeat the page for ever. When no id can be read,
/// the portal's word is all there is to get past the page.
fn safe_offset(events: &[RawEvent], reported: Option<i64>) -> Option<i64> {
    let ids = || events.iter().filter_map(|event| event.event_id);
    let Some((lowest, highest)) = ids().min().zip(ids().max()) else {
        return reported.filter(|_| !events.is_empty());
    };
    let after = highest.saturating_add(1);
    Some(
        reported
            .filter(|offset| *offset > lowest)
            .map_or(after, |offset| offset.min(after)),
    )
}

impl RawEvent {
    fn new(mut value: Value) -> Self {
        strip_auth(&mut value);
        Self {
            event_id: Fields::or_none(Some(&value)).int("eventId"),
            value,
        }
    }

    /// When it happened, when that much can be read.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        Fields::or_none(Some(&self.value)).time("date")
    }

    /// Reads the item.
    ///
    /// # Errors
    /// As [`Event::from_item`].
    pub fn read(&self) -> Result<Event, Unreadable> {
        Event::from_item(&self.value)
    }
}

/// Removes every member named `auth`, at any depth and in any case: tokens must be gone before
/// anything is stored.
pub fn strip_auth(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !name.eq_ignore_ascii_case("auth"));
            members.values_mut().for_each(strip_auth);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_auth),
        _ => {}
    }
}
