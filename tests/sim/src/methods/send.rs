//! Sending a message (C20.1).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::attach::{self, Refused};
use super::common::{owned_bot, text};
use super::keyboard::{self, Keyboard};
use crate::clock::UnixTime;
use crate::core::Call;
use crate::failure::Failure;
use crate::params::Fields;
use crate::php;
use crate::state::{DialogId, Forward, Post, State};

/// How long a message's key is remembered.
const KEY_KEPT: Duration = Duration::from_secs(31 * 24 * 3600);
/// How long a message on its way keeps others with its key from being sent.
const UNFINISHED_FOR: Duration = Duration::from_secs(3600);
const MOST_FORWARDS: usize = 100;

pub(super) fn send(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let dialog = text(&params, "dialogId")?;
    let nothing = Value::Object(Map::new());
    let fields = params.inner("fields");
    let fields = match &fields {
        Some(fields) => fields.clone(),
        None => Fields::of(&nothing).ok_or_else(|| Failure::missing("fields"))?,
    };
    let chat_id = chat_for(state, call, bot_id, &dialog)?;
    let forwards = forwards(state, bot_id, &fields)?;
    let post = post(state, bot_id, chat_id, &fields)?;
    if post.is_none() && forwards.is_empty() {
        return Err(Failure::method("EMPTY_MESSAGE", "Message is empty"));
    }
    let id = post
        .map(|post| deliver(state, chat_id, post, call))
        .transpose()?;
    let mut new_ids = Map::new();
    for (uuid, post) in forwards {
        new_ids.insert(uuid, state.post(chat_id, post, call.now).into());
    }
    Ok(json!({"id": id, "uuidMap": state.written_map(new_ids)}))
}

/// The chat a bot writes to; it must be in it.
pub(super) fn chat_for(
    state: &mut State,
    call: &Call<'_>,
    bot_id: i64,
    dialog: &str,
) -> Result<i64, Failure> {
    let chat_id = DialogId::parse(dialog).and_then(|id| state.chat_of(id, bot_id, call.now));
    let chat_id = chat_id.ok_or_else(|| Failure::method("CHAT_NOT_FOUND", "Chat not found"))?;
    if state
        .chats
        .get(&chat_id)
        .is_some_and(|chat| chat.has(bot_id))
    {
        return Ok(chat_id);
    }
    Err(Failure::method("ACCESS_DENIED", "Access denied"))
}

/// Posts, or finds what the same key posted before.
fn deliver(state: &mut State, chat_id: i64, post: Post, call: &Call<'_>) -> Result<i64, Failure> {
    let protects = state.quirks.template_id_is_a_key && post.author_id != 0;
    let Some(key) = post.uuid.clone().filter(|_| protects) else {
        return Ok(state.post(chat_id, post, call.now));
    };
    let passed = |since: &UnixTime| call.now.saturating_sub(*since);
    if state
        .unfinished_keys
        .get(&key)
        .is_some_and(|since| passed(since) < UNFINISHED_FOR)
    {
        if state.quirks.unfinished_key_is_sending_failed {
            return Err(Failure::method("SENDING_FAILED", "Sending failed"));
        }
        let description = "Message with this UUID is being sent";
        return Err(Failure::method("MESSAGE_DUPLICATED_BY_UUID", description));
    }
    if let Some((id, at)) = state.message_keys.get(&key)
        && passed(at) < KEY_KEPT
    {
        return Ok(*id);
    }
    let id = state.post(chat_id, post, call.now);
    state.message_keys.insert(key, (id, call.now));
    Ok(id)
}

