//! Slash commands: register, update, list, unregister, answer (C18).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::common::{done, inner, int, owned_bot, text};
use crate::core::Call;
use crate::failure::Failure;
use crate::journal::Effect;
use crate::params::Fields;
use crate::php;
use crate::state::{Command, Post, State};

pub(super) fn register(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let fields = inner(&params)?;
    let name = match fields.get("command") {
        None => String::new(),
        Some(Value::String(name)) => name.strip_prefix('/').unwrap_or(name).to_owned(),
        Some(_) => return Err(name_invalid()),
    };
    if name.is_empty() {
        return Err(Failure::method("COMMAND_REQUIRED", "Command is required"));
    }
    // What exists is returned as it is, before anything else is looked at.
    if let Some(command) = state.command_named(bot_id, &name) {
        return Ok(json!({"command": state.command(command)}));
    }
    let hidden = fields.truth("hidden").unwrap_or(false);
    let titles = languages(fields.inner("title"));
    if titles.is_empty() && !hidden {
        return Err(Failure::method(
            "COMMAND_TITLE_REQUIRED",
            "Command title is required",
        ));
    }
    let mut hints = languages(fields.inner("params"));
    hints.retain(|language, _| titles.contains_key(language));
    let command_id = state.insert_command(Command {
        id: 0,
        bot_id,
        name: name.clone(),
        titles,
        hints,
        common: fields.truth("common").unwrap_or(false),
        hidden,
        extranet_support: fields.truth("extranetSupport").unwrap_or(false),
    });
    state.record(
        call.now,
        Effect::CommandRegistered {
            bot_id,
            command_id,
            command: name,
        },
    );
    let command = state.command_of(bot_id, command_id).ok_or_else(not_found)?;
    Ok(json!({"command": state.command(command)}))
}

/// Texts by lower-case language.
fn languages(given: Option<Fields<'_>>) -> BTreeMap<String, String> {
    let Some(Value::Object(map)) = given.map(|fields| fields.to_value()) else {
        return BTreeMap::new();
    };
    let texts = map.iter().filter_map(|(language, text)| {
        Some((language.to_ascii_lowercase(), php::text(text)?.into_owned()))
    });
    texts.filter(|(_, text)| !text.is_empty()).collect()
}

pub(super) fn update(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let command_id = int(&params, "commandId")?;
    let fields = inner(&params)?;
    let mut command = state
        .command_of(bot_id, command_id)
        .cloned()
        .ok_or_else(not_found)?;
    let renamed = new_name(state, &command, &fields)?;
    if let Some(title) = fields.get("title") {
        let Some(Value::Object(titles)) = Fields::of(title).map(|fields| fields.to_value()) else {
            return Err(Failure::method(
                "COMMAND_TITLE_INVALID",
                "Command title is invalid",
            ));
        };
        let hints = fields.inner("params");
        for (language, title) in &titles {
            let hint = hints.as_ref().and_then(|hints| hints.text(language));
            retitle(&mut command, language, title, hint.as_deref());
        }
        command.hidden |= command.titles.is_empty();
    }
    if let Some(common) = fields.truth("common") {
        command.common = common;
    }
    if let Some(hidden) = fields.truth("hidden") {
        command.hidden = hidden || command.titles.is_empty();
    }
    if let Some(support) = fields.truth("extranetSupport") {
        command.extranet_support = support;
    }
    if let Some(name) = renamed.filter(|_| state.quirks.rename_is_stored) {
        command.name = name;
    }
    let answer = json!({"command": state.command(&command)});
    state.commands.insert(command_id, command);
    state.record(call.now, Effect::CommandUpdated { command_id });
    Ok(answer)
}

