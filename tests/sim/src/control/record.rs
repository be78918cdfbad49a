//! What there is and what happened: messages, bots, commands, events, the journal.

use hyper::Method;
use serde_json::{Value, json};

use super::settings::written;
use super::{Answer, Refused, Request, no_such_verb};
use crate::journal::Journal;
use crate::portal::Portal;

/// More copies of one delivery are no test of anything.
const MOST_COPIES: usize = 100;

pub(super) fn messages(portal: &Portal, rest: &[&str], request: &Request<'_>) -> Answer {
    if !request.is(&Method::GET) {
        return Err(no_such_verb(request));
    }
    match rest {
        [] => {
            request.query.only(&["dialog"])?;
            let dialog = request.query.text("dialog")?;
            Ok(json!({"messages": written(&portal.messages(dialog))}))
        }
        [id] => {
            let message = id.parse().ok().and_then(|id| portal.message(id));
            let message = message.ok_or_else(|| Refused::absent("message", "does not exist"))?;
            Ok(written(&message))
        }
        _ => Err(Refused::absent("path", "there is nothing at this address")),
    }
}

pub(super) fn bots(portal: &Portal, rest: &[&str], request: &Request<'_>) -> Answer {
    let absent = || Refused::absent("bot", "does not exist");
    if let ([], &Method::GET) = (rest, request.method) {
        return Ok(json!({"bots": written(&portal.bots())}));
    }
    let [id, rest @ ..] = rest else {
        return Err(no_such_verb(request));
    };
    let id: i64 = id.parse().map_err(|_| absent())?;
    let bot = portal.bots().into_iter().find(|bot| bot.id == id);
    let bot = bot.ok_or_else(absent)?;
    match (request.method, rest) {
        (&Method::GET, []) => Ok(written(&bot)),
        (&Method::DELETE, []) => {
            portal.remove_bot(id);
            Ok(json!({}))
        }
        (&Method::GET, ["commands"]) => Ok(json!({"commands": written(&portal.commands(id))})),
        (&Method::GET, ["events"]) => Ok(json!({"event_ids": portal.pending_events(id)})),
        _ => Err(Refused::absent("path", "there is nothing at this address")),
    }
}

pub(super) fn journal(journal: &Journal, rest: &[&str], request: &Request<'_>) -> Answer {
    match (request.method, rest) {
        (&Method::GET, []) => Ok(json!({
            "arrivals": journal.arrivals(),
            "dropped": journal.dropped(),
        })),
        (&Method::DELETE, []) => {
            journal.clear();
            Ok(json!({}))
        }
        (&Method::GET, ["requests"]) => {
            request.query.only(&["method"])?;
            let requests = match request.query.optional_text("method")? {
                Some(method) => journal.calls(method),
                None => journal.requests(),
            };
            Ok(json!({"requests": written(&requests)}))
        }
        (&Method::GET, ["effects"]) => {
            let effects = journal.timed_effects().into_iter().map(|(at, effect)| {
                let mut effect = written(&effect);
                if let Value::Object(members) = &mut effect {
                    members.insert("at".into(), at.as_secs_f64().into());
                }
                effect
            });
            Ok(json!({"effects": effects.collect::<Vec<_>>()}))
        }
        _ => Err(Refused::absent("path", "there is nothing at this address")),
    }
}

pub(super) fn deliveries(portal: &Portal, rest: &[&str], request: &Request<'_>) -> Answer {
    match (request.method, rest) {
        (&Method::GET, []) => Ok(json!({"deliveries": written(&portal.journal().deliveries())})),
        (&Method::GET, ["subscriptions"]) => {
            let all = portal.subscriptions().into_iter();
            let all = all.map(|(bot_id, url)| json!({"bot_id": bot_id, "url": url}));
            Ok(json!({"subscriptions": all.collect::<Vec<_>>()}))
        }
        (&Method::POST, ["hold"]) => {
            portal.hold_deliveries();
            Ok(json!({}))
        }
        (&Method::POST, ["release"]) => {
            request.input.only(&["reversed", "copies"])?;
            let copies = request.input.count("copies")?.unwrap_or(1);
            let few = usize::try_from(copies)
                .ok()
                .filter(|copies| *copies <= MOST_COPIES);
            let copies = few.ok_or_else(|| Refused::field("copies", "has to be 100 at most"))?;
            let reversed = request.input.flag("reversed")?.unwrap_or(false);
            portal.release_deliveries(reversed, copies);
            Ok(json!({}))
        }
        _ => Err(Refused::absent("path", "there is nothing at this address")),
    }
}
