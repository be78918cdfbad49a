//! Changing and deleting messages, and showing that a bot is busy (C20, C22).

use serde_json::Value;

use super::common::{done, inner, int, owned_bot, text};
use super::keyboard::{self, Keyboard};
use super::send::{chat_for, checked_attach, keyboard_error, stored};
use crate::core::Call;
use crate::failure::Failure;
use crate::journal::Effect;
use crate::php;
use crate::state::State;

pub(super) fn update(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let message_id = int(&params, "messageId")?;
    let fields = inner(&params)?;
    let message = state
        .messages
        .get(&message_id)
        .ok_or_else(|| absent(state))?;
    if message.author_id != bot_id || message.deleted || message.forward.is_some() {
        if !state.quirks.foreign_message_has_own_code {
            return Err(denied());
        }
        let description = "Access to the message is denied";
        return Err(Failure::method("MESSAGE_ACCESS_DENIED", description));
    }
    let mut changed = message.clone();
    changed.edited = true;
    if let Some(text) = fields.text("message") {
        changed.text = stored(&text);
    }
    if let Some(given) = fields.get("attach") {
        changed.attach = checked_attach(state, given)?;
    }
    // Here nobody sets the bot of a keyboard: without its own it has none.
    let forced = state.quirks.update_forces_keyboard_bot.then_some(bot_id);
    match fields
        .get("keyboard")
        .map(|given| keyboard::checked(given, forced))
    {
        Some(Keyboard::Wrong) => return Err(keyboard_error()),
        Some(Keyboard::Buttons(keyboard)) => changed.keyboard = Some(keyboard),
        Some(Keyboard::None) => changed.keyboard = None,
        None => {}
    }
    if let Some(preview) = fields.get("urlPreview") {
        changed.url_preview = php::truth(preview);
    }
    changed.raw = fields.to_value();
    let said = !changed.text.is_empty() || changed.attach.is_some();
    if !said && changed.keyboard.is_none() && changed.file.is_none() {
        state.raise_delete(message_id, call.now);
        state.delete_completely(message_id, call.now);
    } else {
        state.messages.insert(message_id, changed);
        state.record(call.now, Effect::MessageUpdated { message_id });
        state.raise_update(message_id, call.now);
    }
    Ok(done())
}

pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let message_id = int(&params, "messageId")?;
    let message = state
        .messages
        .get(&message_id)
        .ok_or_else(|| absent(state))?;
    let chat = state.chats.get(&message.chat_id);
    let rules_chat = chat.is_some_and(|chat| !chat.private && chat.is_ruled_by(bot_id));
    if message.author_id != bot_id && !rules_chat {
        if state.quirks.powerless_delete_is_true {
            return Ok(done());
        }
        return Err(denied());
    }
    if !message.deleted {
        state.raise_delete(message_id, call.now);
    }
    if params.truth("complete").unwrap_or(false) {
        state.delete_completely(message_id, call.now);
    } else {
        state.delete_softly(message_id, call.now);
    }
    Ok(done())
}

pub(super) fn notify(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let dialog = text(&params, "dialogId")?;
    let chat_id = chat_for(state, call, bot_id, &dialog).map_err(|_| denied())?;
    let code = params
        .text("statusMessageCode")
        .map(|code| code.into_owned());
    state.record(
        call.now,
        Effect::ActionShown {
            bot_id,
            chat_id,
            code,
        },
    );
    Ok(done())
}

pub(super) fn denied() -> Failure {
    Failure::method("ACCESS_DENIED", "Access denied")
}

pub(super) fn absent(state: &State) -> Failure {
    if state.quirks.absent_message_is_denied {
        return denied();
    }
    Failure::method("MESSAGE_NOT_FOUND", "Message not found")
}
