//! Reading the event logs of bots and people, and subscribing to the latter (C12, C23).

use serde_json::{Map, Value, json};

use super::common::{owned_bot, text};
use crate::core::Call;
use crate::failure::Failure;
use crate::params::Fields;
use crate::state::{DialogId, State};

pub(super) fn get(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let (offset, limit) = page(&params);
    if !params.truth("withUserEvents").unwrap_or(false) {
        return Ok(state.read_events(&[bot_id], offset, limit, call.now));
    }
    if !call.credential.scopes.iter().any(|scope| scope == "im") {
        return Err(Failure::method("SCOPE_ERROR", "Scope error"));
    }
    let person = call.credential.user_id;
    if !state.subscribed.contains(&person) {
        let description = "User not subscribed";
        return Err(Failure::method("USER_NOT_SUBSCRIBED", description));
    }
    Ok(state.read_events(&[bot_id, person], offset, limit, call.now))
}

/// The same for the person of the credential; without a subscription there is nothing.
pub(super) fn get_own(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (offset, limit) = page(&call.params.fields());
    let person = call.credential.user_id;
    let readers: &[i64] = if state.subscribed.contains(&person) {
        &[person]
    } else {
        &[]
    };
    Ok(state.read_events(readers, offset, limit, call.now))
}

fn page(params: &Fields<'_>) -> (u64, usize) {
    let offset = u64::try_from(params.int("offset").unwrap_or(0)).unwrap_or(0);
    let limit = params.int("limit").unwrap_or(100).clamp(1, 1000);
    (offset, usize::try_from(limit).unwrap_or(1000))
}

pub(super) fn subscribe(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    state.subscribed.insert(call.credential.user_id);
    Ok(true.into())
}

pub(super) fn unsubscribe(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let person = call.credential.user_id;
    state.subscribed.remove(&person);
    if state.quirks.unsubscribe_deletes {
        state.drop_events(person, call.now);
    }
    Ok(true.into())
}

/// A person opens the dialog with a bot by a link that carries a context.
pub(super) fn send_context(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let params = call.params.fields();
    let dialog = text(&params, "dialogId")?;
    let context = params
        .get("context")
        .ok_or_else(|| Failure::missing("context"))?;
    let context = crate::php::map(context).ok_or_else(|| Failure::invalid("context", context))?;
    let context: Map<String, Value> = context.into_owned();
    let bot_id = match DialogId::parse(&dialog) {
        Some(DialogId::Person(id)) if state.bots.contains_key(&id) => id,
        _ => return Err(Failure::method("BOT_NOT_FOUND", "Bot not found")),
    };
    state.raise_context(bot_id, call.credential.user_id, context, call.now);
    Ok(json!(true))
}
