//! What a test may look at: copies of a portal's objects, taken at one moment.

use serde::Serialize;
use serde_json::Value;

use crate::clock::UnixTime;

/// A group chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chat {
    /// The chat's id.
    pub id: i64,
}

impl Chat {
    /// The name of the dialog as everybody in it calls it: `chat5`.
    #[must_use]
    pub fn dialog_id(&self) -> String {
        format!("chat{}", self.id)
    }
}

/// An access token and what renews it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenPair {
    /// Good for an hour.
    pub access_token: String,
    /// Good for 180 days, and once.
    pub refresh_token: String,
    /// For whom it acts.
    pub user_id: i64,
    /// When the access token ends.
    #[serde(serialize_with = "crate::written::seconds::serialize")]
    pub expires: UnixTime,
}

/// An application as the portal knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApplicationView {
    /// Its public name.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// What proves callbacks to be genuine.
    pub application_token: String,
    /// Whether it is installed completely.
    pub installed: bool,
    /// Whether it is paid for.
    pub paid: bool,
    /// Its version.
    pub version: u32,
    /// Methods for which an administrator has been asked: (person, method in lower case).
    pub waiting_for: Vec<(i64, String)>,
}

/// A message as it stands in its chat.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// Its id.
    pub id: i64,
    /// Its chat.
    pub chat_id: i64,
    /// Who wrote it; 0 = system.
    pub author_id: i64,
    /// When it was written.
    #[serde(serialize_with = "crate::written::seconds::serialize")]
    pub date: UnixTime,
    /// Its text, already trimmed and cut.
    pub text: String,
    /// A message of the system.
    pub system: bool,
    /// The key given by its sender.
    pub uuid: Option<String>,
    /// Its keyboard: `{"BOT_ID": .., "BUTTONS": [..]}`.
    pub keyboard: Option<Value>,
    /// Its attachment as it was sent.
    pub attach: Option<Value>,
    /// The message it answers.
    pub reply_to: Option<i64>,
    /// The message it forwards.
    pub forwarded_from: Option<i64>,
    /// Softly deleted: it stands there without its text.
    pub deleted: bool,
    /// Whether links in it get a preview.
    pub url_preview: bool,
    /// Reactions: (user, reaction).
    pub reactions: Vec<(i64, String)>,
    /// All members as `fields` carried them in the call that posted or last changed it; null for
    /// what a person wrote.
    pub raw: Value,
}

/// A bot as the portal knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BotView {
    /// Its user id.
    pub id: i64,
    /// Its code.
    pub code: String,
    /// `bot`, `supervisor`, `personal` or `openline`.
    pub kind: String,
    /// First name.
    pub name: String,
    /// Last name.
    pub last_name: String,
    /// Job title.
    pub work_position: String,
    /// `M`, `F` or empty.
    pub gender: String,
    /// Colour, `#rrggbb`.
    pub color: String,
    /// Address of its picture, or empty.
    pub avatar: String,
    /// The token that owns it, if a webhook registered it.
    pub token: Option<String>,
    /// The application that owns it, if one registered it.
    pub client_id: Option<String>,
    /// `fetch` or `webhook`.
    pub event_mode: String,
    /// Where its events are sent in webhook mode.
    pub webhook_url: String,
    /// Not shown in lists.
    pub hidden: bool,
    /// Works in open channels.
    pub openline_support: bool,
    /// Hears of reactions.
    pub reactions_enabled: bool,
    /// Background of its chats.
    pub background_id: Option<String>,
}

/// A command as the portal knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandView {
    /// Its id.
    pub id: i64,
    /// Its bot.
    pub bot_id: i64,
    /// Its name without slash.
    pub name: String,
    /// Language and title, sorted by language.
    pub titles: Vec<(String, String)>,
    /// Language and parameter hint, sorted by language.
    pub params: Vec<(String, String)>,
    /// Works everywhere.
    pub common: bool,
    /// Not shown in lists.
    pub hidden: bool,
    /// Works for extranet users.
    pub extranet_support: bool,
}
