//! Who is in a chat, and who rules it (C21.2).

use serde_json::Value;

use super::chat::{group, ids, inside};
use super::common::{done, int};
use super::message::denied;
use crate::core::Call;
use crate::failure::Failure;
use crate::state::State;

pub(super) fn add(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (bot_id, chat_id) = ruled(state, call)?;
    let params = call.params.fields();
    let given = params.get("userIds");
    let given = given.ok_or_else(|| Failure::missing("userIds"))?;
    let people = ids(Some(given));
    state.join(chat_id, &people, bot_id, call.now);
    Ok(done())
}

pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (_, chat_id) = ruled(state, call)?;
    let user_id = int(&call.params.fields(), "userId")?;
    group(state, chat_id)?.dismiss(user_id);
    Ok(done())
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (_, chat_id) = inside(state, call)?;
    let params = call.params.fields();
    let limit = params
        .int("limit")
        .filter(|limit| (1..=200).contains(limit));
    let limit = usize::try_from(limit.unwrap_or(50)).unwrap_or(50);
    let chat = state.chats.get(&chat_id).ok_or_else(denied)?;
    let mut people = chat.members.clone();
    people.sort_unstable();
    if let Some(order) = params.inner("order") {
        if order.get("lastSendMessageId").is_some() {
            people.sort_by_key(|id| {
                let own = state.messages.values();
                own.filter(|message| message.chat_id == chat_id && message.author_id == *id)
                    .map(|message| message.id)
                    .max()
            });
        }
        let descends = |name| {
            let order = order.text(name);
            order.is_some_and(|order| order.eq_ignore_ascii_case("desc"))
        };
        if descends("id") || descends("userId") || descends("lastSendMessageId") {
            people.reverse();
        }
    }
    let users = people.iter().filter_map(|id| state.users.get(id));
    Ok(users.take(limit).map(|user| state.user(user)).collect())
}

pub(super) fn add_managers(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (chat_id, people) = named_managers(state, call)?;
    let chat = group(state, chat_id)?;
    for user_id in people {
        if chat.has(user_id) && !chat.managers.contains(&user_id) {
            chat.managers.push(user_id);
        }
    }
    Ok(done())
}

pub(super) fn delete_managers(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (chat_id, people) = named_managers(state, call)?;
    let chat = group(state, chat_id)?;
    chat.managers.retain(|manager| !people.contains(manager));
    Ok(done())
}

fn named_managers(state: &mut State, call: &Call<'_>) -> Result<(i64, Vec<i64>), Failure> {
    let (bot_id, chat_id) = inside(state, call)?;
    let params = call.params.fields();
    let given = params.raw("userIds");
    let given = given.ok_or_else(|| Failure::missing("userIds"))?;
    let people = ids(Some(given));
    if people.is_empty() {
        return Err(Failure::method("EMPTY_USER_IDS", "User IDs are empty"));
    }
    if group(state, chat_id)?.owner != bot_id {
        return Err(denied());
    }
    Ok((chat_id, people))
}

/// A group chat in which the bot decides who is there.
fn ruled(state: &mut State, call: &Call<'_>) -> Result<(i64, i64), Failure> {
    let (bot_id, chat_id) = inside(state, call)?;
    if group(state, chat_id)?.is_ruled_by(bot_id) {
        Ok((bot_id, chat_id))
    } else {
        Err(denied())
    }
}
