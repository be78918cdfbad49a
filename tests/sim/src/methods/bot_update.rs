//! Changing a bot (C17.2).
//!
//! The order matters, because an error leaves applied what came before it: the token is rotated,
//! then the other fields are saved, then the callback address is checked.

use serde_json::Value;

use super::bot::{
    avatar, background, check_callback, check_token_length, color, event_mode, gender,
    work_position,
};
use super::common::{bot_and_users, bot_not_found, inner, owned_bot};
use crate::clock::UnixTime;
use crate::core::Call;
use crate::failure::Failure;
use crate::journal::Effect;
use crate::params::Fields;
use crate::quirks::BackgroundNull;
use crate::state::{EventMode, Owner, State};

pub(super) fn update(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let fields = inner(&params)?;
    check_early(state, bot_id, &fields)?;
    rotate(state, bot_id, &fields, call.now)?;
    let mode = event_mode(&fields)?;
    if let Some(properties) = fields.inner("properties") {
        save_properties(state, bot_id, &properties)?;
    }
    save_fields(state, bot_id, &fields, mode, call.now)?;
    state.record(call.now, Effect::BotUpdated { bot_id });
    let bot = state.bots.get(&bot_id).ok_or_else(bot_not_found)?;
    Ok(bot_and_users(state, bot, true))
}

/// What an orderly server would check before it saves anything.
fn check_early(state: &State, bot_id: i64, fields: &Fields<'_>) -> Result<(), Failure> {
    let before = state.bots.get(&bot_id).map(|bot| bot.event_mode);
    let after = event_mode(fields)?.or(before);
    if after != Some(EventMode::Webhook) {
        return Ok(());
    }
    let url = fields.text("webhookUrl").filter(|url| !url.is_empty());
    match url {
        Some(url) if state.quirks.callback_is_checked_first => {
            check_callback(&url, state.quirks.callback_needs_dot)
        }
        None if before != after && state.quirks.webhook_mode_needs_address => {
            let description = "Webhook URL is required";
            Err(Failure::method("BOT_WEBHOOK_URL_REQUIRED", description))
        }
        _ => Ok(()),
    }
}

fn rotate(
    state: &mut State,
    bot_id: i64,
    fields: &Fields<'_>,
    now: UnixTime,
) -> Result<(), Failure> {
    let [rest, ..] = state.revision;
    let token = fields.text("botToken").unwrap_or_default();
    let token = token.trim();
    if token.is_empty() || rest < 35 {
        return Ok(());
    }
    check_token_length(token)?;
    let new = Owner::Token(token.to_owned());
    let used = state
        .bots
        .values()
        .any(|bot| bot.id != bot_id && bot.is_owned_by(&new));
    let bot = state.bots.get_mut(&bot_id).filter(|_| !used);
    // What belongs to an application has no token to replace.
    let bot = bot.filter(|bot| matches!(bot.owner, Owner::Token(_)));
    let Some(bot) = bot else {
        return Err(Failure::method(
            "BOT_TOKEN_ROTATION_FAILED",
            "Bot token rotation failed",
        ));
    };
    if !bot.is_owned_by(&new) {
        let old = std::mem::replace(&mut bot.owner, new.clone());
        state.rebind(&old, &new);
        state.record(now, Effect::TokenRotated { bot_id });
    }
    Ok(())
}

fn save_properties(state: &mut State, bot_id: i64, new: &Fields<'_>) -> Result<(), Failure> {
    let code = state
        .bots
        .get(&bot_id)
        .map(|bot| bot.code.clone())
        .unwrap_or_default();
    let picture = avatar(new, &code)?;
    let resets = state.quirks.partial_properties_reset;
    let Some(account) = state.users.get_mut(&bot_id) else {
        return Err(bot_not_found());
    };
    let given = |name| new.text(name).map(|text| text.trim().to_owned());
    let or_reset = |name| given(name).or_else(|| resets.then(String::new));
    if let Some(name) = given("name").filter(|name| !name.is_empty()) {
        account.first_name = name;
    }
    if let Some(last_name) = or_reset("lastName") {
        account.last_name = last_name;
    }
    if let Some(position) = or_reset("workPosition") {
        account.work_position = work_position(position);
    }
    if let Some(new_gender) = or_reset("gender") {
        account.gender = gender(new_gender);
    }
    if let Some(color) = given("color").and_then(|name| color(&name)) {
        account.color = color.to_owned();
    }
    if let Some(picture) = picture {
        account.avatar = picture;
    }
    Ok(())
}

fn save_fields(
    state: &mut State,
    bot_id: i64,
    fields: &Fields<'_>,
    mode: Option<EventMode>,
    now: UnixTime,
) -> Result<(), Failure> {
    let null_resets = state.quirks.background_null == BackgroundNull::Resets;
    let Some(bot) = state.bots.get_mut(&bot_id) else {
        return Err(bot_not_found());
    };
    if let Some(hidden) = fields.truth("isHidden") {
        bot.hidden = hidden;
    }
    if let Some(enabled) = fields.truth("isReactionsEnabled") {
        bot.reactions_enabled = enabled;
    }
    if let Some(support) = fields.truth("isSupportOpenline") {
        bot.openline_support = support || bot.kind == "openline";
    }
    match fields.raw("backgroundId") {
        Some(Value::Null) if null_resets => bot.background_id = None,
        Some(Value::Null) | None => {}
        Some(id) => bot.background_id = crate::php::text(id).and_then(|id| background(&id)),
    }
    let before = bot.event_mode;
    bot.event_mode = mode.unwrap_or(before);
    let url = fields.text("webhookUrl").filter(|url| !url.is_empty());
    let url = url
        .filter(|_| bot.event_mode == EventMode::Webhook)
        .map(|url| url.into_owned());
    let after = bot.event_mode;
    let to_webhook = before == EventMode::Fetch && after == EventMode::Webhook;
    if to_webhook && state.quirks.mode_switch_drops_events {
        state.drop_events(bot_id, now);
    }
    if let Some(url) = &url {
        check_callback(url, state.quirks.callback_needs_dot)?;
    }
    match (before, after) {
        (EventMode::Webhook, EventMode::Fetch) => state.unsubscribe_bot(bot_id),
        (EventMode::Webhook, EventMode::Webhook) if url.is_some() => state.unsubscribe_bot(bot_id),
        _ => {}
    }
    let moved = url.is_some() || before != after;
    if let (Some(bot), Some(url)) = (state.bots.get_mut(&bot_id), url) {
        bot.webhook_url = url;
    }
    if moved {
        state.subscribe_bot(bot_id);
    }
    Ok(())
}
