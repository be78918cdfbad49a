//! Files of bots and of people (C22, C23).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::common::{inner, int, owned_bot, text};
use super::message::denied;
use super::send::{chat_for, message_text};
use crate::core::Call;
use crate::failure::Failure;
use crate::state::{File, Post, State};

/// Largest file, in bytes.
const SIZE_LIMIT: usize = 100 << 20;

pub(super) fn upload(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let file_id = put(state, call, bot_id, Some(bot_id))?;
    answer(state, file_id, bot_id, false)
}

pub(super) fn upload_own(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let person = call.credential.user_id;
    let file_id = put(state, call, person, None)?;
    answer(state, file_id, person, true)
}

pub(super) fn download(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let file_id = int(&call.params.fields(), "fileId")?;
    let refused = || Failure::method("FILE_ACCESS_ERROR", "File access error");
    address(state, call, file_id, bot_id, refused)
}

pub(super) fn download_own(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let params = call.params.fields();
    text(&params, "dialogId")?;
    let file_id = int(&params, "fileId")?;
    address(state, call, file_id, call.credential.user_id, denied)
}

fn address(
    state: &mut State,
    call: &Call<'_>,
    file_id: i64,
    reader: i64,
    refused: fn() -> Failure,
) -> Result<Value, Failure> {
    let not_found = || Failure::method("FILE_NOT_FOUND", "File not found");
    let file = state.files.get(&file_id).ok_or_else(not_found)?;
    let chat = state.chats.get(&file.chat_id);
    if !chat.is_some_and(|chat| chat.has(reader)) {
        return Err(refused());
    }
    let url = state.download_url(file_id, call.credential, call.now);
    Ok(json!({"downloadUrl": url}))
}

/// Puts the file of a call into its chat, with a message.
fn put(
    state: &mut State,
    call: &Call<'_>,
    author_id: i64,
    by_bot: Option<i64>,
) -> Result<i64, Failure> {
    let params = call.params.fields();
    let dialog = text(&params, "dialogId")?;
    let fields = inner(&params)?;
    let name = text(&fields, "name")?;
    let encoded = fields.text("content").unwrap_or_default();
    if encoded.is_empty() {
        return Err(Failure::method("FILE_EMPTY", "File is empty"));
    }
    let content = STANDARD.decode(encoded.as_bytes());
    let invalid = || Failure::method("FILE_INVALID_CONTENT", "File content is invalid");
    let content = content.map_err(|_| invalid())?;
    if content.len() > SIZE_LIMIT {
        return Err(Failure::method("FILE_TOO_LARGE", "File is too large"));
    }
    let chat_id = chat_for(state, call, author_id, &dialog).map_err(|refused| {
        // Only people are told that a chat does not exist.
        if by_bot.is_none() { refused } else { denied() }
    })?;
    let file_id = state.add_file(File {
        id: 0,
        chat_id,
        author_id,
        name,
        content: content.into(),
        date: call.now,
    });
    let post = Post {
        by_bot,
        file: Some(file_id),
        ..Post::text(author_id, message_text(&fields))
    };
    let message_id = state.post(chat_id, post, call.now);
    if by_bot.is_none() {
        state.raise_message(message_id, call.now);
    }
    Ok(file_id)
}

fn answer(state: &State, file_id: i64, viewer: i64, urls: bool) -> Result<Value, Failure> {
    let failed = || Failure::method("FILE_SEND_FAILED", "File was not sent");
    let file = state.files.get(&file_id).ok_or_else(failed)?;
    let chat = state.chats.get(&file.chat_id).ok_or_else(failed)?;
    let mut messages = state.messages.values();
    let message = messages.find(|message| message.file == Some(file_id));
    let mut shown = state.file(file);
    if urls {
        let base = format!("https://{}/disk/{file_id}", state.identity.domain);
        for name in ["urlPreview", "urlShow", "urlDownload"] {
            shown.insert(name.into(), base.as_str().into());
        }
        shown.insert("status".into(), "done".into());
        shown.insert("progress".into(), 100.into());
    }
    Ok(json!({
        "file": shown,
        "messageId": message.map(|message| message.id),
        "chatId": file.chat_id,
        "dialogId": chat.dialog_id_for(viewer),
    }))
}
