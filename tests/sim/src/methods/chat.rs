//! Chats: made, shown, changed, left (C21, C22).

use serde_json::{Map, Value, json};

use super::bot::color;
use super::common::{done, inner, int, owned_bot, text};
use super::message::denied;
use super::send::{chat_for, stored};
use crate::core::Call;
use crate::failure::Failure;
use crate::params::Fields;
use crate::php;
use crate::state::{Chat, Post, State};

pub(super) fn add(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let nothing = Value::Object(Map::new());
    let given = params.get("fields").unwrap_or(&nothing);
    let fields = Fields::of(given).ok_or_else(|| Failure::invalid("fields", given))?;
    let words = |name| fields.text(name).unwrap_or_default().into_owned();
    let owner = fields.int("ownerId").filter(|id| state.is_active(*id));
    let mut chat = Chat {
        title: words("title"),
        description: words("description"),
        owner: owner.unwrap_or(bot_id),
        open: words("type") == "open",
        entity: (words("entityType"), words("entityId")),
        created: call.now,
        ..Chat::default()
    };
    if let Some(name) = fields.text("color") {
        let wrong = || Failure::method("WRONG_COLOR", "Wrong color");
        chat.color = color(&name).ok_or_else(wrong)?.to_owned();
    }
    if fields
        .text("avatar")
        .is_some_and(|avatar| !avatar.is_empty())
    {
        chat.avatar = "/upload/im/chat.png".to_owned();
    }
    let mut people = vec![bot_id, chat.owner];
    people.extend(ids(fields.get("userIds")));
    let chat_id = state.insert_chat(chat);
    state.join(chat_id, &people, bot_id, call.now);
    let first = stored(&fields.text("message").unwrap_or_default());
    if !first.is_empty() {
        let post = Post {
            by_bot: Some(bot_id),
            ..Post::text(bot_id, first)
        };
        state.post(chat_id, post, call.now);
    }
    let chat = state.chats.get(&chat_id).ok_or_else(denied)?;
    let users = chat.members.iter().filter_map(|id| state.users.get(id));
    let users: Vec<Value> = users.map(|user| state.user(user)).collect();
    Ok(json!({"chat": state.chat(chat, bot_id), "users": users}))
}

pub(super) fn get(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (bot_id, chat_id) = inside(state, call)?;
    let chat = state.chats.get(&chat_id).ok_or_else(denied)?;
    Ok(json!({"chat": state.chat(chat, bot_id)}))
}

pub(super) fn update(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (_, chat_id) = inside(state, call)?;
    let params = call.params.fields();
    let fields = inner(&params)?;
    let chat = group(state, chat_id)?;
    if let Some(title) = fields.text("title") {
        chat.title = title.into_owned();
    }
    if let Some(description) = fields.text("description") {
        chat.description = description.into_owned();
    }
    if let Some(color) = fields.text("color").and_then(|name| color(&name)) {
        chat.color = color.to_owned();
    }
    if fields
        .text("avatar")
        .is_some_and(|avatar| !avatar.is_empty())
    {
        chat.avatar = "/upload/im/chat.png".to_owned();
    }
    Ok(done())
}

pub(super) fn leave(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (bot_id, chat_id) = inside(state, call)?;
    group(state, chat_id)?.dismiss(bot_id);
    Ok(done())
}

pub(super) fn set_owner(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (bot_id, chat_id) = inside(state, call)?;
    let user_id = int(&call.params.fields(), "userId")?;
    let chat = group(state, chat_id)?;
    if chat.owner != bot_id || !chat.has(user_id) {
        return Err(denied());
    }
    chat.owner = user_id;
    Ok(done())
}

pub(super) fn text_field(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (_, chat_id) = inside(state, call)?;
    let enabled = call.params.fields().truth("enabled").unwrap_or(true);
    let [rest, ..] = state.revision;
    let chat = state.chats.get_mut(&chat_id).ok_or_else(denied)?;
    if chat.private && rest < 34 {
        return Err(wrong_type());
    }
    chat.text_field = enabled;
    Ok(done())
}

/// The bot of a call, and the chat it names; the bot is in it.
pub(super) fn inside(state: &mut State, call: &Call<'_>) -> Result<(i64, i64), Failure> {
    let bot_id = owned_bot(state, call)?;
    let dialog = text(&call.params.fields(), "dialogId")?;
    let chat_id = chat_for(state, call, bot_id, &dialog).map_err(|_| denied())?;
    Ok((bot_id, chat_id))
}

pub(super) fn group(state: &mut State, chat_id: i64) -> Result<&mut Chat, Failure> {
    let chat = state.chats.get_mut(&chat_id).ok_or_else(denied)?;
    if chat.private {
        return Err(wrong_type());
    }
    Ok(chat)
}

fn wrong_type() -> Failure {
    Failure::method("WRONG_CHAT_TYPE", "Wrong chat type")
}

/// Whole numbers of a list; whatever is none is left out.
pub(super) fn ids(list: Option<&Value>) -> Vec<i64> {
    let list = list.and_then(php::map).unwrap_or_default().into_owned();
    // The keys of a form are sorted as texts, which keeps no meaning here.
    list.values().filter_map(php::int).collect()
}
