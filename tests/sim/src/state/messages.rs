//! Messages, and what people do to them.

use serde_json::Value;

use super::chats::DialogId;
use super::{State, take};
use crate::clock::UnixTime;
use crate::journal::Effect;
use crate::portal::Refusal;

/// A message in a chat.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: i64,
    pub(crate) chat_id: i64,
    /// 0 = system.
    pub(crate) author_id: i64,
    pub(crate) date: UnixTime,
    pub(crate) text: String,
    pub(crate) uuid: Option<String>,
    pub(crate) keyboard: Option<Value>,
    pub(crate) attach: Option<Value>,
    pub(crate) reply_to: Option<i64>,
    pub(crate) forward: Option<Forward>,
    pub(crate) file: Option<i64>,
    pub(crate) deleted: bool,
    /// Its text, attachment or keyboard was changed by its author.
    pub(crate) edited: bool,
    pub(crate) url_preview: bool,
    pub(crate) reactions: Vec<(i64, String)>,
    pub(crate) raw: Value,
    /// Bots of which a command was typed here in their private dialog: they may always answer.
    pub(crate) typed_for: Vec<i64>,
}

/// Where a forwarded message comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forward {
    pub(crate) message_id: i64,
    pub(crate) chat_id: i64,
    pub(crate) author_id: i64,
    pub(crate) date: UnixTime,
}

/// A message to post.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) author_id: i64,
    pub(crate) by_bot: Option<i64>,
    pub(crate) text: String,
    pub(crate) uuid: Option<String>,
    pub(crate) keyboard: Option<Value>,
    pub(crate) attach: Option<Value>,
    pub(crate) reply_to: Option<i64>,
    pub(crate) forward: Option<Forward>,
    pub(crate) file: Option<i64>,
    pub(crate) url_preview: bool,
    pub(crate) raw: Value,
}

impl Post {
    pub(crate) fn text(author_id: i64, text: String) -> Self {
        Self {
            author_id,
            by_bot: None,
            text,
            uuid: None,
            keyboard: None,
            attach: None,
            reply_to: None,
            forward: None,
            file: None,
            url_preview: true,
            raw: Value::Null,
        }
    }
}

/// Longest text of a message, in characters.
const TEXT_LIMIT: usize = 20_000;
const CUT_MARK: &str = " (...)";
const DELETED_TEXT: &str = "This message was deleted.";

/// The text as it is stored: trimmed, and cut when too long.
pub(crate) fn stored_text(text: &str) -> String {
    let text = text.trim();
    if text.len() <= TEXT_LIMIT || text.chars().count() <= TEXT_LIMIT {
        return text.to_owned();
    }
    text.chars()
        .take(TEXT_LIMIT - CUT_MARK.len())
        .chain(CUT_MARK.chars())
        .collect()
}

impl State {
    /// Puts a message into a chat. Bots are not told here: what they hear depends on who wrote it.
    pub(crate) fn post(&mut self, chat_id: i64, post: Post, now: UnixTime) -> i64 {
        let id = take(&mut self.ids.message);
        self.record(
            now,
            Effect::MessagePosted {
                message_id: id,
                chat_id,
                author_id: post.author_id,
                by_bot: post.by_bot,
                text: post.text.clone(),
            },
        );
        let message = Message {
            id,
            chat_id,
            author_id: post.author_id,
            date: now,
            text: post.text,
            uuid: post.uuid,
            keyboard: post.keyboard,
            attach: post.attach,
            reply_to: post.reply_to,
            forward: post.forward,
            file: post.file,
            deleted: false,
            edited: false,
            url_preview: post.url_preview,
            reactions: Vec::new(),
            raw: post.raw,
            typed_for: Vec::new(),
        };
        self.messages.insert(id, message);
        self.tell_people(id, "ONIMV2MESSAGEADD", now);
        id
    }

    pub(crate) fn post_system(
        &mut self,
        chat_id: i64,
        text: &str,
        now: UnixTime,
    ) -> Result<i64, Refusal> {
        if !self.chats.contains_key(&chat_id) {
            return Err(Refusal::NoDialog(format!("chat{chat_id}")));
        }
        let id = self.post(chat_id, Post::text(0, stored_text(text)), now);
        self.raise_message(id, now);
        Ok(id)
    }

    pub(crate) fn user_types(
        &mut self,
        user_id: i64,
        dialog_id: &str,
        text: &str,
        now: UnixTime,
    ) -> Result<i64, Refusal> {
        self.person(user_id)?;
        let chat_id = DialogId::parse(dialog_id)
            .and_then(|dialog| self.chat_of(dialog, user_id, now))
            .ok_or_else(|| Refusal::NoDialog(dialog_id.to_owned()))?;
        self.member(user_id, chat_id)?;
        let id = self.post(chat_id, Post::text(user_id, stored_text(text)), now);
        self.raise_message(id, now);
        Ok(id)
    }

