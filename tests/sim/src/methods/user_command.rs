//! `im.message.command`: a person's command, called by a client (C19).

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::core::Call;
use crate::failure::Failure;
use crate::php;
use crate::state::State;

pub(super) fn execute(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let params = upper_case(&call.params.map);
    let id = |name| params.get(name).and_then(php::int).filter(|id| *id > 0);
    let message_id = id("MESSAGE_ID")
        .ok_or_else(|| Failure::method("MESSAGE_ID_ERROR", "Message ID can't be empty"))?;
    let bot_id =
        id("BOT_ID").ok_or_else(|| Failure::method("BOT_ID_ERROR", "Bot ID can't be empty"))?;
    let name = params
        .get("COMMAND")
        .and_then(php::text)
        .filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Failure::method("COMMAND_ERROR", "Command can't be empty"))?;
    let rest = params
        .get("COMMAND_PARAMS")
        .and_then(php::text)
        .unwrap_or_default();

    let caller = call.credential.user_id;
    let incorrect = || Failure::method("PARAMS_ERROR", "Incorrect params");
    let message = state.messages.get(&message_id).ok_or_else(incorrect)?;
    let chat = state
        .chats
        .get(&message.chat_id)
        .filter(|chat| chat.has(caller));
    let private = chat.ok_or_else(incorrect)?.private;

    let (name, rest) = if private && state.quirks.private_command_needs_form {
        (
            form_variable(call, "COMMAND"),
            form_variable(call, "COMMAND_PARAMS"),
        )
    } else {
        (name, rest)
    };
    // Only that it was passed on is told, not whether anybody knew it.
    state.press_command(caller, message_id, bot_id, &name, &rest, call.now);
    Ok(true.into())
}

/// A form variable of the HTTP request, under exactly this name; empty when there is none.
fn form_variable<'a>(call: &Call<'a>, name: &str) -> Cow<'a, str> {
    if !call.params.has_form {
        return Cow::Borrowed("");
    }
    call.params
        .map
        .get(name)
        .and_then(php::text)
        .unwrap_or_default()
}

/// The server writes the top-level names of this method in upper case.
fn upper_case(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .map(|(name, value)| (name.to_ascii_uppercase(), value.clone()))
        .collect()
}
