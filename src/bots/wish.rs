//! What a caller wishes of a bot, and the JSON that says it to Bitrix24.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use ring::digest;
use serde_json::{Map, Value, json};

use crate::{
    fault::Violation,
    portal::wire::{Bot, User},
    store::EventMode,
};

use super::Error;

/// What a bot looks like. `None` leaves a property as it is.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    /// First name.
    pub name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Position.
    pub work_position: Option<String>,
    /// A colour by Bitrix24's name, and what Bitrix24 makes of it.
    pub color: Option<Color>,
    /// `M` or `F`.
    pub gender: Option<&'static str>,
    /// The image file itself.
    pub avatar: Option<Bytes>,
}

/// A colour of Bitrix24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    /// Its name, as it is sent.
    pub code: &'static str,
    /// Its value, as it comes back.
    pub hex: &'static str,
}

/// How a bot behaves. `None` leaves a setting as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Not shown in the list of bots.
    pub is_hidden: Option<bool>,
    /// Users may react to its messages.
    pub is_reactions_enabled: Option<bool>,
    /// Works in open channels.
    pub is_support_openline: Option<bool>,
    /// Background of the chat; empty for none.
    pub background: Option<&'static str>,
    /// How its events reach us.
    pub event_mode: Option<EventMode>,
}

/// What a bot says, checked.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// Text with BB codes.
    pub text: String,
    /// `fields.attach`.
    pub attach: Option<Value>,
    /// `fields.keyboard`.
    pub keyboard: Option<Value>,
    /// `fields.system`.
    pub system: Option<bool>,
    /// `fields.urlPreview`.
    pub url_preview: Option<bool>,
}

impl Content {
    /// `fields` of a message.
    #[must_use]
    pub fn fields(self) -> Value {
        let mut fields = Map::new();
        if !self.text.is_empty() {
            fields.insert("message".to_owned(), self.text.into());
        }
        set(&mut fields, "attach", self.attach);
        set(&mut fields, "keyboard", self.keyboard);
        set(&mut fields, "system", self.system);
        set(&mut fields, "urlPreview", self.url_preview);
        Value::Object(fields)
    }
}

/// Properties that Bitrix24 resets when an update leaves them out, with their names in our API.
const RESETTABLE: [(&str, &str); 3] = [
    ("lastName", "properties.last_name"),
    ("workPosition", "properties.work_position"),
    ("gender", "properties.gender"),
];

impl Properties {
    /// `fields.properties`, only what is wished.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        set(&mut fields, "name", self.name.clone());
        set(&mut fields, "lastName", self.last_name.clone());
        set(&mut fields, "workPosition", self.work_position.clone());
        set(&mut fields, "color", self.color.map(|color| color.code));
        set(&mut fields, "gender", self.gender);
        set(
            &mut fields,
            "avatar",
            self.avatar.as_ref().map(|image| BASE64.encode(image)),
        );
        fields
    }

    /// `fields.properties` of an update: completed from what is remembered, so that Bitrix24 resets
    /// nothing.
    pub(super) fn to_full_json(&self, memory: &Memory) -> Result<Map<String, Value>, Error> {
        let mut fields = self.to_json();
        let mut unknown = Vec::new();
        for (key, path) in RESETTABLE {
            match memory.0.get(key) {
                _ if fields.contains_key(key) => {}
                // Never set: what Bitrix24 resets it to is what it is.
                Some(Value::Null) => {}
                Some(value) => set(&mut fields, key, Some(value.clone())),
                None => unknown.push(Violation::new(
                    path,
                    "is needed: the gateway does not know its value",
                )),
            }
        }
        if !unknown.is_empty() {
            return Err(Error::IncompleteProperties(unknown));
        }
        if let (None, Some(Value::String(name))) = (&self.name, memory.0.get("name")) {
            set(&mut fields, "name", Some(name.clone()));
        }
        Ok(fields)
    }

    /// Whether nothing is wished.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to_json().is_empty()
    }
}

/// What is remembered of a bot's properties, by their Bitrix24 names: a value, null for "never set",
/// absent for "not known".
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(pub(super) Map<String, Value>);

impl Memory {
    /// Of a bot that was just made: what was not wished was not set.
    pub(super) fn of_new() -> Self {
        let unset = RESETTABLE.map(|(key, _)| (key.to_owned(), Value::Null));
        Self(Map::from_iter(unset))
    }

