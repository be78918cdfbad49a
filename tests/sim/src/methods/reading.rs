//! Reading messages (C20.4, C20.5).

use serde_json::{Value, json};

use super::common::{int, owned_bot, text};
use super::message::{absent, denied};
use super::send::chat_for;
use crate::core::Call;
use crate::failure::Failure;
use crate::state::{Message, State};

pub(super) fn read(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let dialog = text(&params, "dialogId")?;
    let chat_id = chat_for(state, call, bot_id, &dialog).map_err(|_| denied())?;
    let until = params.int("messageId");
    if let Some(id) = until {
        let inside = state.messages.get(&id);
        inside
            .filter(|message| message.chat_id == chat_id)
            .ok_or_else(|| Failure::method("MESSAGE_NOT_FOUND", "Message not found"))?;
    }
    let viewed = state.read(bot_id, chat_id, until);
    Ok(json!({
        "chatId": chat_id,
        "lastId": state.read_until(bot_id, chat_id),
        "counter": state.unread(bot_id, chat_id),
        "viewedMessages": viewed,
    }))
}

pub(super) fn get(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (bot_id, message) = seen(state, call)?;
    Ok(json!({
        "message": state.message(message, bot_id),
        "user": state.author(message.author_id),
    }))
}

pub(super) fn context(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (bot_id, message) = seen(state, call)?;
    let range = call.params.fields().int("range").unwrap_or(50).clamp(1, 50);
    let range = usize::try_from(range).unwrap_or(50);
    let inside = || {
        let all = state.messages.values();
        all.filter(|other| other.chat_id == message.chat_id)
    };
    let before: Vec<&Message> = inside().filter(|m| m.id < message.id).collect();
    let after: Vec<&Message> = inside().filter(|m| m.id > message.id).collect();
    let start = before.len().saturating_sub(range);
    let earlier = before.iter().skip(start).copied();
    let later = after.iter().take(range).copied();
    let page: Vec<&Message> = earlier.chain([message]).chain(later).collect();
    let mut authors: Vec<i64> = page.iter().map(|message| message.author_id).collect();
    authors.sort_unstable();
    authors.dedup();
    let users = authors.iter().filter_map(|id| state.users.get(id));
    let users: Vec<Value> = users.map(|user| state.user(user)).collect();
    let messages = page.iter().map(|message| state.message(message, bot_id));
    Ok(json!({
        "messages": messages.collect::<Vec<_>>(),
        "users": users,
        "hasPrevPage": start > 0,
        "hasNextPage": after.len() > range,
    }))
}

/// The message a call names, if this bot may look at messages at all and at this one.
fn seen<'a>(state: &'a State, call: &Call<'_>) -> Result<(i64, &'a Message), Failure> {
    let bot_id = owned_bot(state, call)?;
    let message_id = int(&call.params.fields(), "messageId")?;
    let bot = state.bots.get(&bot_id);
    if !bot.is_some_and(|bot| bot.hears_everything()) {
        let description = "Bot type is not allowed";
        return Err(Failure::method("BOT_TYPE_NOT_ALLOWED", description));
    }
    let message = state.messages.get(&message_id);
    let message = message.ok_or_else(|| absent(state))?;
    let chat = state.chats.get(&message.chat_id);
    if !chat.is_some_and(|chat| chat.has(bot_id)) {
        let description = "Access to the message is denied";
        return Err(Failure::method("MESSAGE_ACCESS_DENIED", description));
    }
    Ok((bot_id, message))
}
