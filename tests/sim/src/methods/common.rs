//! What all bot methods check before anything else (C16).
//!
//! The order is fixed: token, bot id, bot, owner, other arguments, and only then the method.

use serde_json::{Value, json};

use crate::core::Call;
use crate::failure::Failure;
use crate::params::Fields;
use crate::state::{Bot, Owner, State, User};

/// Whose bots the caller may touch: those of the application, or of the token it shows.
pub(super) fn owner(state: &State, call: &Call<'_>) -> Result<Owner, Failure> {
    let params = call.params.fields();
    owner_with(state, call, params.text("botToken").as_deref())
}

/// The same, with the token found elsewhere; an application needs none, and one is ignored.
pub(super) fn owner_with(
    state: &State,
    call: &Call<'_>,
    token: Option<&str>,
) -> Result<Owner, Failure> {
    if let Some(client_id) = &call.credential.client_id {
        return Ok(Owner::Application(client_id.clone()));
    }
    let token = token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| no_token(state))?;
    Ok(Owner::Token(token.to_owned()))
}

/// The refusal of a call without token, by the name it has in this revision.
fn no_token(state: &State) -> Failure {
    let [rest, ..] = state.revision;
    if rest < 34 {
        return Failure::method("CLIENT_ID_NOT_SPECIFIED", "Client ID is not specified");
    }
    Failure::method("BOT_TOKEN_NOT_SPECIFIED", "Bot token is not specified")
}

/// The bot a call is about, if the caller owns it.
pub(super) fn owned_bot(state: &State, call: &Call<'_>) -> Result<i64, Failure> {
    let owner = owner(state, call)?;
    let bot_id = call.params.fields().int("botId").filter(|id| *id != 0);
    let bot_id = bot_id.ok_or_else(|| Failure::method("BOT_ID_REQUIRED", "Bot ID is required"))?;
    let bot = state.bots.get(&bot_id).ok_or_else(bot_not_found)?;
    if bot.is_owned_by(&owner) {
        return Ok(bot_id);
    }
    Err(Failure::method(
        "BOT_OWNERSHIP_ERROR",
        "Bot is registered by another application",
    ))
}

pub(super) fn bot_not_found() -> Failure {
    Failure::method("BOT_NOT_FOUND", "Bot not found")
}

/// A mandatory whole number.
pub(super) fn int(fields: &Fields<'_>, name: &'static str) -> Result<i64, Failure> {
    let value = fields.get(name).ok_or_else(|| Failure::missing(name))?;
    crate::php::int(value).ok_or_else(|| Failure::invalid(name, value))
}

/// A mandatory text.
pub(super) fn text(fields: &Fields<'_>, name: &'static str) -> Result<String, Failure> {
    let value = fields.get(name).ok_or_else(|| Failure::missing(name))?;
    let text = crate::php::text(value).ok_or_else(|| Failure::invalid(name, value))?;
    Ok(text.into_owned())
}

/// The mandatory map `fields`.
pub(super) fn inner<'a>(fields: &'a Fields<'_>) -> Result<Fields<'a>, Failure> {
    let value = fields
        .get("fields")
        .ok_or_else(|| Failure::missing("fields"))?;
    Fields::of(value).ok_or_else(|| Failure::invalid("fields", value))
}

/// `{bot, users}` as the owner or somebody else gets it.
pub(super) fn bot_and_users(state: &State, bot: &Bot, owner: bool) -> Value {
    let account = state
        .users
        .get(&bot.id)
        .cloned()
        .unwrap_or_else(User::default);
    let bot = if owner {
        state.owned_bot(bot)
    } else {
        state.foreign_bot(bot)
    };
    json!({"bot": bot, "users": [state.user(&account)]})
}

/// What most changing methods answer.
pub(super) fn done() -> Value {
    json!({"result": true})
}
