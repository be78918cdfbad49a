//! Bots: register, get, list, unregister (C17).

use serde_json::{Value, json};

use super::common::{bot_and_users, bot_not_found, done, owned_bot, owner, owner_with};
use crate::core::Call;
use crate::failure::Failure;
use crate::params::Fields;
use crate::quirks::TokenLengthCheck;
use crate::state::{Bot, EventMode, Owner, State, User};

/// Longest token, in characters.
const TOKEN_LIMIT: usize = 40;
const KINDS: [&str; 4] = ["bot", "supervisor", "personal", "openline"];

pub(super) fn register(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let params = call.params.fields();
    let fields = params.inner("fields");
    // A token at the top level is preferred to the documented place.
    let outer = params.text("botToken");
    let token = outer.filter(|token| !token.is_empty() && state.quirks.top_level_token_wins);
    let token = token.or_else(|| fields.as_ref().and_then(|fields| fields.text("botToken")));
    let owner = owner_with(state, call, token.as_deref())?;
    let token_fits = || match &owner {
        Owner::Token(token) => check_token_length(token),
        Owner::Application(_) | Owner::Portal => Ok(()),
    };
    let fields = fields.as_ref().ok_or_else(|| Failure::missing("fields"))?;
    if state.quirks.token_length == TokenLengthCheck::First {
        token_fits()?;
    }

    let code = fields.text("code").filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| Failure::method("BOT_CODE_REQUIRED", "Bot code is required"))?;
    let required = || Failure::method("BOT_PROPERTIES_REQUIRED", "Bot properties are required");
    let properties = fields.inner("properties").ok_or_else(required)?;
    let name = properties
        .text("name")
        .filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(required)?;
    let event_mode = event_mode(fields)?.unwrap_or(EventMode::Fetch);
    let webhook_url = fields.text("webhookUrl").unwrap_or_default();
    if event_mode == EventMode::Webhook && webhook_url.is_empty() {
        return Err(Failure::method(
            "BOT_WEBHOOK_URL_REQUIRED",
            "Webhook URL is required",
        ));
    }

    let per_owner = state.quirks.codes_are_per_owner;
    let mut known = state.bots.values();
    let known = known.find(|bot| bot.code == *code && (!per_owner || bot.is_owned_by(&owner)));
    if let Some(bot) = known {
        if bot.is_owned_by(&owner) {
            return Ok(bot_and_users(state, bot, true));
        }
        return Err(Failure::method(
            "BOT_CODE_ALREADY_TAKEN",
            "Bot code is already taken",
        ));
    }

    let kind = fields.text("type").unwrap_or("bot".into());
    if !KINDS.contains(&kind.as_ref()) {
        return Err(Failure::method("BOT_INVALID_TYPE", "Invalid bot type"));
    }
    if event_mode == EventMode::Webhook {
        check_callback(&webhook_url, state.quirks.callback_needs_dot)?;
    }
    let avatar = avatar(&properties, &code)?;
    if state.quirks.token_length == TokenLengthCheck::OnCreation {
        token_fits()?;
    }
    let owned = state
        .bots
        .values()
        .filter(|bot| bot.is_owned_by(&owner))
        .count();
    if state
        .limits
        .bots_per_owner
        .is_some_and(|limit| owned >= limit)
    {
        return Err(Failure::method("BOT_LIMIT_EXCEEDED", "Bot limit exceeded"));
    }

    let text = |name| properties.text(name).unwrap_or_default().trim().to_owned();
    let account = User {
        first_name: name.trim().to_owned(),
        last_name: text("lastName"),
        work_position: work_position(text("workPosition")),
        color: color(&text("color")).unwrap_or("#df532d").to_owned(),
        gender: gender(text("gender")),
        avatar: avatar.unwrap_or_default(),
        ..User::default()
    };
    let bot = Bot {
        id: 0,
        code: code.clone().into_owned(),
        kind: kind.clone().into_owned(),
        owner: owner.clone(),
        event_mode,
        webhook_url: webhook_url.clone().into_owned(),
        hidden: fields.truth("isHidden").unwrap_or(false),
        openline_support: kind == "openline" || fields.truth("isSupportOpenline").unwrap_or(false),
        reactions_enabled: fields.truth("isReactionsEnabled").unwrap_or(true),
        background_id: fields.text("backgroundId").and_then(|id| background(&id)),
        messages_heard: 0,
        commands_heard: 0,
    };
    let code = bot.code.clone();
    let bot_id = state.insert_bot(account, bot);
    state.subscribe_bot(bot_id);
    state.record(call.now, crate::Effect::BotRegistered { bot_id, code });
    let bot = state.bots.get(&bot_id).ok_or_else(bot_not_found)?;
    Ok(bot_and_users(state, bot, true))
}

