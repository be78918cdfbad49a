//! `event.bind` and its relatives: handlers of an application (C24).

use serde_json::{Value, json};

use super::common::text;
use crate::core::Call;
use crate::failure::Failure;
use crate::state::{Handler, State};

/// The events this portal can be asked for.
const EVENTS: [&str; 14] = [
    "ONAPPINSTALL",
    "ONAPPUPDATE",
    "ONAPPUNINSTALL",
    "ONAPPPAYMENT",
    "ONAPPMETHODCONFIRM",
    "ONAPPTEST",
    "ONIMBOTV2MESSAGEADD",
    "ONIMBOTV2MESSAGEUPDATE",
    "ONIMBOTV2MESSAGEDELETE",
    "ONIMBOTV2JOINCHAT",
    "ONIMBOTV2DELETE",
    "ONIMBOTV2CONTEXTGET",
    "ONIMBOTV2COMMANDADD",
    "ONIMBOTV2REACTIONCHANGE",
];

pub(super) fn bind(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let client_id = application(call)?;
    let wanted = wanted(state, call)?;
    if wanted.offline && !is_admin(state, call) {
        return Err(denied());
    }
    let known = state.outbox.handlers.iter().any(|handler| {
        handler.client_id == client_id && wanted.fits(handler) && handler.user_id == wanted.user_id
    });
    if known {
        let description = "Unable to set event handler: Handler already bound";
        return Err(Failure::core(400, "ERROR_CORE", description));
    }
    let id = state.next_handler_id();
    state.outbox.handlers.push(Handler {
        id,
        client_id,
        event: wanted.event,
        url: wanted.url,
        user_id: wanted.user_id,
        offline: wanted.offline,
    });
    Ok(true.into())
}

pub(super) fn unbind(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let client_id = application(call)?;
    let wanted = wanted(state, call)?;
    let handlers = &mut state.outbox.handlers;
    let before = handlers.len();
    handlers.retain(|handler| {
        let same_person = handler.user_id == wanted.user_id;
        handler.client_id != client_id || !wanted.fits(handler) || !same_person
    });
    Ok(json!({"count": before - handlers.len()}))
}

pub(super) fn get(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let client_id = application(call)?;
    let own = state.outbox.handlers.iter();
    let own = own.filter(|handler| handler.client_id == client_id);
    let shown = own.map(|handler| {
        json!({
            "event": handler.event,
            "handler": handler.url,
            "auth_type": handler.user_id.to_string(),
            "offline": i32::from(handler.offline),
        })
    });
    Ok(shown.collect())
}

pub(super) fn events(_: &mut State, _: &Call<'_>) -> Result<Value, Failure> {
    Ok(json!(EVENTS))
}

/// What a call names.
struct Wanted {
    event: String,
    url: String,
    user_id: i64,
    offline: bool,
}

impl Wanted {
    fn fits(&self, handler: &Handler) -> bool {
        handler.event == self.event && handler.url == self.url && handler.offline == self.offline
    }
}

fn wanted(state: &State, call: &Call<'_>) -> Result<Wanted, Failure> {
    let params = call.params.fields();
    let event = text(&params, "event")?.to_ascii_uppercase();
    if !EVENTS.contains(&event.as_str()) {
        return Err(Failure::core(
            400,
            "ERROR_EVENT_NOT_FOUND",
            "Event not found",
        ));
    }
    let kind = params.text("event_type");
    let offline = kind.is_some_and(|kind| kind == "offline");
    let url = if offline {
        params.text("handler").unwrap_or_default().into_owned()
    } else {
        text(&params, "handler")?
    };
    let user_id = params.int("auth_type").unwrap_or(0);
    if user_id != 0 && user_id != call.credential.user_id && !is_admin(state, call) {
        return Err(denied());
    }
    Ok(Wanted {
        event,
        url,
        user_id,
        offline,
    })
}

fn application(call: &Call<'_>) -> Result<String, Failure> {
    let description = "Application context required";
    let client_id = call.credential.client_id.clone();
    client_id.ok_or_else(|| Failure::core(403, "ACCESS_DENIED", description))
}

fn is_admin(state: &State, call: &Call<'_>) -> bool {
    let user = state.users.get(&call.credential.user_id);
    user.is_some_and(|user| user.admin)
}

fn denied() -> Failure {
    Failure::core(403, "ACCESS_DENIED", "Access denied")
}