/// The message itself; `None` when there is nothing in it.
fn post(
    state: &State,
    bot_id: i64,
    chat_id: i64,
    fields: &Fields<'_>,
) -> Result<Option<Post>, Failure> {
    let said = message_text(fields);
    let attach = match fields.get("attach") {
        Some(given) => checked_attach(state, given)?,
        None => None,
    };
    let keyboard = match fields
        .get("keyboard")
        .map(|given| keyboard::checked(given, Some(bot_id)))
    {
        Some(Keyboard::Wrong) => return Err(keyboard_error()),
        Some(Keyboard::Buttons(keyboard)) => Some(keyboard),
        Some(Keyboard::None) | None => None,
    };
    let reply_to = fields
        .get("replyId")
        .filter(|id| !php::is_empty(id))
        .map(php::int);
    let reply_to = reply_to.map(|id| id.filter(|id| stands_in(state, *id, chat_id)));
    if reply_to == Some(None) {
        return Err(Failure::method("REPLY_ERROR", "Reply message is not found"));
    }
    if said.is_empty() && attach.is_none() {
        return Ok(None);
    }
    let system = fields.truth("system").unwrap_or(false);
    Ok(Some(Post {
        by_bot: Some(bot_id),
        uuid: key_of(fields),
        keyboard,
        attach,
        reply_to: reply_to.flatten(),
        url_preview: fields.truth("urlPreview").unwrap_or(true),
        raw: fields.to_value(),
        ..Post::text(if system { 0 } else { bot_id }, said)
    }))
}

fn stands_in(state: &State, message_id: i64, chat_id: i64) -> bool {
    state
        .messages
        .get(&message_id)
        .is_some_and(|message| message.chat_id == chat_id)
}

/// The text of a message as it will be stored.
pub(super) fn message_text(fields: &Fields<'_>) -> String {
    stored(&fields.text("message").unwrap_or_default())
}

pub(super) use crate::state::stored_text as stored;

pub(super) fn checked_attach(state: &State, given: &Value) -> Result<Option<Value>, Failure> {
    attach::checked(given).map_err(|refused| match refused {
        Refused::Size if state.quirks.oversize_has_own_code => {
            Failure::method("ATTACH_OVERSIZE", "Attach is too large")
        }
        Refused::Size | Refused::Structure => {
            Failure::method("ATTACH_ERROR", "Incorrect attach params")
        }
    })
}

pub(super) fn keyboard_error() -> Failure {
    Failure::method("KEYBOARD_ERROR", "Incorrect keyboard params")
}

/// Messages to forward: their new keys and what to post.
fn forwards(
    state: &State,
    bot_id: i64,
    fields: &Fields<'_>,
) -> Result<Vec<(String, Post)>, Failure> {
    let Some(Value::Object(map)) = fields.inner("forwardIds").map(|map| map.to_value()) else {
        return Ok(Vec::new());
    };
    if map.len() > MOST_FORWARDS {
        return Err(Failure::method("TOO_MANY_MESSAGES", "Too many messages"));
    }
    let forward = |(uuid, id): (String, Value)| {
        if !is_key(&uuid) {
            return Err(Failure::method("WRONG_UUID", "Wrong UUID"));
        }
        let not_found = || Failure::method("MESSAGE_NOT_FOUND", "Message not found");
        let message = php::int(&id)
            .and_then(|id| state.messages.get(&id))
            .ok_or_else(not_found)?;
        if !state
            .chats
            .get(&message.chat_id)
            .is_some_and(|chat| chat.has(bot_id))
        {
            return Err(Failure::method("ACCESS_DENIED", "Access denied"));
        }
        let post = Post {
            by_bot: Some(bot_id),
            uuid: Some(uuid.clone()),
            attach: message.attach.clone(),
            forward: Some(Forward {
                message_id: message.id,
                chat_id: message.chat_id,
                author_id: message.author_id,
                date: message.date,
            }),
            ..Post::text(bot_id, message.text.clone())
        };
        Ok((uuid, post))
    };
    map.into_iter().map(forward).collect()
}

/// The key a message was given.
pub(super) fn key_of(fields: &Fields<'_>) -> Option<String> {
    let key = fields.text("templateId").filter(|id| is_key(id))?;
    Some(key.into_owned())
}

/// Only a UUID of version 4 in lower case is a key; anything else is passed over in silence.
fn is_key(id: &str) -> bool {
    let shape = id.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        14 => byte == b'4',
        19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    shape && id.len() == 36
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_version_four_is_a_key() {
        assert!(is_key("3f2504e0-4f89-41d3-9a0c-0305e82c3301"));
        for wrong in [
            "3F2504E0-4F89-41D3-9A0C-0305E82C3301",
            "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
            "3f2504e0-4f89-41d3-ca0c-0305e82c3301",
            "3f2504e04f8941d39a0c0305e82c3301",
            "",
        ] {
            assert!(!is_key(wrong), "{wrong}");
        }
    }
}
