//! Slash commands: wishes inwards, outcomes outwards.

use std::collections::{BTreeMap, HashMap};

use super::{
    bot::{if_exists, outcome},
    check::Check,
    entity,
    page::Page,
    portal::named,
};
use crate::{
    bots::{CommandChange, CommandTarget, CommandWish, Execution, IfExists, Name, Outcome},
    grpc::{caller::Arrival, status::Refusal},
    ids::{CommandName, Language},
    portal::wire,
    proto::v1 as pb,
};

/// Longest title, hint and parameters.
const TEXT_CHARACTERS: usize = 20_000;

pub(in crate::grpc) fn registration(
    arrival: &mut Arrival<'_>,
    request: pb::RegisterCommandRequest,
) -> Result<(Name, CommandWish, IfExists), Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let code = check.parsed("bot_code", &request.bot_code);
    let command: Option<CommandName> = check.parsed("command", &request.command);
    let untitled = request.title.is_empty();
    let title = texts(&mut check, "title", request.title);
    let params = texts(&mut check, "params", request.params);
    params_have_titles(&mut check, &params, |language| {
        title.contains_key(&language)
    });
    if untitled && request.hidden != Some(true) {
        check.broken(
            "title",
            "is needed in at least one language unless the command is hidden",
        );
    }
    let if_exists = if_exists(&mut check, request.if_exists);
    let ((portal, code), command) = check.done(portal.zip(code).zip(command))?;
    let wish = CommandWish {
        command,
        title,
        params,
        common: request.common,
        hidden: request.hidden,
        extranet_support: request.extranet_support,
    };
    Ok(((arrival.bot(portal, &code)?, code), wish, if_exists))
}

pub(in crate::grpc) fn change(
    arrival: &mut Arrival<'_>,
    request: pb::UpdateCommandRequest,
) -> Result<(Name, CommandTarget, CommandChange), Refusal> {
    use pb::update_command_request::Target;
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let code = check.parsed("bot_code", &request.bot_code);
    let target = match request.target {
        Some(Target::Command(name)) => by_name(&mut check, &name),
        Some(Target::CommandId(id)) => by_id(&mut check, id),
        None => without_target(&mut check),
    };
    let rename = request
        .new_command
        .and_then(|name| check.parsed("new_command", &name));
    let set = texts(&mut check, "title", request.title);
    let mut title: BTreeMap<Language, Option<String>> = set
        .into_iter()
        .map(|(language, text)| (language, Some(text)))
        .collect();
    for (index, text) in request.remove_title_languages.iter().enumerate() {
        let field = format!("remove_title_languages[{index}]");
        if let Some(language) = check.parsed(&field, text)
            && title
                .insert(language, None)
                .is_some_and(|set| set.is_some())
        {
            check.broken(&field, format!("`{text}` is set by `title` as well"));
        }
    }
    let params = texts(&mut check, "params", request.params);
    params_have_titles(&mut check, &params, |language| {
        title.get(&language).is_some_and(Option::is_some)
    });
    let change = CommandChange {
        rename,
        title,
        params,
        common: request.common,
        hidden: request.hidden,
        extranet_support: request.extranet_support,
    };
    if change.is_empty() {
        check.broken(
            "new_command",
            "nothing is to be changed: give at least one field",
        );
    }
    let ((portal, code), target) = check.done(portal.zip(code).zip(target))?;
    Ok(((arrival.bot(portal, &code)?, code), target, change))
}

pub(in crate::grpc) fn removal(
    arrival: &mut Arrival<'_>,
    request: pb::UnregisterCommandRequest,
) -> Result<(Name, CommandTarget), Refusal> {
    use pb::unregister_command_request::Target;
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let code = check.parsed("bot_code", &request.bot_code);
    let target = match request.target {
        Some(Target::Command(name)) => by_name(&mut check, &name),
        Some(Target::CommandId(id)) => by_id(&mut check, id),
        None => without_target(&mut check),
    };
    let ((portal, code), target) = check.done(portal.zip(code).zip(target))?;
    Ok(((arrival.bot(portal, &code)?, code), target))
}

/// A page of a bot's commands.
pub(in crate::grpc) fn list(
    arrival: &mut Arrival<'_>,
    request: &pb::ListCommandsRequest,
) -> Result<(Name, Page), Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let code = check.parsed("bot_code", &request.bot_code);
    let page = Page::parse(&mut check, request.page_size, &request.page_token);
    let ((portal, code), page) = check.done(portal.zip(code).zip(page))?;
    Ok(((arrival.bot(portal, &code)?, code), page))
}

pub(in crate::grpc) fn execution(
    arrival: &mut Arrival<'_>,
    request: pb::ExecuteCommandRequest,
) -> Result<Execution, Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    check.id("bot_id", request.bot_id);
    check.id("message_id", request.message_id);
    let command = check.parsed("command", &request.command);
    check.at_most("params", &request.params, TEXT_CHARACTERS);
    check.idempotency_key(&request.idempotency_key);
    let (portal, command) = check.done(portal.zip(command))?;
    Ok(Execution {
        portal: arrival.portal(portal)?,
        bot_id: request.bot_id,
        message_id: request.message_id,
        command,
        params: request.params,
    })
}

fn by_name(check: &mut Check, name: &str) -> Option<CommandTarget> {
    check.parsed("command", name).map(CommandTarget::Name)
}

fn by_id(check: &mut Check, id: i64) -> Option<CommandTarget> {
    check.id("command_id", id);
    Some(CommandTarget::Id(id))
}

fn without_target(check: &mut Check) -> Option<CommandTarget> {
    check.broken("command", "either `command` or `command_id` is needed");
    None
}

fn texts(
    check: &mut Check,
    field: &str,
    texts: HashMap<String, String>,
) -> BTreeMap<Language, String> {
    let mut read = BTreeMap::new();
    // In order, so that the same request is refused in the same words.
    for (language, text) in BTreeMap::from_iter(texts) {
        let field = format!("{field}[{language}]");
        let language = check.parsed(&field, &language);
        if text.trim().is_empty() {
            check.broken(&field, "must not be empty");
        }
        check.at_most(&field, &text, TEXT_CHARACTERS);
        if let Some(language) = language {
            read.insert(language, text);
        }
    }
    read
}

/// Bitrix24 drops hints in languages without a title, and says nothing (C18).
fn params_have_titles(
    check: &mut Check,
    params: &BTreeMap<Language, String>,
    titled: impl Fn(Language) -> bool,
) {
    for language in params.keys().filter(|language| !titled(**language)) {
        let rule = format!("needs `title[{language}]` in the same call: Bitrix24 would ignore it");
        check.broken(&format!("params[{language}]"), rule);
    }
}

pub(in crate::grpc) fn registered(
    command: wire::Command,
    outcome: Outcome,
    unapplied: Vec<&'static str>,
) -> pb::RegisterCommandResponse {
    pb::RegisterCommandResponse {
        command: Some(entity::command(command)),
        outcome: self::outcome(outcome),
        unapplied_fields: unapplied.into_iter().map(str::to_owned).collect(),
    }
}

pub(in crate::grpc) fn updated(command: wire::Command) -> pb::UpdateCommandResponse {
    pb::UpdateCommandResponse {
        command: Some(entity::command(command)),
    }
}

pub(in crate::grpc) fn listed(
    commands: Vec<wire::Command>,
    next_page_token: String,
) -> pb::ListCommandsResponse {
    pb::ListCommandsResponse {
        commands: commands.into_iter().map(entity::command).collect(),
        next_page_token,
    }
}