    pub(crate) fn user_presses(
        &mut self,
        user_id: i64,
        message_id: i64,
        button_text: &str,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        self.person(user_id)?;
        let message = self.standing(message_id)?;
        let chat_id = message.chat_id;
        let keyboard = message.keyboard.clone().unwrap_or_default();
        self.member(user_id, chat_id)?;
        let buttons = keyboard.get("BUTTONS").and_then(Value::as_array);
        let button = buttons
            .and_then(|list| {
                list.iter()
                    .find(|button| text_of(button, "TEXT") == button_text)
            })
            .ok_or_else(|| Refusal::NoButton {
                message_id,
                text: button_text.to_owned(),
            })?;
        if text_of(button, "DISABLED") == "Y" {
            return Err(Refusal::ButtonDisabled(button_text.to_owned()));
        }
        if button.get("COMMAND").is_some() {
            let name = text_of(button, "COMMAND");
            let params = text_of(button, "COMMAND_PARAMS");
            let bot_id = keyboard
                .get("BOT_ID")
                .and_then(crate::php::int)
                .unwrap_or(0);
            if text_of(button, "BLOCK") == "Y" {
                self.block_button(message_id, button_text);
            }
            self.press_command(user_id, message_id, bot_id, &name, &params, now);
        } else if text_of(button, "ACTION") == "SEND" {
            let text = text_of(button, "ACTION_VALUE");
            let id = self.post(chat_id, Post::text(user_id, stored_text(&text)), now);
            self.raise_message(id, now);
        }
        Ok(())
    }

    /// A button that may be pressed once only.
    fn block_button(&mut self, message_id: i64, button_text: &str) {
        self.journal.ring();
        let keyboard = self
            .messages
            .get_mut(&message_id)
            .and_then(|m| m.keyboard.as_mut());
        let buttons = keyboard
            .and_then(|k| k.get_mut("BUTTONS"))
            .and_then(Value::as_array_mut);
        for button in buttons.into_iter().flatten() {
            if text_of(button, "TEXT") == button_text
                && let Value::Object(members) = button
            {
                members.insert("DISABLED".into(), "Y".into());
            }
        }
    }

    pub(crate) fn user_edits(
        &mut self,
        user_id: i64,
        message_id: i64,
        text: &str,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let message = self.own_message(user_id, message_id)?;
        message.text = stored_text(text);
        message.edited = true;
        self.record(now, Effect::MessageUpdated { message_id });
        self.raise_update(message_id, now);
        Ok(())
    }

    pub(crate) fn user_deletes(
        &mut self,
        user_id: i64,
        message_id: i64,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        self.own_message(user_id, message_id)?;
        self.raise_delete(message_id, now);
        self.delete_softly(message_id, now);
        Ok(())
    }

    pub(crate) fn user_reacts(
        &mut self,
        user_id: i64,
        message_id: i64,
        reaction: &str,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        self.person(user_id)?;
        let chat_id = self.standing(message_id)?.chat_id;
        self.member(user_id, chat_id)?;
        let Some(message) = self.messages.get_mut(&message_id) else {
            return Err(Refusal::NoMessage(message_id));
        };
        let set = (user_id, reaction.to_owned());
        let action = if let Some(at) = message.reactions.iter().position(|known| *known == set) {
            message.reactions.remove(at);
            "delete"
        } else {
            message.reactions.push(set);
            "add"
        };
        self.journal.ring();
        self.raise_reaction(message_id, user_id, reaction, action, now);
        Ok(())
    }

    pub(crate) fn delete_softly(&mut self, message_id: i64, now: UnixTime) {
        if let Some(message) = self.messages.get_mut(&message_id) {
            message.deleted = true;
            message.text = DELETED_TEXT.to_owned();
            message.keyboard = None;
            message.attach = None;
            self.record(now, Effect::MessageDeleted { message_id });
        }
    }

    pub(crate) fn delete_completely(&mut self, message_id: i64, now: UnixTime) {
        if self.messages.remove(&message_id).is_some() {
            self.record(now, Effect::MessageDeleted { message_id });
        }
    }

    fn person(&self, user_id: i64) -> Result<(), Refusal> {
        let person = self
            .users
            .get(&user_id)
            .filter(|user| user.active && !user.bot);
        person.map(|_| ()).ok_or(Refusal::NoUser(user_id))
    }

    fn member(&self, user_id: i64, chat_id: i64) -> Result<(), Refusal> {
        let inside = self
            .chats
            .get(&chat_id)
            .is_some_and(|chat| chat.has(user_id));
        if inside {
            Ok(())
        } else {
            Err(Refusal::NotInChat { user_id, chat_id })
        }
    }

    fn standing(&self, message_id: i64) -> Result<&Message, Refusal> {
        let message = self
            .messages
            .get(&message_id)
            .filter(|message| !message.deleted);
        message.ok_or(Refusal::NoMessage(message_id))
    }

    fn own_message(&mut self, user_id: i64, message_id: i64) -> Result<&mut Message, Refusal> {
        let message = self
            .messages
            .get_mut(&message_id)
            .filter(|message| !message.deleted);
        let message = message.ok_or(Refusal::NoMessage(message_id))?;
        if message.author_id == user_id {
            Ok(message)
        } else {
            Err(Refusal::NotTheAuthor(message_id))
        }
    }
}

fn text_of(button: &Value, key: &str) -> String {
    button
        .get(key)
        .and_then(crate::php::text)
        .unwrap_or_default()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_with_a_mark_and_never_longer_than_the_limit() {
        let text = stored_text(&"ж".repeat(20_001));
        assert_eq!(text.chars().count(), 20_000);
        assert!(text.ends_with("ж (...)"));
        assert_eq!(stored_text(&"ж".repeat(20_000)).chars().count(), 20_000);
        assert!(!stored_text(&"x".repeat(20_000)).ends_with(')'));
    }
}
