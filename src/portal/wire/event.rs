//! What happened in a portal, as it was fetched or delivered (C11, C12, C13).
//!
//! A page of events is first taken apart into [`RawEvent`]s and each is read by itself, so that one
//! beyond understanding never stops the others. The subject of an event may be missing whatever its
//! type, so only the type itself (and the name of a called command) is required.

mod page;
mod posted;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    entity::{Bot, Chat, Message, User},
    lenient::{Fields, Unreadable},
};

pub use page::{EventPage, RawEvent, strip_auth};
pub use posted::PostedEvent;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Place in the portal's sequence; only fetched events have one.
    pub event_id: Option<i64>,
    /// What happened.
    pub kind: Kind,
    /// When: the event's own date, or the `ts` of a webhook body.
    pub date: Option<Timestamp>,
    /// The bot it concerns, reduced in webhook mode; events of users have none.
    pub bot: Option<Bot>,
    /// Language of the portal.
    pub language: Option<String>,
    /// What is told about it.
    pub body: Body,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The type of an event.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
            /// A type nobody knew when this was written, or one that concerns no bot.
            Other(String),
        }

        impl Kind {
            /// The type by its published name, in any case.
            #[must_use]
            pub fn from_name(name: &str) -> Self {
                $(if name.eq_ignore_ascii_case($name) {
                    return Self::$variant;
                })*
                Self::Other(name.to_owned())
            }

            /// The published name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }
    };
}

kinds! {
    /// A message for the bot.
    MessageAdd = "ONIMBOTV2MESSAGEADD",
    /// A message was edited.
    MessageUpdate = "ONIMBOTV2MESSAGEUPDATE",
    /// A message was deleted.
    MessageDelete = "ONIMBOTV2MESSAGEDELETE",
    /// The bot was added to a chat.
    JoinChat = "ONIMBOTV2JOINCHAT",
    /// The bot was removed; webhook mode only.
    Delete = "ONIMBOTV2DELETE",
    /// A dialog was opened with a context.
    ContextGet = "ONIMBOTV2CONTEXTGET",
    /// A slash command was called.
    CommandAdd = "ONIMBOTV2COMMANDADD",
    /// Somebody reacted to a message of the bot.
    ReactionChange = "ONIMBOTV2REACTIONCHANGE",
}

/// What an event tells, by its type. Anything may be missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A message for the bot.
    MessageAdd {
        /// The message.
        message: Option<Message>,
        /// Its chat.
        chat: Option<Chat>,
        /// Its author; none when the system wrote it.
        user: Option<User>,
    },
    /// A message was edited.
    MessageUpdate {
        /// The message with its new text.
        message: Option<Message>,
        /// Its chat.
        chat: Option<Chat>,
        /// Its author.
        user: Option<User>,
    },
    /// A message was deleted.
    MessageDelete {
        /// Its id.
        message_id: Option<i64>,
        /// Its chat.
        chat: Option<Chat>,
        /// Its author.
        user: Option<User>,
    },
    /// The bot was added to a chat.
    JoinChat {
        /// The chat to write to.
        dialog_id: Option<String>,
        /// The chat.
        chat: Option<Chat>,
        /// Who added the bot.
        user: Option<User>,
    },
    /// The bot was removed.
    Delete,
    /// A dialog was opened with a context.
    ContextGet {
        /// The dialog.
        dialog_id: Option<String>,
        /// Whatever the link said. Anyone can make such a link.
        context: Value,
        /// The chat.
        chat: Option<Chat>,
        /// Who opened it.
        user: Option<User>,
    },
    /// A slash command was called.
    CommandAdd {
        /// What was called.
        command: CommandCall,
        /// The message it was called in.
        message: Option<Message>,
        /// The chat.
        chat: Option<Chat>,
        /// Who called it.
        user: Option<User>,
    },
    /// Somebody reacted to a message of the bot.
    ReactionChange {
        /// Name of the reaction.
        reaction: Option<String>,
        /// `add` or `delete`.
        action: Option<String>,
        /// The message.
        message: Option<Message>,
        /// Its chat.
        chat: Option<Chat>,
        /// Who reacted.
        user: Option<User>,
    },
    /// The data of a type nobody knew, as it came.
    Other(Value),
}

/// A call of a slash command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandCall {
    /// Id of the registered command; built-in ones have none that is a number.
    pub id: Option<i64>,
    /// Name **with** the leading `/`.
    pub command: String,
    /// The rest of the line; may be empty.
    pub params: String,
    /// `textarea` (typed), `keyboard` (a button), `menu`, or others.
    pub context: Option<String>,
}

impl CommandCall {
    fn from_value(value: &Value) -> Result<Self, Unreadable> {
        let fields = Fields::of(value)?;
        Ok(Self {
            id: fields.int("id"),
            command: fields.require_text("command")?,
            params: fields.text("params").unwrap_or_default(),
            context: fields.filled("context"),
        })
    }

    /// The name without the leading `/`, as it is registered.
    #[must_use]
    pub fn name(&self) -> &str {
        self.command.strip_prefix('/').unwrap_or(&self.command)
    }
}

impl Event {
    /// Reads an item of a fetched page, or what [`PostedEvent`] makes of a posted one.
    ///
    /// # Errors
    /// When it is no object, has no type, or is a command call that does not say which command.
    pub fn from_item(item: &Value) -> Result<Self, Unreadable> {
        let outer = Fields::of(item)?;
        let kind = Kind::from_name(&outer.require_text("type")?);
        let data = outer.get("data");
        let fields = Fields::or_none(data);
        Ok(Self {
            event_id: outer.int("eventId"),
            date: outer.time("date"),
            bot: fields.maybe("bot", Bot::from_value),
            language: fields.filled("language"),
            body: Body::read(&kind, data, &fields).map_err(|error| error.within("data"))?,
            kind,
        })
    }
}

impl Body {
    fn read(kind: &Kind, data: Option<&Value>, fields: &Fields<'_>) -> Result<Self, Unreadable> {
        let message = || fields.maybe("message", Message::from_value);
        let chat = fields.maybe("chat", Chat::from_value);
        let user = fields.maybe("user", User::from_value);
        let dialog_id = fields.filled("dialogId");
        Ok(match kind {
            Kind::MessageAdd => Self::MessageAdd {
                message: message(),
                chat,
                user,
            },
            Kind::MessageUpdate => Self::MessageUpdate {
                message: message(),
                chat,
                user,
            },
            Kind::MessageDelete => Self::MessageDelete {
                message_id: fields.int("messageId").or(message().map(|it| it.id)),
                chat,
                user,
            },
            Kind::JoinChat => Self::JoinChat {
                dialog_id,
                chat,
                user,
            },
            Kind::Delete => Self::Delete,
            Kind::ContextGet => Self::ContextGet {
                dialog_id,
                context: fields.get("context").cloned().unwrap_or_default(),
                chat,
                user,
            },
            Kind::CommandAdd => Self::CommandAdd {
                command: fields.require("command", CommandCall::from_value)?,
                message: message(),
                chat,
                user,
            },
            Kind::ReactionChange => Self::ReactionChange {
                reaction: fields.filled("reaction"),
                action: fields.filled("action"),
                message: message(),
                chat,
                user,
            },
            Kind::Other(_) => Self::Other(data.cloned().unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests;
