//! Bots: wishes inwards, outcomes outwards.

use secrecy::SecretString;

use super::{check::Check, entity, page::Page, portal::named};
use crate::{
    bots::{
        Adoption, AdoptionStart, Bots, IfExists, Name, Outcome, Properties, Registered,
        Registration, Settings, Updated, wish::Color,
    },
    grpc::{caller::Arrival, status::Refusal},
    ids::{BotCode, PortalId},
    portal::wire,
    proto::v1 as pb,
    store::{self, BotState, EventMode},
};

/// Longest names and positions.
const NAME_CHARACTERS: usize = 255;

/// Largest image file.
const AVATAR_BYTES: usize = 2 << 20;

/// Longest botToken (C2).
const TOKEN_CHARACTERS: usize = 40;

/// The bot a call is for.
pub(in crate::grpc) fn name(
    arrival: &mut Arrival<'_>,
    portal: &str,
    code: &str,
) -> Result<Name, Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, portal);
    let code: Option<BotCode> = check.parsed("bot_code", code);
    let (portal, code) = check.done(portal.zip(code))?;
    Ok((arrival.bot(portal, &code)?, code))
}

/// A bot to hand over, and its token from then on.
pub(in crate::grpc) fn release(
    arrival: &mut Arrival<'_>,
    request: pb::ReleaseBotRequest,
) -> Result<(Name, SecretString), Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let code: Option<BotCode> = check.parsed("bot_code", &request.bot_code);
    let token = request.new_token;
    let spaces = |c: char| c.is_whitespace() || c.is_control();
    if token.is_empty() || token.chars().count() > TOKEN_CHARACTERS || token.contains(spaces) {
        let rule = format!("must be 1 to {TOKEN_CHARACTERS} characters without spaces");
        check.broken("new_token", rule);
    }
    let (portal, code) = check.done(portal.zip(code))?;
    let name = (arrival.bot(portal, &code)?, code);
    Ok((name, SecretString::from(token)))
}

/// A page of a portal's bots.
pub(in crate::grpc) fn list(
    arrival: &mut Arrival<'_>,
    request: &pb::ListBotsRequest,
) -> Result<(PortalId, Page), Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let page = Page::parse(&mut check, request.page_size, &request.page_token);
    let (portal, page) = check.done(portal.zip(page))?;
    Ok((arrival.portal(portal)?, page))
}

pub(in crate::grpc) fn registration(
    arrival: &mut Arrival<'_>,
    request: pb::RegisterBotRequest,
) -> Result<Registration, Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let code = check.parsed("bot_code", &request.bot_code);
    let properties = properties(&mut check, request.properties.unwrap_or_default());
    if properties
        .name
        .as_deref()
        .unwrap_or_default()
        .trim()
        .is_empty()
    {
        check.broken("properties.name", "is needed");
    }
    let kind = match check.known("type", request.r#type) {
        None | Some(pb::BotType::Unspecified) => None,
        Some(pb::BotType::Bot) => Some("bot"),
        Some(pb::BotType::Supervisor) => Some("supervisor"),
        Some(pb::BotType::Personal) => Some("personal"),
        Some(pb::BotType::Openline) => Some("openline"),
    };
    let if_exists = if_exists(&mut check, request.if_exists);
    let adopt = request.adopt.map(|adopt| adoption(&mut check, adopt));
    let settings = Settings {
        is_hidden: request.is_hidden,
        is_reactions_enabled: request.is_reactions_enabled,
        is_support_openline: request.is_support_openline,
        background: background(&mut check, request.background),
        event_mode: event_mode(&mut check, request.event_mode),
    };
    let (portal, code) = check.done(portal.zip(code))?;
    Ok(Registration {
        portal: arrival.new_bot(portal, &code)?,
        code,
        owner: arrival.caller.grant(),
        properties,
        kind,
        settings,
        if_exists,
        adopt,
    })
}

