//! What the methods we call answer, each in its own way (C17–C24).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    entity::{Bot, Chat, Command, User},
    lenient::{self, Fields, Unreadable},
};

/// A page of the bots that belong to one token or application.
#[derive(Debug, Clone, PartialEq)]
pub struct Bots {
    /// The bots.
    pub bots: Vec<Bot>,
    /// Their users.
    pub users: Vec<User>,
    /// The page is full, so another may follow.
    pub has_next_page: bool,
}

/// What a sent message became.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sent {
    /// Id of the new message; none when only forwards were sent.
    pub id: Option<i64>,
    /// Ids of the forwards by the key each was sent with.
    pub uuid_map: BTreeMap<String, i64>,
}

/// The portal's REST revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revision {
    /// Of the REST interface.
    pub rest: i64,
    /// Of the web client.
    pub web: Option<i64>,
    /// Of the mobile client.
    pub mobile: Option<i64>,
    /// Of the desktop client.
    pub desktop: Option<i64>,
}

/// The user of our credential.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// User id.
    pub id: i64,
    /// Has all rights in the portal.
    pub admin: Option<bool>,
    /// First name.
    pub name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
}

/// Our application in the portal. With a webhook only `scope` and `license` are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppInfo {
    /// Number of the application.
    pub id: Option<i64>,
    /// Its code.
    pub code: Option<String>,
    /// Its installed version.
    pub version: Option<String>,
    /// How it is licensed: `F`, `D`, `T`, `P`, `L`, or others.
    pub status: Option<String>,
    /// The installation is finished.
    pub installed: Option<bool>,
    /// The paid time is over.
    pub payment_expired: Option<bool>,
    /// Days left, negative when overdue.
    pub days: Option<i64>,
    /// Language of the portal.
    pub language: Option<String>,
    /// Licence of the portal, e.g. `de_ent10000`.
    pub license: Option<String>,
    /// Family of the licence; `ent` is the plan with the larger request budget.
    pub license_family: Option<String>,
    /// What the credential may use, when the answer says so.
    pub scope: Vec<String>,
}

/// The bot of `Bot.register`, `Bot.update` and `Bot.get`.
///
/// # Errors
/// When there is no readable bot.
pub fn bot(result: &Value) -> Result<Bot, Unreadable> {
    Fields::of(result)?.require("bot", Bot::from_value)
}

/// The page of `Bot.list`.
///
/// # Errors
/// When there is no list of bots or one of them has no id.
pub fn bots(result: &Value) -> Result<Bots, Unreadable> {
    let fields = Fields::of(result)?;
    Ok(Bots {
        bots: fields.require_all("bots", Bot::from_value)?,
        users: fields.all("users", User::from_value),
        has_next_page: fields.flag("hasNextPage").unwrap_or(false),
    })
}

/// The users beside a bot, a chat or a message; those without an id are left out.
///
/// # Errors
/// When the result is no object.
pub fn users(result: &Value) -> Result<Vec<User>, Unreadable> {
    Ok(Fields::of(result)?.all("users", User::from_value))
}

/// The bare list of `Chat.User.list`.
///
/// # Errors
/// When it is no list.
pub fn members(result: &Value) -> Result<Vec<User>, Unreadable> {
    let items =
        lenient::list(result).ok_or_else(|| Unreadable::shape("", "a list", Some(result)))?;
    let read = |item| User::from_value(item).ok();
    Ok(items.into_iter().filter_map(read).collect())
}

/// The command of `Command.register` and `Command.update`.
///
/// # Errors
/// When there is no readable command.
pub fn command(result: &Value) -> Result<Command, Unreadable> {
    Fields::of(result)?.require("command", Command::from_value)
}

/// The commands of `Command.list`.
///
/// # Errors
/// When there is no list of commands or one of them has no id.
pub fn commands(result: &Value) -> Result<Vec<Command>, Unreadable> {
    Fields::of(result)?.require_all("commands", Command::from_value)
}

/// The chat of `Chat.add` and `Chat.get`.
///
/// # Errors
/// When there is no readable chat.
pub fn chat(result: &Value) -> Result<Chat, Unreadable> {
    Fields::of(result)?.require("chat", Chat::from_value)
}

/// What `Chat.Message.send` made.
///
/// # Errors
/// When the result is no object.
pub fn sent(result: &Value) -> Result<Sent, Unreadable> {
    let fields = Fields::of(result)?;
    let forwards = fields.map("uuidMap").into_iter();
    Ok(Sent {
        id: fields.reference("id"),
        uuid_map: forwards
            .filter_map(|(uuid, id)| Some((uuid, lenient::int(&id)?)))
            .collect(),
    })
}

/// The plain "done" of many methods, which comes bare or in an object (C25 1).
///
/// # Errors
/// When it is neither.
pub fn done(result: &Value) -> Result<bool, Unreadable> {
    let inner = match result {
        Value::Object(members) => members.get("result"),
        bare => Some(bare),
    };
    inner
        .and_then(lenient::flag)
        .ok_or_else(|| Unreadable::shape("result", "a truth", inner))
}

/// The revision of `Revision.get`.
///
/// # Errors
/// When the REST revision is missing.
pub fn revision(result: &Value) -> Result<Revision, Unreadable> {
    let fields = Fields::of(result)?;
    Ok(Revision {
        rest: fields.require_int("rest")?,
        web: fields.int("web"),
        mobile: fields.int("mobile"),
        desktop: fields.int("desktop"),
    })
}

/// The user of `profile`; none when the user is dismissed.
///
/// # Errors
/// When the result is no object, or one without an id.
pub fn profile(result: &Value) -> Result<Option<Profile>, Unreadable> {
    if lenient::is_nothing(result) {
        return Ok(None);
    }
    let fields = Fields::of(result)?;
    Ok(Some(Profile {
        id: fields.require_int("ID")?,
        admin: fields.flag("ADMIN"),
        name: fields.text("NAME"),
        last_name: fields.text("LAST_NAME"),
    }))
}

/// The application of the portal's `app.info`, in either form (C25 28).
///
/// # Errors
/// When the result is no object.
pub fn app_info(result: &Value) -> Result<AppInfo, Unreadable> {
    let fields = Fields::of(result)?;
    Ok(AppInfo {
        id: fields.int("ID"),
        code: fields.filled("CODE"),
        version: fields.filled("VERSION"),
        status: fields.filled("STATUS"),
        installed: fields.flag("INSTALLED"),
        payment_expired: fields.flag("PAYMENT_EXPIRED"),
        days: fields.int("DAYS"),
        language: fields.filled("LANGUAGE_ID"),
        license: fields.filled("LICENSE"),
        license_family: fields.filled("LICENSE_FAMILY"),
        scope: fields.get("SCOPE").map(scopes).unwrap_or_default(),
    })
}

/// Names of parts of the interface: a list, or a text with commas or spaces (C25 38).
#[must_use]
pub fn scopes(value: &Value) -> Vec<String> {
    if let Some(text) = lenient::text(value) {
        let names = text.split([',', ' ']).map(str::trim);
        return names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
    }
    let items = lenient::list(value).unwrap_or_default();
    items.into_iter().filter_map(lenient::filled).collect()
}

#[cfg(test)]
mod tests;
