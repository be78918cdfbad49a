//! What made the conversation: calls, posted events, and what happened in the portal.

use serde_json::{Value, json};

use super::label::{label, quote};
use super::mask::Mask;
use super::people::name;
use crate::delivery::Delivery;
use crate::journal::{Effect, Encoding, Entry};
use crate::php;
use crate::state::State;

/// Entries of a kind that a page is told at most at once.
const MOST: u64 = 200;
/// Characters of a request or an answer that are shown.
const MOST_SHOWN: usize = 60_000;
/// Characters of a message that is told of.
const MOST_QUOTED: usize = 80;

/// Where a page stands in the three records.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) calls: u64,
    pub(super) effects: u64,
    pub(super) deliveries: u64,
}

/// What was recorded since, oldest first; the place moves on.
pub(super) fn since(state: &State, place: &mut Place) -> Vec<Value> {
    let record = &state.journal;
    let from = |place: u64, next: u64| place.max(next.saturating_sub(MOST));
    let calls = record
        .requests
        .since(from(place.calls, record.requests.next()));
    let calls = calls.map(|(number, entry)| (entry.at, call(number, entry)));
    let effects = record
        .effects
        .since(from(place.effects, record.effects.next()));
    let effects = effects.filter_map(|(number, (at, effect))| {
        let (text, quiet) = told(state, effect)?;
        let id = format!("effect-{number}");
        let shown =
            json!({"id": id, "is": "effect", "at": at.as_secs_f64(), "text": text, "quiet": quiet});
        Some((*at, shown))
    });
    let sent = record
        .deliveries
        .since(from(place.deliveries, record.deliveries.next()));
    let sent = sent.map(|(number, delivery)| (delivery.at, posted(number, delivery)));
    let mut all: Vec<_> = calls.chain(effects).chain(sent).collect();
    all.sort_by_key(|(at, _)| *at);
    *place = Place {
        calls: record.requests.next(),
        effects: record.effects.next(),
        deliveries: record.deliveries.next(),
    };
    all.into_iter().map(|(_, shown)| shown).collect()
}

fn call(number: u64, entry: &Entry) -> Value {
    let request = entry.read();
    let took = u64::try_from(request.took.as_millis()).unwrap_or(u64::MAX);
    json!({
        "id": format!("call-{number}"),
        "is": "call",
        "at": request.at.as_secs_f64(),
        "method": label(&request.method),
        "status": request.status,
        "error": request.error().map(|code| label(&code)),
        "took_ms": took,
        "batch": request.batch,
        "carries": request.carries,
        "faulted": request.faulted,
        "executed": request.executed,
        "quiet": is_quiet(&request.method, &request.answer),
    })
}

/// Whether a call only asked for events and there were none.
fn is_quiet(method: &str, answer: &Value) -> bool {
    let result = answer.get("result");
    let empty = |page: &Value| {
        let events = page.get("events").and_then(Value::as_array);
        events.is_some_and(Vec::is_empty)
    };
    if method.eq_ignore_ascii_case("imbot.v2.Event.get") {
        return result.is_some_and(empty);
    }
    let parts = |name: &str| -> Vec<&Value> {
        let part = result.and_then(|result| result.get(name));
        match part {
            Some(Value::Object(map)) => map.values().collect(),
            Some(Value::Array(list)) => list.iter().collect(),
            _ => Vec::new(),
        }
    };
    let pages = parts("result");
    method.eq_ignore_ascii_case("batch")
        && !pages.is_empty()
        && pages.into_iter().all(empty)
        && parts("result_error").is_empty()
}

fn posted(number: u64, delivery: &Delivery) -> Value {
    json!({
        "id": format!("delivery-{number}"),
        "is": "delivery",
        "at": delivery.at.as_secs_f64(),
        "event": label(&delivery.event),
        "status": delivery.status,
        "failure": delivery.failure.as_deref().map(label),
    })
}

/// Request and answer of one entry, as texts without secrets; `None` when it is not kept any more.
pub(super) fn detail(state: &State, id: &str) -> Option<Value> {
    let (kind, number) = id.split_once('-')?;
    let number = number.parse().ok()?;
    let mask = Mask::of(state);
    let pretty =
        |value: &Value| cut(&serde_json::to_string_pretty(&mask.value(value)).unwrap_or_default());
    match kind {
        "call" => {
            let entry = state.journal.requests.get(number)?;
            let request = entry.read();
            let answer = match &request.answer {
                Value::Null => cut(&mask.text(&String::from_utf8_lossy(&entry.answer))),
                answer => pretty(answer),
            };
            let travelled = match request.encoding {
                Encoding::Json => "JSON",
                Encoding::Form => "form",
                Encoding::Query => "query",
                Encoding::BatchEntry => "inside a batch",
            };
            Some(json!({
                "how": format!("{travelled}, {}", request.credential),
                "asked": pretty(&request.params),
                "answered": answer,
            }))
        }
        "delivery" => {
            let delivery = state.journal.deliveries.get(number)?;
            let body = Value::Object(php::parse_form(&delivery.body));
            Some(json!({
                "how": "posted to the address of the bot",
                "asked": pretty(&body),
                "answered": delivery.failure.as_deref().map(label).unwrap_or_default(),
            }))
        }
        _ => None,
    }
}

fn cut(text: &str) -> String {
    let mut rest = text.chars();
    let mut shown: String = rest.by_ref().take(MOST_SHOWN).collect();
    if rest.next().is_some() {
        shown.push_str("\n…");
    }
    shown
}

/// An effect in words, and whether it only follows from others; `None` where a call already says it.
fn told(state: &State, effect: &Effect) -> Option<(String, bool)> {
    let bot = |id: &i64| name(state, *id);
    let loud = |text: String| Some((text, false));
    match effect {
        Effect::BotRegistered { code, .. } => loud(format!("bot {} came to be", label(code))),
        Effect::BotRemoved { bot_id } => loud(format!("bot {} is gone", bot(bot_id))),
        Effect::MessagePosted {
            author_id,
            by_bot,
            text,
            ..
        } => {
            let who = name(state, by_bot.unwrap_or(*author_id));
            loud(format!("{who} wrote: {}", quote(text, MOST_QUOTED)))
        }
        Effect::AnswerDropped { bot_id, .. } => loud(format!(
            "answer of {} dropped: the answer window was over, and the call still says true",
            bot(bot_id)
        )),
        Effect::CommandDispatched {
            bot_id,
            command_id,
            params,
            context,
            ..
        } => {
            let command = state.commands.get(command_id);
            let command = label(command.map_or("", |command| &command.name));
            let params = label(params);
            let who = bot(bot_id);
            loud(format!("/{command} {params} → {who} ({context})"))
        }
        Effect::EventLogged {
            bot_id,
            event_id,
            kind,
        } => loud(format!("event {event_id} {kind} waits for {}", bot(bot_id))),
        Effect::EventSent { bot_id, kind, .. } => {
            loud(format!("event {kind} is posted to {}", bot(bot_id)))
        }
        Effect::EventsAcknowledged { bot_id, count, .. } => Some((
            format!("{count} events of {} acknowledged", bot(bot_id)),
            true,
        )),
        Effect::EventsExpired { bot_id, count } | Effect::EventsDropped { bot_id, count } => {
            loud(format!("{count} events of {} lost", bot(bot_id)))
        }
        Effect::ActionShown { bot_id, code, .. } => {
            let doing = code.as_deref().map_or("typing".into(), label);
            loud(format!("{} shows: {doing}", bot(bot_id)))
        }
        _ => None,
    }
}
