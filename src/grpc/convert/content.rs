//! What a bot says: protobuf to the JSON that Bitrix24 documents.

mod attach;
mod keyboard;

use serde_json::{Map, Value};

use super::check::Check;
use crate::{bots::Content, proto::v1 as pb};

/// Bitrix24 cuts longer texts without an error.
pub(in crate::grpc) const TEXT_CHARACTERS: usize = 20_000;

/// Bitrix24 refuses a serialised keyboard or attach from here on.
pub(in crate::grpc) const RICH_BYTES: usize = 60_000;

/// Checks and translates the content of a message.
pub(crate) fn content(
    check: &mut Check,
    field: &str,
    content: Option<&pb::MessageContent>,
) -> Content {
    let empty = pb::MessageContent::default();
    let content = content.unwrap_or(&empty);
    text(check, &format!("{field}.text"), &content.text);
    if content.text.trim().is_empty() && content.attach.is_none() {
        check.broken(
            &format!("{field}.text"),
            "is needed unless there is an attach; a keyboard alone is not a message",
        );
    }
    let attach = attach(check, &format!("{field}.attach"), content.attach.as_ref());
    let keyboard = keyboard(
        check,
        &format!("{field}.keyboard"),
        content.keyboard.as_ref(),
    );
    Content {
        text: content.text.clone(),
        attach,
        keyboard,
        system: content.system,
        url_preview: content.url_preview,
    }
}

/// Checks the text of a message.
pub(crate) fn text(check: &mut Check, field: &str, text: &str) {
    check.at_most(field, text, TEXT_CHARACTERS);
}

/// Checks and translates the blocks of a message, if there are any.
pub(crate) fn attach(check: &mut Check, field: &str, attach: Option<&pb::Attach>) -> Option<Value> {
    let value = attach::attach(check, field, attach?);
    not_too_large(check, field, &value);
    Some(value)
}

/// Checks and translates the buttons of a message, if there are any.
pub(crate) fn keyboard(
    check: &mut Check,
    field: &str,
    keyboard: Option<&pb::Keyboard>,
) -> Option<Value> {
    let value = keyboard::keyboard(check, field, keyboard?);
    not_too_large(check, field, &value);
    Some(value)
}

fn not_too_large(check: &mut Check, field: &str, value: &Value) {
    let bytes = value.to_string().len();
    if bytes >= RICH_BYTES {
        check.broken(
            field,
            format!("must be under {RICH_BYTES} bytes as JSON, has {bytes}"),
        );
    }
}

/// A JSON object in the making, whose keys Bitrix24 spells in upper case.
#[derive(Default)]
struct Keys(Map<String, Value>);

impl Keys {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn set_if<T: Clone + Into<Value>>(&mut self, key: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.set(key, value.clone());
        }
    }

    fn set_unless_empty(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.set(key, text);
        }
    }

    /// Adds the caller's own keys; they may not replace ours.
    fn extend(&mut self, check: &mut Check, field: &str, extra: Option<&prost_types::Struct>) {
        for (key, value) in extra.map(super::json::from_struct).unwrap_or_default() {
            upper_case(check, field, &key);
            if self.0.contains_key(&key) {
                check.broken(field, format!("`{key}` is given by a field of its own"));
            }
            self.0.insert(key, value);
        }
    }
}

fn upper_case(check: &mut Check, field: &str, key: &str) {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if key.is_empty() || !key.bytes().all(allowed) {
        check.broken(
            field,
            format!("`{key}` is not a Bitrix24 key, which is of A-Z, 0-9 and `_`"),
        );
    }
}

fn link(check: &mut Check, field: &str, link: &str) {
    let relative = link.starts_with('/') && !link.starts_with("//");
    let absolute = ["http://", "https://"]
        .iter()
        .any(|scheme| link.len() > scheme.len() && link.starts_with(scheme));
    if !relative && !absolute {
        check.broken(field, "must begin with http://, https:// or a single /");
    }
}

fn color(check: &mut Check, field: &str, color: &str) {
    let hex = color.strip_prefix('#').is_some_and(|digits| {
        matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    if !color.is_empty() && !hex {
        check.broken(field, "must be a colour such as #df532d");
    }
}

fn pixels(check: &mut Check, field: &str, pixels: Option<i32>) {
    if pixels.is_some_and(|pixels| pixels < 1) {
        check.broken(field, "must be at least 1 pixel");
    }
}

fn color_token(token: pb::ColorToken) -> Option<&'static str> {
    match token {
        pb::ColorToken::Unspecified => None,
        pb::ColorToken::Primary => Some("primary"),
        pb::ColorToken::Secondary => Some("secondary"),
        pb::ColorToken::Alert => Some("alert"),
        pb::ColorToken::Base => Some("base"),
    }
}

fn yes_no(truth: bool) -> &'static str {
    if truth { "Y" } else { "N" }
}
