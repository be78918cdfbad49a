//! Messages that nobody asked for: sending, changing, deleting, and showing that a bot is busy.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Bots, Error,
    directory::Identity,
    execute::done,
    wish::{Content, set},
};
use crate::{
    ids::{BotCode, DialogId, MessageKey, PortalId},
    portal::{
        self, Patience,
        wire::{Method, Unreadable, answer},
    },
    store,
};

/// A message to send.
#[derive(Debug, Clone)]
pub struct Message {
    /// The portal.
    pub portal: PortalId,
    /// The bot that sends.
    pub bot: BotCode,
    /// Where to.
    pub dialog: DialogId,
    /// What to say; `None` only when messages are forwarded.
    pub content: Option<Content>,
    /// The message that is answered.
    pub reply_to: Option<i64>,
    /// Messages to forward, in order.
    pub forwards: Vec<i64>,
    /// `fields.skipConnector`.
    pub skip_connector: Option<bool>,
    /// `fields.silentConnector`.
    pub silent_connector: Option<bool>,
    /// Under which portals may post it once.
    pub key: Option<MessageKey>,
}

/// What became of a sent message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentMessage {
    /// Its id; `None` when messages were only forwarded.
    pub id: Option<i64>,
    /// Ids of the forwards in order; `None` for one that the portal did not tell.
    pub forwards: Vec<Option<i64>>,
}

/// A change of a message. `None` leaves a part as it is.
#[derive(Debug, Clone, Default)]
pub struct MessageChange {
    /// New text.
    pub text: Option<String>,
    /// New `fields.attach`.
    pub attach: Option<Value>,
    /// What becomes of the buttons.
    pub keyboard: Option<KeyboardChange>,
    /// Show a preview of the first link.
    pub url_preview: Option<bool>,
}

/// What becomes of the buttons of a message.
#[derive(Debug, Clone)]
pub enum KeyboardChange {
    /// They go.
    Remove,
    /// These come.
    Set(Value),
}

/// Names a message of a bot.
#[derive(Debug, Clone)]
pub struct MessageName {
    /// The portal.
    pub portal: PortalId,
    /// The bot that acts.
    pub bot: BotCode,
    /// The message.
    pub id: i64,
}

/// A sign that a bot is busy.
#[derive(Debug, Clone)]
pub struct Busy {
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub bot: BotCode,
    /// Where.
    pub dialog: DialogId,
    /// With what, by Bitrix24's name; `None` for typing.
    pub action: Option<&'static str>,
    /// For how long.
    pub seconds: Option<u64>,
}

impl Bots {
    /// Sends a message.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], or whatever the portal says.
    pub async fn send(&self, message: Message, patience: &Patience) -> Result<SentMessage, Error> {
        let bot = self.identity(&message.portal, &message.bot)?;
        let sent = self.send_as(&bot, message, patience).await;
        self.note_said(&bot.name, false, sent.as_ref().err());
        sent
    }

    async fn send_as(
        &self,
        bot: &Identity,
        message: Message,
        patience: &Patience,
    ) -> Result<SentMessage, Error> {
        let portal = self.portal(&message.portal)?;
        let keys = keys(message.forwards.len())?;
        let said = message.content.is_some();
        let fields = fields(message.content, |fields| {
            set(fields, "replyId", message.reply_to);
            set(fields, "skipConnector", message.skip_connector);
            set(fields, "silentConnector", message.silent_connector);
            let key = message.key.as_ref().map(MessageKey::as_str);
            set(fields, "templateId", key);
            let forwards = keys.iter().map(MessageKey::as_str).zip(message.forwards);
            let forwards: BTreeMap<_, _> = forwards.collect();
            if !forwards.is_empty() {
                fields.insert("forwardIds".to_owned(), json!(forwards));
            }
        });
        let call = bot
            .call(Method::MessageSend)
            .with("dialogId", message.dialog.as_str())
            .with("fields", fields);
        let reply = portal.call(call, patience).await?;
        let unreadable =
            |what| portal::Error::unreadable(Method::MessageSend, what).at(portal.id());
        let sent = answer::sent(&reply.result).map_err(unreadable)?;
        if said && sent.id.is_none() {
            let what = Unreadable::shape("id", "an id", reply.result.get("id"));
            return Err(unreadable(what).into());
        }
        let id_of = |key: &MessageKey| sent.uuid_map.get(key.as_str()).copied();
        Ok(SentMessage {
            id: sent.id,
            forwards: keys.iter().map(id_of).collect(),
        })
    }

