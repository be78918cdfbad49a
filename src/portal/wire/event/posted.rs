//! An event that the portal posted, in the shape of a fetched one (C11).

use ring::digest;
use serde_json::{Map, Value};

use super::{RawEvent, strip_auth};
use crate::portal::wire::{
    callback::Auth,
    lenient::{Fields, Unreadable, text},
};

/// A posted event, not yet read. Until its `auth` was compared it is a claim by a stranger.
#[derive(Debug, Clone)]
pub struct PostedEvent {
    /// Who claims to say it: only what stands at the top level.
    pub auth: Auth,
    /// The bot it concerns.
    pub bot_id: i64,
    /// The event as an item of a fetched page, but for the number that it does not have, and without any
    /// member named `auth`.
    pub raw: RawEvent,
}

impl PostedEvent {
    /// Takes a decoded form, or the same as JSON, apart.
    ///
    /// # Errors
    /// When it is no object or does not say which event it is, and of which bot.
    pub fn from_body(mut body: Value) -> Result<Self, Unreadable> {
        let fields = Fields::of(&body)?;
        fields.require_text("event")?;
        let auth = Auth::read(&Fields::or_none(fields.get("auth")));
        let data = Fields::or_none(fields.get("data"));
        let bot = Fields::or_none(data.get("bot"));
        let bot_id = bot.require_int("id");
        let bot_id = bot_id.map_err(|error| error.within("bot").within("data"))?;
        let mut item = Map::new();
        if let Value::Object(members) = &mut body {
            for (name, known_as) in [("event", "type"), ("ts", "date"), ("data", "data")] {
                let value = members.remove(name);
                item.extend(value.map(|value| (known_as.to_owned(), value)));
            }
        }
        let mut value = Value::Object(item);
        strip_auth(&mut value);
        Ok(Self {
            auth,
            bot_id,
            raw: RawEvent {
                event_id: None,
                value,
            },
        })
    }

    /// The same for the same event, however often and in whatever order of its members it is posted, and
    /// another for every other one: a hash of bot, type, time and data.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let item = Fields::or_none(Some(&self.raw.value));
        feed(&mut context, &self.bot_id.into());
        for name in ["type", "date"] {
            let text = item.get(name).and_then(text).unwrap_or_default();
            feed(&mut context, &text.into());
        }
        feed(&mut context, item.get("data").unwrap_or(&Value::Null));
        let hash = context.finish();
        *hash.as_ref().first_chunk().expect("a SHA-256 has 32 bytes")
    }
}

/// Writes a value so that no two different ones are written alike, and the order of members is no
/// difference.
fn feed(context: &mut digest::Context, value: &Value) {
    let mut head = |kind: u8, length: usize| {
        context.update(&[kind]);
        context.update(&(length as u64).to_be_bytes());
    };
    match value {
        Value::Null => head(b'n', 0),
        Value::Bool(truth) => head(b'b', usize::from(*truth)),
        Value::Number(number) => {
            let digits = number.to_string();
            head(b'd', digits.len());
            context.update(digits.as_bytes());
        }
        Value::String(text) => {
            head(b's', text.len());
            context.update(text.as_bytes());
        }
        Value::Array(items) => {
            head(b'l', items.len());
            items.iter().for_each(|item| feed(context, item));
        }
        Value::Object(members) => {
            head(b'm', members.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, member) in members {
                context.update(&(name.len() as u64).to_be_bytes());
                context.update(name.as_bytes());
                feed(context, member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn posted(body: Value) -> PostedEvent {
        PostedEvent::from_body(body).unwrap()
    }

    fn with(data: Value) -> [u8; 32] {
        posted(json!({"event": "A", "ts": "5", "data": data})).fingerprint()
    }

    #[test]
    fn it_looks_like_a_fetched_one_and_holds_no_tokens() {
        let event = posted(json!({
            "event": "ONIMBOTV2DELETE",
            "ts": "1772093963",
            "eventId": "7",
            "data": {"bot": {"id": "456", "AUTH": {"application_token": "decoy"}}, "list": [{"auth": 1}]},
            "auth": {"application_token": "proof", "member_id": "m"},
        }));
        assert_eq!(event.bot_id, 456);
        assert_eq!(event.auth.member_id.as_deref(), Some("m"));
        let item = json!({
            "type": "ONIMBOTV2DELETE", "date": "1772093963", "data": {"bot": {"id": "456"}, "list": [{}]},
        });
        assert_eq!(event.raw.value, item);
        let read = event.raw.read().unwrap();
        assert_eq!(read.event_id, None, "a number is what tells a fetched one");
        assert_eq!(read.date.map(|date| date.as_second()), Some(1_772_093_963));
    }

    #[test]
    fn it_must_say_what_it_is_and_of_whom() {
        for odd in [
            json!("x"),
            json!({"data": {"bot": {"id": 1}}}),
            json!({"event": "A", "data": {"bot": {"id": ["1"]}}}),
            json!({"event": "A", "data": {"bot": "1"}}),
            json!({"event": ["A"], "data": {"bot": {"id": 1}}}),
        ] {
            assert!(PostedEvent::from_body(odd.clone()).is_err(), "{odd}");
        }
    }

    #[test]
    fn fingerprint_tells_events_apart_and_nothing_else() {
        let one = with(json!({"bot": {"id": 1}, "x": [1, "a"], "y": "b"}));
        assert_eq!(
            one,
            with(json!({"y": "b", "x": [1, "a"], "bot": {"auth": 5, "id": 1}}))
        );
        for other in [
            json!({"bot": {"id": 2}, "x": [1, "a"], "y": "b"}),
            json!({"bot": {"id": 1}, "x": ["a", 1], "y": "b"}),
            json!({"bot": {"id": 1}, "x": [1, "ay"], "": "b"}),
            json!({"bot": {"id": 1}, "x": [1, "a", "y"], "b": null}),
            json!({"bot": {"id": 1}, "x": ["1", "a"], "y": "b"}),
        ] {
            assert_ne!(one, with(other.clone()), "{other}");
        }
        let data = json!({"bot": {"id": 1}});
        let at = |event: &str, ts: &str| {
            posted(json!({"event": event, "ts": ts, "data": data})).fingerprint()
        };
        assert_ne!(at("A", "5"), at("A", "6"));
        assert_ne!(at("A", "55"), at("A5", "5"));
    }
}
