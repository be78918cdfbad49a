//! The conversation: the last messages of a dialog, and which of them changed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use super::people::{Viewer, name};
use super::{
    attach, bbcode, keyboard,
    label::{label, quote},
};
use crate::state::{Message, State};

/// How many messages of a dialog are shown.
const MOST: usize = 100;
/// Characters of a message that is answered.
const MOST_QUOTED: usize = 120;

/// What a page has seen of a dialog: messages, and what each looked like.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<i64, u64>);

/// Messages that are new or changed, and the ids of those that went; `None` when there are neither.
pub(super) fn changes(state: &State, viewer: &Viewer, seen: &mut Seen) -> Option<Value> {
    let chat_id = viewer.chat(state).map(|chat| chat.id);
    let inside = state.messages.values().rev();
    let inside = inside.filter(|message| Some(message.chat_id) == chat_id);
    let mut last: Vec<&Message> = inside.take(MOST).collect();
    last.reverse();
    let mut now = HashMap::new();
    let mut changed = Vec::new();
    for message in last {
        let look = look(message);
        if seen.0.get(&message.id) != Some(&look) {
            changed.push(shown(state, viewer, message));
        }
        now.insert(message.id, look);
    }
    let gone = seen.0.keys().filter(|id| !now.contains_key(id));
    let gone: Vec<i64> = gone.copied().collect();
    seen.0 = now;
    let any = !changed.is_empty() || !gone.is_empty();
    any.then(|| json!({"changed": changed, "gone": gone}))
}

/// Differs when a message looks different.
fn look(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.text.hash(&mut hasher);
    message.reactions.hash(&mut hasher);
    (message.deleted, message.edited).hash(&mut hasher);
    for part in [&message.keyboard, &message.attach] {
        part.as_ref().map(Value::to_string).hash(&mut hasher);
    }
    hasher.finish()
}

fn shown(state: &State, viewer: &Viewer, message: &Message) -> Value {
    let base = format!("https://{}", state.identity.domain);
    let author = state.users.get(&message.author_id);
    let kind = match author {
        None => "system",
        Some(author) if author.bot => "bot",
        Some(_) => "person",
    };
    let mine = message.author_id == viewer.user;
    let file = message.file.and_then(|id| state.files.get(&id));
    json!({
        "id": message.id,
        "author": name(state, message.author_id),
        "kind": kind,
        "mine": mine,
        "at": message.date.as_secs(),
        "text": bbcode::parse(&message.text, &base),
        "source": (mine && !message.deleted).then_some(&message.text),
        "attach": message.attach.as_ref().and_then(|attach| attach::shown(attach, &base)),
        "keyboard": message.keyboard.as_ref().map(|keys| keyboard::shown(keys, &base)),
        "reactions": reactions(state, viewer, message),
        "reply": message.reply_to.and_then(|id| quoted(state, id)),
        "forwarded": message.forward.map(|forward| name(state, forward.author_id)),
        "file": file.map(|file| json!({"name": label(&file.name), "bytes": file.content.len()})),
        "deleted": message.deleted,
        "edited": message.edited && !message.deleted,
    })
}

fn quoted(state: &State, id: i64) -> Option<Value> {
    let message = state.messages.get(&id)?;
    let text = quote(&message.text, MOST_QUOTED);
    Some(json!({"author": name(state, message.author_id), "text": text}))
}

/// Reactions in the order in which they first came, each with who it is of.
fn reactions(state: &State, viewer: &Viewer, message: &Message) -> Vec<Value> {
    let mut kinds: Vec<&str> = Vec::new();
    for (_, reaction) in &message.reactions {
        if !kinds.contains(&reaction.as_str()) {
            kinds.push(reaction);
        }
    }
    let shown = kinds.into_iter().map(|kind| {
        let of = message.reactions.iter().filter(|(_, known)| known == kind);
        let ids: Vec<i64> = of.map(|(user, _)| *user).collect();
        let who: Vec<String> = ids.iter().map(|id| name(state, *id)).collect();
        let members = [
            ("reaction", json!(label(kind))),
            ("who", json!(who)),
            ("mine", json!(ids.contains(&viewer.user))),
        ];
        let members = members.map(|(name, value)| (name.to_owned(), value));
        Value::Object(Map::from_iter(members))
    });
    shown.collect()
}