pub(in crate::grpc) fn update(
    arrival: &mut Arrival<'_>,
    request: pb::UpdateBotRequest,
) -> Result<(Name, Properties, Settings), Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let code = check.parsed("bot_code", &request.bot_code);
    let properties = properties(&mut check, request.properties.unwrap_or_default());
    if properties
        .name
        .as_deref()
        .is_some_and(|name| name.trim().is_empty())
    {
        check.broken(
            "properties.name",
            "must not be empty: Bitrix24 would ignore it",
        );
    }
    let settings = Settings {
        is_hidden: request.is_hidden,
        is_reactions_enabled: request.is_reactions_enabled,
        is_support_openline: request.is_support_openline,
        background: background(&mut check, request.background),
        event_mode: event_mode(&mut check, request.event_mode),
    };
    if properties.is_empty() && settings.is_empty() {
        check.broken(
            "properties",
            "nothing is to be changed: give at least one field",
        );
    }
    let (portal, code) = check.done(portal.zip(code))?;
    Ok(((arrival.bot(portal, &code)?, code), properties, settings))
}

pub(super) fn if_exists(check: &mut Check, number: i32) -> IfExists {
    match check.known("if_exists", number) {
        Some(pb::IfExists::Converge) => IfExists::Converge,
        None | Some(pb::IfExists::Unspecified | pb::IfExists::Return) => IfExists::Return,
    }
}

fn properties(check: &mut Check, properties: pb::BotProperties) -> Properties {
    for (field, text) in [
        ("properties.name", &properties.name),
        ("properties.last_name", &properties.last_name),
        ("properties.work_position", &properties.work_position),
    ] {
        check.at_most(field, text.as_deref().unwrap_or_default(), NAME_CHARACTERS);
    }
    if let Some(avatar) = &properties.avatar
        && (avatar.is_empty() || avatar.len() > AVATAR_BYTES)
    {
        let rule = format!("must be 1 to {AVATAR_BYTES} bytes, has {}", avatar.len());
        check.broken("properties.avatar", rule);
    }
    let gender = match check.known("properties.gender", properties.gender) {
        None | Some(pb::Gender::Unspecified) => None,
        Some(pb::Gender::Male) => Some("M"),
        Some(pb::Gender::Female) => Some("F"),
    };
    let color = check
        .known("properties.color", properties.color)
        .and_then(color);
    Properties {
        name: properties.name,
        last_name: properties.last_name,
        work_position: properties.work_position,
        color,
        gender,
        avatar: properties.avatar.map(Into::into),
    }
}

fn color(color: pb::BotColor) -> Option<Color> {
    use pb::BotColor as C;
    let (code, hex) = match color {
        C::Unspecified => return None,
        C::Red => ("red", "#df532d"),
        C::Green => ("green", "#64a513"),
        C::Mint => ("mint", "#4ba984"),
        C::LightBlue => ("lightBlue", "#4ba5c3"),
        C::DarkBlue => ("darkBlue", "#3e99ce"),
        C::Purple => ("purple", "#8474c8"),
        C::Aqua => ("aqua", "#1eb4aa"),
        C::Pink => ("pink", "#f76187"),
        C::Lime => ("lime", "#58cc47"),
        C::Brown => ("brown", "#ab7761"),
        C::Azure => ("azure", "#29619b"),
        C::Khaki => ("khaki", "#728f7a"),
        C::Sand => ("sand", "#ba9c7b"),
        C::Marengo => ("marengo", "#556574"),
        C::Gray => ("gray", "#909090"),
        C::Graphite => ("graphite", "#5e5f5e"),
    };
    Some(Color { code, hex })
}

fn background(check: &mut Check, number: i32) -> Option<&'static str> {
    use pb::BotBackground as B;
    Some(match check.known("background", number)? {
        B::Unspecified => return None,
        B::None => "",
        B::Azure => "azure",
        B::Mint => "mint",
        B::Steel => "steel",
        B::Slate => "slate",
        B::Teal => "teal",
        B::Cornflower => "cornflower",
        B::Sky => "sky",
        B::Peach => "peach",
        B::Frost => "frost",
    })
}