pub(super) fn get(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let owner = owner(state, call)?;
    let params = call.params.fields();
    let bot = if let Some(bot_id) = params.int("botId").filter(|id| *id != 0) {
        state.bots.get(&bot_id)
    } else if let Some(code) = params.text("code").filter(|code| !code.is_empty()) {
        state.bots.values().find(|bot| bot.code == *code)
    } else {
        return Err(Failure::method(
            "PARAMS_REQUIRED",
            "Bot ID or code is required",
        ));
    };
    let bot = bot.ok_or_else(bot_not_found)?;
    Ok(bot_and_users(state, bot, bot.is_owned_by(&owner)))
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let owner = owner(state, call)?;
    let params = call.params.fields();
    let filter = params.inner("filter");
    let kind = filter.as_ref().and_then(|filter| filter.text("type"));
    let known = kind
        .filter(|kind| KINDS.contains(&kind.as_ref()) || state.quirks.unknown_type_lists_nothing);
    let limit = usize::try_from(params.int("limit").unwrap_or(50)).unwrap_or(0);
    let offset = usize::try_from(params.int("offset").unwrap_or(0)).unwrap_or(0);
    let matches =
        |bot: &&Bot| bot.is_owned_by(&owner) && known.as_ref().is_none_or(|kind| bot.kind == *kind);
    let page = state.bots.values().filter(matches).skip(offset).take(limit);
    let page: Vec<&Bot> = page.collect();
    let accounts = page.iter().filter_map(|bot| state.users.get(&bot.id));
    Ok(json!({
        "bots": page.iter().map(|bot| state.owned_bot(bot)).collect::<Vec<_>>(),
        "users": accounts.map(|account| state.user(account)).collect::<Vec<_>>(),
        "hasNextPage": page.len() >= limit,
    }))
}

pub(super) fn unregister(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let bot_id = owned_bot(state, call)?;
    state.remove_bot(bot_id, call.now);
    Ok(done())
}

pub(super) fn check_token_length(token: &str) -> Result<(), Failure> {
    if token.chars().count() <= TOKEN_LIMIT {
        return Ok(());
    }
    Err(Failure::method(
        "BOT_TOKEN_INVALID_LENGTH",
        "Bot token invalid length",
    ))
}

pub(super) fn event_mode(fields: &Fields<'_>) -> Result<Option<EventMode>, Failure> {
    let Some(value) = fields.get("eventMode") else {
        return Ok(None);
    };
    let name = crate::php::text(value).unwrap_or_default();
    match EventMode::parse(&name) {
        Some(mode) => Ok(Some(mode)),
        None => Err(Failure::method(
            "BOT_INVALID_EVENT_MODE",
            "Invalid event mode",
        )),
    }
}

/// A callback needs http or https and a host with a dot.
pub(super) fn check_callback(url: &str, needs_dot: bool) -> Result<(), Failure> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let authority = rest
        .and_then(|rest| rest.split(['/', '?', '#']).next())
        .unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let host = host.split(':').next().unwrap_or(host);
    let host = host.trim_matches('.');
    if host.contains('.') || (!needs_dot && !host.is_empty()) {
        return Ok(());
    }
    Err(Failure::method(
        "BOT_INVALID_CALLBACK",
        "Invalid callback URL",
    ))
}

pub(super) fn work_position(given: String) -> String {
    if given.is_empty() {
        "Chat bot".to_owned()
    } else {
        given
    }
}

pub(super) fn gender(given: String) -> String {
    if matches!(given.as_str(), "M" | "F") {
        given
    } else {
        String::new()
    }
}

/// The background of this name; `None` for names that do not exist.
pub(super) fn background(id: &str) -> Option<String> {
    const KNOWN: [&str; 9] = [
        "azure",
        "mint",
        "steel",
        "slate",
        "teal",
        "cornflower",
        "sky",
        "peach",
        "frost",
    ];
    KNOWN.contains(&id).then(|| id.to_owned())
}

/// The value of a colour name (C21).
pub(super) fn color(name: &str) -> Option<&'static str> {
    let value = match php_key(name).as_str() {
        "red" => "#df532d",
        "green" => "#64a513",
        "mint" => "#4ba984",
        "lightblue" => "#4ba5c3",
        "darkblue" => "#3e99ce",
        "purple" => "#8474c8",
        "aqua" => "#1eb4aa",
        "pink" => "#f76187",
        "lime" => "#58cc47",
        "brown" => "#ab7761",
        "azure" => "#29619b",
        "khaki" => "#728f7a",
        "sand" => "#ba9c7b",
        "marengo" => "#556574",
        "gray" => "#909090",
        "graphite" => "#5e5f5e",
        _ => return None,
    };
    Some(value)
}

/// `lightBlue` and `LIGHT_BLUE` are the same name.
fn php_key(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

/// The address under which a new picture can be seen; `None` when no picture was given.
pub(super) fn avatar(properties: &Fields<'_>, code: &str) -> Result<Option<String>, Failure> {
    let given = properties
        .text("avatar")
        .filter(|avatar| !avatar.is_empty());
    let Some(encoded) = given else {
        return Ok(None);
    };
    match super::picture::size_of(&encoded) {
        Some((width, height)) if width <= 5000 && height <= 5000 => {
            Ok(Some(format!("/upload/im/avatar/{code}.png")))
        }
        Some(_) => Err(Failure::method(
            "BOT_AVATAR_INCORRECT_SIZE",
            "Avatar is too large",
        )),
        None => Err(Failure::method(
            "BOT_AVATAR_INCORRECT_TYPE",
            "Avatar is not an image",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_needs_a_scheme_and_a_host_with_a_dot() {
        assert!(check_callback("https://bots.example.com/hook?x=1", true).is_ok());
        assert!(check_callback("http://a.example:8080", true).is_ok());
        for wrong in [
            "ftp://a.b",
            "https://localhost/x",
            "https:///a.b",
            "a.example.com",
            "",
        ] {
            assert!(check_callback(wrong, true).is_err(), "{wrong}");
        }
    }
}