    /// Of what was stored, filled up with what the portal tells.
    pub(super) fn of_known(stored: Option<&Value>, user: Option<&User>) -> Self {
        let mut memory = stored
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        if let Some(user) = user {
            let told = [
                ("name", &user.first_name),
                ("lastName", &user.last_name),
                ("workPosition", &user.work_position),
                ("gender", &user.gender),
            ];
            for (key, value) in told {
                if let (false, Some(value)) = (memory.contains_key(key), value) {
                    let value = if value.is_empty() {
                        Value::Null
                    } else {
                        json!(value)
                    };
                    memory.insert(key.to_owned(), value);
                }
            }
        }
        Self(memory)
    }

    /// Notes what was written.
    pub(super) fn wrote(&mut self, properties: &Properties) {
        for (key, value) in properties.to_json() {
            if key != "avatar" {
                self.0.insert(key, value);
            }
        }
        if let Some(avatar) = &properties.avatar {
            self.0
                .insert("avatarSha256".to_owned(), fingerprint(avatar).into());
        }
    }
}

/// Paths of the wished fields that a bot does not have.
pub(super) fn differences(
    properties: &Properties,
    kind: Option<&str>,
    settings: &Settings,
    bot: &Bot,
    user: Option<&User>,
    memory: &Memory,
) -> Vec<&'static str> {
    let mut paths = Vec::new();
    let mut note = |path, differs| {
        if differs {
            paths.push(path);
        }
    };
    let remembered = |key: &str| memory.0.get(key).and_then(Value::as_str);
    let full_name = user.and_then(|user| user.name.as_deref());
    if let Some(name) = properties.name.as_deref() {
        note(
            "properties.name",
            remembered("name") != Some(name) && full_name != Some(name),
        );
    }
    if let Some(last_name) = properties.last_name.as_deref() {
        note(
            "properties.last_name",
            remembered("lastName").unwrap_or_default() != last_name,
        );
    }
    if let Some(position) = properties.work_position.as_deref() {
        note(
            "properties.work_position",
            remembered("workPosition") != Some(position),
        );
    }
    if let Some(color) = properties.color {
        let told = user.and_then(|user| user.color.as_deref());
        let same = match told {
            Some(told) => told.eq_ignore_ascii_case(color.hex),
            None => remembered("color") == Some(color.code),
        };
        note("properties.color", !same);
    }
    if let Some(gender) = properties.gender {
        note("properties.gender", remembered("gender") != Some(gender));
    }
    if let Some(avatar) = &properties.avatar {
        note(
            "properties.avatar",
            remembered("avatarSha256") != Some(&fingerprint(avatar)),
        );
    }
    if let Some(kind) = kind {
        note("type", bot.kind.as_deref().is_some_and(|told| told != kind));
    }
    if let Some(mode) = settings.event_mode {
        note(
            "event_mode",
            bot.event_mode
                .as_deref()
                .is_some_and(|told| told != mode.as_str()),
        );
    }
    let flag = |wish: Option<bool>, told: Option<bool>| {
        wish.zip(told).is_some_and(|(wish, told)| wish != told)
    };
    note("is_hidden", flag(settings.is_hidden, bot.is_hidden));
    note(
        "is_reactions_enabled",
        flag(settings.is_reactions_enabled, bot.is_reactions_enabled),
    );
    note(
        "is_support_openline",
        flag(settings.is_support_openline, bot.is_support_openline),
    );
    if let Some(background) = settings.background {
        note(
            "background",
            bot.background_id.as_deref().unwrap_or_default() != background,
        );
    }
    paths
}

impl Settings {
    /// Whether nothing is wished.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let mut fields = Map::new();
        self.add_to(&mut fields);
        fields.is_empty()
    }

    /// Adds the wished settings to `fields`.
    pub(super) fn add_to(&self, fields: &mut Map<String, Value>) {
        set(fields, "isHidden", self.is_hidden);
        set(fields, "isReactionsEnabled", self.is_reactions_enabled);
        set(fields, "isSupportOpenline", self.is_support_openline);
        // A null would be ignored; an empty text resets (C17.2).
        set(fields, "backgroundId", self.background);
        set(fields, "eventMode", self.event_mode.map(EventMode::as_str));
    }
}

/// Sets a key if there is a value.
pub(super) fn set(fields: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        fields.insert(key.to_owned(), value.into());
    }
}

fn fingerprint(image: &[u8]) -> String {
    BASE64.encode(digest::digest(&digest::SHA256, image))
}