fn event_mode(check: &mut Check, number: i32) -> Option<EventMode> {
    match check.known("event_mode", number)? {
        pb::EventMode::Unspecified => None,
        pb::EventMode::Fetch => Some(EventMode::Fetch),
        pb::EventMode::Webhook => Some(EventMode::Webhook),
    }
}

fn adoption(check: &mut Check, adopt: pb::BotAdoption) -> Adoption {
    let token = &adopt.bot_token;
    let characters = token.chars().count();
    if characters == 0 || characters > TOKEN_CHARACTERS || token.trim() != token {
        let rule =
            format!("must be 1 to {TOKEN_CHARACTERS} characters without spaces at either end");
        check.broken("adopt.bot_token", rule);
    }
    if adopt.after_portal_event_id < 0 {
        check.broken("adopt.after_portal_event_id", "must not be negative");
    }
    let start = match check.known("adopt.start", adopt.start) {
        None | Some(pb::AdoptionStart::Unspecified | pb::AdoptionStart::Now) => AdoptionStart::Now,
        Some(pb::AdoptionStart::AfterEvent) => AdoptionStart::After(adopt.after_portal_event_id),
        Some(pb::AdoptionStart::EverythingHeld) => AdoptionStart::EverythingHeld,
    };
    if adopt.after_portal_event_id != 0 && !matches!(start, AdoptionStart::After(_)) {
        check.broken(
            "adopt.after_portal_event_id",
            "is of use only with ADOPTION_START_AFTER_EVENT",
        );
    }
    Adoption {
        token: SecretString::from(adopt.bot_token),
        start,
        rotate: adopt.rotate_token,
    }
}

pub(super) fn outcome(outcome: Outcome) -> i32 {
    let outcome = match outcome {
        Outcome::Created => pb::RegistrationOutcome::Created,
        Outcome::Unchanged => pb::RegistrationOutcome::Unchanged,
        Outcome::Updated => pb::RegistrationOutcome::Updated,
        Outcome::Differs => pb::RegistrationOutcome::Differs,
    };
    outcome.into()
}

pub(in crate::grpc) fn registered(registered: Registered) -> pb::RegisterBotResponse {
    pb::RegisterBotResponse {
        bot: Some(entity::bot(registered.bot)),
        user: registered.user.map(entity::user),
        outcome: outcome(registered.outcome),
        unapplied_fields: registered
            .unapplied
            .into_iter()
            .map(str::to_owned)
            .collect(),
    }
}

pub(in crate::grpc) fn updated(updated: Updated) -> pb::UpdateBotResponse {
    pb::UpdateBotResponse {
        bot: Some(entity::bot(updated.bot)),
        user: updated.user.map(entity::user),
    }
}

pub(in crate::grpc) fn got(
    bot: wire::Bot,
    user: Option<wire::User>,
    status: pb::BotStatus,
) -> pb::GetBotResponse {
    pb::GetBotResponse {
        bot: Some(entity::bot(bot)),
        user: user.map(entity::user),
        status: status.into(),
    }
}

pub(in crate::grpc) fn listed(bots: &Bots, bot: &store::Bot) -> pb::RegisteredBot {
    pb::RegisteredBot {
        bot_code: bot.code.to_string(),
        bot_id: bot.bot_id.unwrap_or_default(),
        status: status(bots, bot).into(),
        event_mode: match bot.event_mode {
            EventMode::Fetch => pb::EventMode::Fetch.into(),
            EventMode::Webhook => pb::EventMode::Webhook.into(),
        },
    }
}

/// How we are doing with a bot.
pub(in crate::grpc) fn status(bots: &Bots, bot: &store::Bot) -> pb::BotStatus {
    match bot.state {
        BotState::Active if bots.is_suspected(&bot.portal, &bot.code) => {
            pb::BotStatus::ForeignReaderSuspected
        }
        BotState::Pending => pb::BotStatus::Pending,
        BotState::Active => pb::BotStatus::Active,
        BotState::Gone => pb::BotStatus::Gone,
        BotState::Foreign => pb::BotStatus::TokenRejected,
    }
}
