//! What a quirk can be, where it can be more than on or off.

use serde::{Deserialize, Serialize};

/// How ids are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdShape {
    /// As JSON numbers.
    Numbers,
    /// As strings of digits.
    Strings,
}

/// How an empty map is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyMap {
    /// `[]`, as PHP does.
    List,
    /// `{}`.
    Object,
    /// `null`.
    Null,
}

/// HTTP status of errors of bot methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorStatus {
    /// 400.
    BadRequest,
    /// 403.
    Forbidden,
}

/// What a wrong webhook code is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrongCode {
    /// `INVALID_CREDENTIALS`.
    InvalidCredentials,
    /// `NO_AUTH_FOUND`.
    NoAuthFound,
}

/// What an access token that nobody issued is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownToken {
    /// `NO_AUTH_FOUND`.
    NoAuthFound,
    /// `invalid_token`.
    InvalidToken,
}

/// What a token of a removed application is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovedApplication {
    /// `APPLICATION_NOT_FOUND`.
    ApplicationNotFound,
    /// `ERROR_OAUTH`.
    ErrorOauth,
    /// `NOT_INSTALLED`.
    NotInstalled,
}

/// HTTP status of `PORTAL_DELETED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedPortal {
    /// 500, the pages.
    ServerError,
    /// 403, server code.
    Forbidden,
    /// 410, as an official SDK expects.
    Gone,
}

/// HTTP status of `QUERY_LIMIT_EXCEEDED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitStatus {
    /// 503, the limits page.
    ServiceUnavailable,
    /// 429, the page about bots.
    TooManyRequests,
    /// 401, as seen.
    Unauthorized,
}

/// What `app.info` says to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppInfo {
    /// `{SCOPE, LICENSE}`.
    ScopeAndLicense,
    /// `ACCESS_DENIED`.
    Denied,
}

/// When `Bot.register` looks at the length of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLengthCheck {
    /// First of all.
    First,
    /// Only when a bot is about to be created.
    OnCreation,
    /// Not at all, as before August 2026: such tokens keep working.
    Never,
}

/// `uuid` of a message sent without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingUuid {
    /// `null`.
    Null,
    /// `""`.
    EmptyString,
}

/// The forward mark of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardShape {
    /// `{id: "chat12/345", userId, chatTitle, chatType}`.
    Coded,
    /// `{id, userId, chatId, date}`.
    Documented,
}

/// How much of an entity an event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityShape {
    /// All fields.
    Full,
    /// The reduced set of the samples.
    Sample,
    /// `{"id": N}`.
    IdOnly,
    /// `[]`.
    Empty,
}

/// The form of a bot shown to one who does not own it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BotForm {
    /// All fields that are not for the owner alone.
    Brief,
    /// `{id, code, type}` only.
    Reduced,
}

/// JSON null as `backgroundId` in `Bot.update`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackgroundNull {
    /// Leaves the value alone.
    Ignored,
    /// Clears it.
    Resets,
}

/// How a missing parent is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NothingIs {
    /// `0`.
    Zero,
    /// `null`.
    Null,
}

/// `lastActivityDate` of a user in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastActivity {
    /// `false`.
    False,
    /// A date.
    Date,
}

/// Null in the form of a webhook event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormNull {
    /// Left out, like empty lists.
    Absent,
    /// An empty text; empty lists are left out.
    Empty,
    /// An empty text, and empty lists too.
    EmptyLikeLists,
}

/// Truth in the form of a webhook event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormBoolean {
    /// `1` and `0`.
    Digits,
    /// `1` and an empty text.
    EmptyIsFalse,
    /// `true` and `false`.
    Words,
    /// `Y` and `N`.
    Letters,
}
