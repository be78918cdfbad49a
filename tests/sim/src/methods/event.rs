//! Reading the event log (C12).

use serde_json::Value;

use super::common::owned_bot;
use crate::core::Call;
use crate::failure::Failure;
use crate::state::State;

pub(super) fn get(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    if params.truth("withUserEvents").unwrap_or(false) {
        if !call.credential.scopes.iter().any(|scope| scope == "im") {
            return Err(Failure::method("SCOPE_ERROR", "Scope error"));
        }
        // Nobody can subscribe in this portal.
        return Err(Failure::method(
            "USER_NOT_SUBSCRIBED",
            "User not subscribed",
        ));
    }
    let offset = u64::try_from(params.int("offset").unwrap_or(0)).unwrap_or(0);
    let limit = params.int("limit").unwrap_or(100).clamp(1, 1000);
    let limit = usize::try_from(limit).unwrap_or(1000);
    Ok(state.read_events(bot_id, offset, limit, call.now))
}
