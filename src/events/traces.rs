//! What spans tell of events.

use opentelemetry::KeyValue;

use crate::{
    ids::{BotCode, PortalId},
    portal::wire::event::Kind,
};

/// What an event is, but for what it says.
#[must_use]
pub fn attributes(portal: &PortalId, code: &BotCode, kind: &str) -> Vec<KeyValue> {
    // A type that nobody knows may be any text.
    let kind = match Kind::from_name(kind) {
        Kind::Other(_) => "other".to_owned(),
        known => known.as_str().to_owned(),
    };
    vec![
        KeyValue::new("bitrix24.portal", portal.to_string()),
        KeyValue::new("bitrix24.bot.code", code.to_string()),
        KeyValue::new("bitrix24.event.type", kind),
    ]
}
