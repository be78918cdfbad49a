//! A chat-bot (C14.2).

use serde_json::Value;

use crate::portal::wire::lenient::{Fields, Unreadable};

/// A chat-bot. Another owner's bot comes in a brief form, without the fields marked "owner only".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bot {
    /// User id of the bot; changes when the bot is made anew.
    pub id: i64,
    /// Key chosen by the developer, unique in the portal.
    pub code: Option<String>,
    /// `bot`, `supervisor`, `personal`, `openline`, or a later type.
    pub kind: Option<String>,
    /// Not shown in the list of users.
    pub is_hidden: Option<bool>,
    /// Works in open channels.
    pub is_support_openline: Option<bool>,
    /// Gets an event when somebody reacts to its messages.
    pub is_reactions_enabled: Option<bool>,
    /// Background of the dialog with the bot; none by default.
    pub background_id: Option<String>,
    /// Two-letter language.
    pub language: Option<String>,
    /// Owner only: `rest` for bots made by applications.
    pub module_id: Option<String>,
    /// Owner only: `fetch` or `webhook`.
    pub event_mode: Option<String>,
    /// Owner only: a count of messages, as the portal understands it.
    pub count_message: Option<i64>,
    /// Owner only: a count of commands, as the portal understands it.
    pub count_command: Option<i64>,
    /// Owner only: chats the bot is in.
    pub count_chat: Option<i64>,
    /// Owner only: users who talk with the bot.
    pub count_user: Option<i64>,
}

impl Bot {
    /// Reads a bot.
    ///
    /// # Errors
    /// When it is no object or has no `id`.
    pub fn from_value(value: &Value) -> Result<Self, Unreadable> {
        let fields = Fields::of(value)?;
        Ok(Self {
            id: fields.require_int("id")?,
            code: fields.filled("code"),
            kind: fields.filled("type"),
            is_hidden: fields.flag("isHidden"),
            is_support_openline: fields.flag("isSupportOpenline"),
            is_reactions_enabled: fields.flag("isReactionsEnabled"),
            background_id: fields.filled("backgroundId"),
            language: fields.filled("language"),
            module_id: fields.filled("moduleId"),
            event_mode: fields.filled("eventMode"),
            count_message: fields.int("countMessage"),
            count_command: fields.int("countCommand"),
            count_chat: fields.int("countChat"),
            count_user: fields.int("countUser"),
        })
    }

    /// Whether the portal showed us the form that only the owner of the bot gets to see. Reading a
    /// foreign bot succeeds too, so this, not the success, is the proof of ownership (C17.3).
    #[must_use]
    pub fn is_owner_form(&self) -> bool {
        self.event_mode.is_some()
    }
}