/// Checks a new name; whether it is stored is another question.
fn new_name(
    state: &State,
    command: &Command,
    fields: &Fields<'_>,
) -> Result<Option<String>, Failure> {
    let name = match fields.get("command") {
        None => return Ok(None),
        Some(Value::String(name)) => name.strip_prefix('/').unwrap_or(name),
        Some(_) => return Err(name_invalid()),
    };
    if name.is_empty() {
        return Err(Failure::method(
            "COMMAND_NAME_EMPTY",
            "Command name is empty",
        ));
    }
    if state
        .command_named(command.bot_id, name)
        .is_some_and(|known| known.id != command.id)
    {
        return Err(Failure::method(
            "COMMAND_ALREADY_EXISTS",
            "Command already exists",
        ));
    }
    Ok(Some(name.to_owned()))
}

/// A text sets a translation, null deletes it; a hint comes with its title or not at all.
fn retitle(command: &mut Command, language: &str, title: &Value, hint: Option<&str>) {
    let language = language.to_ascii_lowercase();
    if title.is_null() {
        command.titles.remove(&language);
        command.hints.remove(&language);
        return;
    }
    let Some(title) = php::text(title) else {
        return;
    };
    if let Some(hint) = hint {
        command.hints.insert(language.clone(), hint.to_owned());
    }
    command.titles.insert(language, title.into_owned());
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let of_bot = state
        .commands
        .values()
        .filter(|command| command.bot_id == bot_id);
    let commands: Vec<Value> = of_bot
        .map(|command| state.listed_command(command))
        .collect();
    Ok(json!({"commands": commands}))
}

pub(super) fn unregister(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let command_id = int(&call.params.fields(), "commandId")?;
    state.command_of(bot_id, command_id).ok_or_else(not_found)?;
    state.commands.remove(&command_id);
    state.record(call.now, Effect::CommandRemoved { command_id });
    Ok(done())
}

pub(super) fn answer(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let command_id = int(&params, "commandId")?;
    let message_id = int(&params, "messageId")?;
    // Mandatory, and then not looked at: the message tells the dialog.
    text(&params, "dialogId")?;
    state.command_of(bot_id, command_id).ok_or_else(not_found)?;
    let failed = || Failure::method("COMMAND_ANSWER_FAILED", "Command answer failed");
    let message = state.messages.get(&message_id).ok_or_else(failed)?;
    let chat_id = message.chat_id;
    let fields = params.inner("fields");
    let post = answer_post(state, bot_id, chat_id, fields.as_ref()).ok_or_else(failed)?;
    if state.may_answer(bot_id, message, call.now) {
        state.post(chat_id, post, call.now);
    } else {
        state.record(call.now, Effect::AnswerDropped { bot_id, chat_id });
    }
    Ok(if state.quirks.answer_is_object {
        done()
    } else {
        json!(true)
    })
}

/// The message an answer makes; `None` when there is nothing to say.
fn answer_post(
    state: &State,
    bot_id: i64,
    chat_id: i64,
    fields: Option<&Fields<'_>>,
) -> Option<Post> {
    let fields = fields?;
    let given = |name| {
        fields
            .get(name)
            .filter(|value| !php::is_empty(value))
            .cloned()
    };
    let said = super::send::message_text(fields);
    let attach = given("attach");
    if said.is_empty() && attach.is_none() {
        return None;
    }
    let inside = state
        .chats
        .get(&chat_id)
        .is_some_and(|chat| chat.has(bot_id));
    let (author_id, said) = if inside {
        let system = fields.truth("system").unwrap_or(false);
        (if system { 0 } else { bot_id }, said)
    } else {
        let name = state
            .users
            .get(&bot_id)
            .map(|bot| bot.full_name())
            .unwrap_or_default();
        (0, super::send::stored(&format!("[B]{name}[/B]\n{said}")))
    };
    Some(Post {
        by_bot: Some(bot_id),
        keyboard: given("keyboard").map(|keyboard| super::keyboard::unchecked(keyboard, bot_id)),
        attach,
        url_preview: fields.truth("urlPreview").unwrap_or(true),
        raw: fields.to_value(),
        ..Post::text(author_id, said)
    })
}

fn not_found() -> Failure {
    Failure::method("COMMAND_NOT_FOUND", "Command not found")
}

fn name_invalid() -> Failure {
    Failure::method("COMMAND_NAME_INVALID", "Command name is invalid")
}
