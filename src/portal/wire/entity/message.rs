//! A message (C14.4).

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::portal::wire::lenient::{Fields, Unreadable};

/// A message in a chat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Id of the message.
    pub id: i64,
    /// Id of its chat.
    pub chat_id: Option<i64>,
    /// User id of the author; `0` is the system.
    pub author_id: Option<i64>,
    /// When it was written.
    pub date: Option<Timestamp>,
    /// Text with BB codes.
    pub text: Option<String>,
    /// A line of the system, not of a user.
    pub is_system: Option<bool>,
    /// Seen by somebody other than its author.
    pub viewed_by_others: Option<bool>,
    /// Key its sender gave it; the portal drops a repeat with the same key.
    pub uuid: Option<String>,
    /// Where it was forwarded from.
    pub forward: Option<Forward>,
    /// Attachments, keyboard, files, the id replied to, and others.
    pub params: Map<String, Value>,
    /// Methods only: not yet read by the asker.
    pub unread: Option<bool>,
    /// Methods only: read by the asker.
    pub viewed: Option<bool>,
}

/// Where a message was forwarded from. The portal describes it in two shapes (C25 23); both are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forward {
    /// The source as the portal names it: a number, or `chat12/345`.
    pub id: Option<String>,
    /// Author of the original.
    pub user_id: Option<i64>,
    /// Chat of the original.
    pub chat_id: Option<i64>,
    /// The original.
    pub message_id: Option<i64>,
    /// When the original was written.
    pub date: Option<Timestamp>,
    /// Title of the chat of the original.
    pub chat_title: Option<String>,
    /// Type of the chat of the original.
    pub chat_type: Option<String>,
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is no object or has no `id`.
    pub fn from_value(value: &Value) -> Result<Self, Unreadable> {
        let fields = Fields::of(value)?;
        Ok(Self {
            id: fields.require_int("id")?,
            // Some events carry the database's spelling beside, or instead of, the documented one.
            chat_id: fields.int("chatId").or_else(|| fields.int("chat_id")),
            author_id: fields.int("authorId").or_else(|| fields.int("author_id")),
            date: fields.time("date"),
            text: fields.text("text"),
            is_system: fields.flag("isSystem"),
            viewed_by_others: fields.flag("viewedByOthers"),
            uuid: fields.filled("uuid"),
            forward: fields.get("forward").and_then(Forward::from_value),
            params: fields.map("params"),
            unread: fields.flag("unread"),
            viewed: fields.flag("viewed"),
        })
    }
}

impl Forward {
    /// Reads a source; none when nothing in it is known.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let fields = Fields::of(value).ok()?;
        let id = fields.filled("id");
        let (chat, message) = match id.as_deref().map(|id| id.split_once('/')) {
            Some(Some((dialog, message))) => (
                dialog.strip_prefix("chat").and_then(|id| id.parse().ok()),
                message.parse().ok(),
            ),
            Some(None) => (None, id.as_deref().and_then(|id| id.parse().ok())),
            None => (None, None),
        };
        let forward = Self {
            user_id: fields.int("userId"),
            chat_id: fields.reference("chatId").or(chat),
            message_id: message,
            date: fields.time("date"),
            chat_title: fields.filled("chatTitle"),
            chat_type: fields.filled("chatType"),
            id,
        };
        (forward != Self::default()).then_some(forward)
    }
}
