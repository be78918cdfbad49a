//! A slash command of a bot (C14.6).

use serde_json::Value;

use crate::portal::wire::lenient::{Fields, Unreadable};

/// A registered slash command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// Id of the command.
    pub id: i64,
    /// User id of its bot.
    pub bot_id: Option<i64>,
    /// Name **with** the leading `/`, as the portal answers it.
    pub command: Option<String>,
    /// Works in every chat, not only in those of the bot.
    pub common: Option<bool>,
    /// Not offered in the list of commands.
    pub hidden: Option<bool>,
    /// Open to guests from outside the company.
    pub extranet_support: Option<bool>,
    /// Lists only: title in the portal's language.
    pub title: Option<String>,
    /// Lists only: hint about the parameters, in the portal's language.
    pub params: Option<String>,
    /// Lists only: name of the bot.
    pub category: Option<String>,
    /// Lists only: `""` or `chat`; any text may come.
    pub context: Option<String>,
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// When it is no object or has no `id`.
    pub fn from_value(value: &Value) -> Result<Self, Unreadable> {
        let fields = Fields::of(value)?;
        Ok(Self {
            id: fields.require_int("id")?,
            bot_id: fields.int("botId"),
            command: fields.filled("command"),
            common: fields.flag("common"),
            hidden: fields.flag("hidden"),
            extranet_support: fields.flag("extranetSupport"),
            title: fields.text("title"),
            params: fields.text("params"),
            category: fields.text("category"),
            context: fields.text("context"),
        })
    }

    /// The name without the leading `/`, as it is registered.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let command = self.command.as_deref()?;
        Some(command.strip_prefix('/').unwrap_or(command))
    }
}