    /// Changes a message.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], or whatever the portal says.
    pub async fn change_message(
        &self,
        name: MessageName,
        change: MessageChange,
        patience: &Patience,
    ) -> Result<(), Error> {
        let bot = self.identity(&name.portal, &name.bot)?;
        let portal = self.portal(&name.portal)?;
        let mut fields = Map::new();
        set(&mut fields, "message", change.text);
        set(&mut fields, "attach", change.attach);
        let keyboard = change.keyboard.map(|keyboard| match keyboard {
            KeyboardChange::Remove => "N".into(),
            KeyboardChange::Set(keyboard) => of_bot(keyboard, bot.bot_id),
        });
        set(&mut fields, "keyboard", keyboard);
        // Documented as a text here and as a truth elsewhere (C25 26).
        let preview = change.url_preview.map(|wish| if wish { "Y" } else { "N" });
        set(&mut fields, "urlPreview", preview);
        let call = bot
            .call(Method::MessageUpdate)
            .with("messageId", name.id)
            .with("fields", fields);
        let reply = portal.call(call, patience).await?;
        done(&portal, Method::MessageUpdate, &reply)
    }

    /// Deletes a message, `complete` without a trace.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], or whatever the portal says.
    pub async fn delete_message(
        &self,
        name: MessageName,
        complete: bool,
        patience: &Patience,
    ) -> Result<(), Error> {
        let bot = self.identity(&name.portal, &name.bot)?;
        let portal = self.portal(&name.portal)?;
        let mut call = bot.call(Method::MessageDelete).with("messageId", name.id);
        if complete {
            call = call.with("complete", true);
        }
        let reply = portal.call(call, patience).await?;
        done(&portal, Method::MessageDelete, &reply)
    }

    /// Shows that a bot is busy.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], or whatever the portal says.
    pub async fn show_busy(&self, busy: Busy, patience: &Patience) -> Result<(), Error> {
        let bot = self.identity(&busy.portal, &busy.bot)?;
        let portal = self.portal(&busy.portal)?;
        let mut call = bot
            .call(Method::InputActionNotify)
            .with("dialogId", busy.dialog.as_str());
        if let Some(action) = busy.action {
            call = call.with("statusMessageCode", action);
        }
        if let Some(seconds) = busy.seconds {
            call = call.with("duration", seconds);
        }
        let reply = portal.call(call, patience).await?;
        done(&portal, Method::InputActionNotify, &reply)
    }
}

/// `fields` of a message and what is added to it.
fn fields(content: Option<Content>, add: impl FnOnce(&mut Map<String, Value>)) -> Value {
    let mut fields = content.map(Content::fields).unwrap_or_else(|| json!({}));
    if let Some(fields) = fields.as_object_mut() {
        add(fields);
    }
    fields
}

/// New keys for forwards. Sorted: they are the keys of a map, in whose order portals post.
fn keys(count: usize) -> Result<Vec<MessageKey>, Error> {
    let keys: Result<Vec<_>, _> = (0..count).map(|_| MessageKey::random()).collect();
    let mut keys = keys.map_err(|_| store::Error::from(store::keys::Error::NoRandom))?;
    keys.sort();
    Ok(keys)
}

/// A keyboard whose buttons call the commands of a bot. When a message is changed Bitrix24 does not
/// fill that in, and buttons without a bot are dead (C15.1).
fn of_bot(keyboard: Value, bot_id: i64) -> Value {
    match keyboard {
        Value::Object(mut keys) => {
            keys.entry("BOT_ID").or_insert_with(|| bot_id.into());
            Value::Object(keys)
        }
        buttons => json!({"BOT_ID": bot_id, "BUTTONS": buttons}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_keyboard_names_its_bot_unless_the_caller_did() {
        let buttons = json!([{"TEXT": "Open", "LINK": "/"}]);
        assert_eq!(
            of_bot(buttons.clone(), 7),
            json!({"BOT_ID": 7, "BUTTONS": buttons})
        );
        let full = json!({"BUTTONS": buttons, "COLORS": {}});
        assert_eq!(
            of_bot(full, 7),
            json!({"BOT_ID": 7, "BUTTONS": buttons, "COLORS": {}})
        );
        let named = json!({"BOT_ID": 8, "BUTTONS": buttons});
        assert_eq!(of_bot(named.clone(), 7), named);
    }

    #[test]
    fn keys_of_forwards_are_apart_and_in_order() {
        let keys = keys(100).unwrap();
        assert!(keys.is_sorted_by(|one, next| one < next));
    }
}
