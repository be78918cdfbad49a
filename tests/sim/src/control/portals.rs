//! Portals: made, described, driven and stopped.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::input::Input;
use super::{Answer, Refused, Request, apps, fault, no_such_verb, people, record, settings};
use crate::config::PortalConfig;
use crate::limits::Limits;
use crate::oauth::OAuth;
use crate::portal::Portal;
use crate::quirks::Quirks;
use crate::sim::Sim;

pub(super) fn overview(sim: &Sim) -> Value {
    let portals = sim.portals();
    json!({
        "version": 1,
        "now": sim.clock().now().as_secs_f64(),
        "oauth": sim.oauth().address(),
        "ca_pem": sim.ca_pem(),
        "portals": portals.iter().map(described).collect::<Vec<_>>(),
    })
}

pub(super) async fn all(sim: &Sim, request: &Request<'_>) -> Answer {
    match *request.method {
        Method::GET => Ok(json!({
            "portals": sim.portals().iter().map(described).collect::<Vec<_>>(),
        })),
        Method::POST => {
            let config = config(&request.input)?;
            let portal = sim.add_portal(config).await;
            // Only a port that is taken keeps a portal from starting.
            let portal = portal.map_err(|error| Refused::field("port", error.to_string()))?;
            Ok(described(&portal))
        }
        _ => Err(no_such_verb(request)),
    }
}

pub(super) async fn one(
    sim: &Sim,
    portal: &Portal,
    rest: &[&str],
    request: &Request<'_>,
) -> Answer {
    match (request.method, rest) {
        (&Method::GET, []) => Ok(described(portal)),
        (&Method::DELETE, []) => {
            sim.remove_portal(portal.number());
            Ok(json!({}))
        }
        (_, ["quirks"]) => settings::quirks(portal, request),
        (_, ["limits"]) => settings::limits(portal, request),
        (_, ["latency"]) => settings::latency(portal, request),
        (_, ["faults"]) => fault::faults(&portal.faults(), request),
        (_, ["journal", rest @ ..]) => record::journal(&portal.journal(), rest, request),
        (_, ["bots", rest @ ..]) => record::bots(portal, rest, request),
        (_, ["messages", rest @ ..]) => record::messages(portal, rest, request),
        (&Method::POST, ["rename"]) => {
            request.input.only(&[])?;
            // A new port of loopback is refused only when none is left.
            let renamed = portal.rename().await;
            renamed.map_err(|error| Refused::field("", error.to_string()))?;
            Ok(described(portal))
        }
        (_, ["condition"]) => settings::condition(portal, request),
        (_, ["deliveries", rest @ ..]) => record::deliveries(portal, rest, request),
        (_, ["applications", rest @ ..]) => apps::applications(portal, rest, request),
        (&Method::POST, ["sign_in"]) => {
            request.input.only(&["user_id"])?;
            portal.sign_in(request.input.id("user_id")?);
            Ok(json!({}))
        }
        (_, ["webhooks"]) => people::webhooks(portal, request),
        (_, ["users", rest @ ..]) => people::users(portal, rest, request),
        (_, ["chats", rest @ ..]) => people::chats(portal, rest, request),
        _ => Err(Refused::absent("path", "there is nothing at this address")),
    }
}

pub(super) fn oauth(oauth: &OAuth, rest: &[&str], request: &Request<'_>) -> Answer {
    match (request.method, rest) {
        (&Method::GET, []) => Ok(json!({"address": oauth.address()})),
        (_, ["quirks"]) => settings::oauth_quirks(oauth, request),
        (_, ["faults"]) => fault::faults(&oauth.faults(), request),
        (_, ["journal", rest @ ..]) => record::journal(&oauth.journal(), rest, request),
        _ => Err(Refused::absent("path", "there is nothing at this address")),
    }
}

pub(super) fn described(portal: &Portal) -> Value {
    json!({
        "portal": portal.number(),
        "address": portal.address(),
        "plain_address": portal.plain_address(),
        "member_id": portal.member_id(),
        "webhook_url": portal.webhook_url(),
        "user_id": 1,
    })
}

fn config(input: &Input<'_>) -> Result<PortalConfig, Refused> {
    input.only(&[
        "port",
        "member_id",
        "domain",
        "license",
        "language",
        "utc_offset_minutes",
        "revision",
        "owner",
        "webhook_code",
        "scopes",
        "limits",
        "quirks",
    ])?;
    let mut config = PortalConfig::default();
    if let Some(port) = input.count("port")? {
        let port = u16::try_from(port);
        config.port = port.map_err(|_| Refused::field("port", "has to be below 65536"))?;
    }
    let text = |name| {
        input
            .optional_text(name)
            .map(|text| text.map(ToOwned::to_owned))
    };
    config.member_id = text("member_id")?;
    config.domain = text("domain")?;
    config.license = text("license")?.unwrap_or(config.license);
    if let Some(language) = input.optional_text("language")? {
        config.language = language.to_owned();
    }
    if let Some(offset) = input.optional_id("utc_offset_minutes")? {
        let offset = i32::try_from(offset).ok().filter(|o| o.abs() <= 1_440);
        config.utc_offset_minutes =
            offset.ok_or_else(|| Refused::field("utc_offset_minutes", "has to be within a day"))?;
    }
    if input.get("revision").is_some() {
        let four = || Refused::field("revision", "has to be four numbers");
        let numbers = input.ids("revision")?.into_iter();
        let numbers: Result<Vec<u32>, _> = numbers.map(u32::try_from).collect();
        config.revision = numbers
            .map_err(|_| four())?
            .try_into()
            .map_err(|_| four())?;
    }
    if let Some(owner) = input.object("owner")? {
        config.owner = people::person(&owner)?;
        config.owner.admin = owner.flag("admin")?.unwrap_or(true);
    }
    if let Some(code) = input.optional_text("webhook_code")? {
        config.webhook_code = code_of(code)?.to_owned();
    }
    if let Some(scopes) = input.texts("scopes")? {
        config.scopes = scopes;
    }
    config.limits = limits(input)?;
    config.quirks = quirks(input)?;
    Ok(config)
}

/// A code of a webhook has to stand in an address.
pub(super) fn code_of(code: &str) -> Result<&str, Refused> {
    let fits = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits {
        Ok(code)
    } else {
        Err(Refused::field("code", "has to be letters and digits"))
    }
}

/// `"default"`, `"none"`, `"enterprise"`, or changes to the default.
fn limits(input: &Input<'_>) -> Result<Limits, Refused> {
    match input.get("limits") {
        None => Ok(Limits::default()),
        Some(Value::String(name)) => match name.as_str() {
            "default" => Ok(Limits::default()),
            "none" => Ok(Limits::none()),
            "enterprise" => Ok(Limits::enterprise()),
            _ => Err(Refused::field("limits", "has no such preset")),
        },
        Some(Value::Object(changes)) => settings::changed(&Limits::default(), changes),
        Some(_) => Err(Refused::field("limits", "has to be a preset or an object")),
    }
}

/// `"default"`, `"documented"`, or changes to the default.
fn quirks(input: &Input<'_>) -> Result<Quirks, Refused> {
    let none = Map::new();
    match input.get("quirks") {
        None => Ok(Quirks::default()),
        Some(Value::String(name)) => match name.as_str() {
            "default" => settings::changed(&Quirks::default(), &none),
            "documented" => Ok(Quirks::documented()),
            _ => Err(Refused::field("quirks", "has no such preset")),
        },
        Some(Value::Object(changes)) => settings::changed(&Quirks::default(), changes),
        Some(_) => Err(Refused::field("quirks", "has to be a preset or an object")),
    }
}
