//! Who is there, what they talk about, and what can be typed: everything around the conversation.

use std::time::Duration;

use serde_json::{Value, json};

use super::label::label;
use crate::clock::UnixTime;
use crate::journal::Effect;
use crate::limits::Limits;
use crate::state::{Chat, DialogId, State};

/// Who looks, at which dialog, in which language.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    pub(super) user: i64,
    /// `chatN`, or the id of the other person or bot.
    pub(super) dialog: String,
    pub(super) language: String,
}

impl Viewer {
    /// The chat that is looked at; a private dialog in which nobody wrote is none yet.
    pub(super) fn chat<'a>(&self, state: &'a State) -> Option<&'a Chat> {
        let id = match DialogId::parse(&self.dialog)? {
            DialogId::Chat(id) => id,
            DialogId::Person(other) => {
                let pair = (self.user.min(other), self.user.max(other));
                *state.private_chats.get(&pair)?
            }
        };
        state.chats.get(&id).filter(|chat| chat.has(self.user))
    }
}

pub(super) fn name(state: &State, user_id: i64) -> String {
    match state.users.get(&user_id) {
        Some(user) => label(&user.full_name()),
        None if user_id == 0 => "System".to_owned(),
        None => format!("user {user_id}"),
    }
}

/// The portal as somebody in it sees it, and how it is switched.
pub(super) fn world(state: &State, viewer: &Viewer) -> Value {
    let people = state.users.values().filter(|user| user.active && !user.bot);
    let people = people.map(|user| {
        json!({
            "id": user.id,
            "name": label(&user.full_name()),
            "position": label(&user.work_position),
            "guest": user.extranet,
        })
    });
    let bots = state.bots.values().filter(|bot| !bot.is_builtin());
    let in_chat = viewer.chat(state);
    let bots = bots.map(|bot| {
        json!({
            "id": bot.id,
            "code": label(&bot.code),
            "name": name(state, bot.id),
            "mode": bot.event_mode.name(),
            "here": in_chat.is_some_and(|chat| chat.has(bot.id)),
        })
    });
    let groups = state
        .chats
        .values()
        .filter(|chat| !chat.private && chat.has(viewer.user));
    let groups = groups.map(|chat| {
        let members = chat.members.iter().map(|member| name(state, *member));
        json!({
            "dialog": format!("chat{}", chat.id),
            "title": label(&chat.title),
            "members": members.collect::<Vec<_>>(),
        })
    });
    json!({
        "address": state.identity.domain,
        "people": people.collect::<Vec<_>>(),
        "bots": bots.collect::<Vec<_>>(),
        "groups": groups.collect::<Vec<_>>(),
        "commands": commands(state, viewer),
        "languages": languages(state),
        "switches": switches(state),
    })
}

/// The commands that would be heard from here, as the messenger offers them.
fn commands(state: &State, viewer: &Viewer) -> Vec<Value> {
    let chat = viewer.chat(state);
    let guest = state
        .users
        .get(&viewer.user)
        .is_some_and(|user| user.extranet);
    let other = match DialogId::parse(&viewer.dialog) {
        Some(DialogId::Person(other)) => Some(other),
        _ => None,
    };
    let offered = state.commands.values().filter(|command| {
        let inside = chat.is_some_and(|chat| chat.has(command.bot_id));
        let reached = command.common || inside || other == Some(command.bot_id);
        reached && !command.hidden && (command.extranet_support || !guest)
    });
    let shown = offered.map(|command| {
        let (title, hint) = command.shown_in(&viewer.language);
        json!({
            "name": label(&command.name),
            "title": label(title),
            "hint": label(hint),
            "bot": name(state, command.bot_id),
        })
    });
    shown.collect()
}

/// Languages in which some command has a title, and that of the portal.
fn languages(state: &State) -> Vec<String> {
    let titles = state
        .commands
        .values()
        .flat_map(|command| command.titles.keys());
    let mut all: Vec<String> = titles.map(|language| label(language)).collect();
    all.push(label(&state.language));
    all.push("en".to_owned());
    all.sort_unstable();
    all.dedup();
    all
}

fn switches(state: &State) -> Value {
    let latency = u64::try_from(state.latency().as_millis()).unwrap_or(u64::MAX);
    json!({
        "faults": state.faults.waiting(),
        "latency_ms": latency,
        "condition": state.condition,
        "late_answers_are_dropped": state.quirks.late_answers_are_dropped,
        "threshold": state.limits.threshold,
        "drain_per_second": state.limits.drain_per_second,
    })
}

/// What is left of the limits, and until when bots may answer here. It changes by itself.
pub(super) fn level(state: &mut State, viewer: &Viewer, now: UnixTime) -> Value {
    let Limits {
        threshold,
        drain_per_second,
        operating_limit,
        ..
    } = state.limits;
    let filled = state
        .buckets
        .values()
        .map(|bucket| bucket.level(&state.limits, now));
    let sums = state.operating.iter_mut().map(|((_, method), sum)| {
        let banned = !sum.admits(&state.limits, now);
        (*method, sum.sum(now), banned)
    });
    let mut sums: Vec<_> = sums
        .filter(|(_, sum, banned)| *sum > 0.0 || *banned)
        .collect();
    sums.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(other.0)));
    sums.truncate(MOST_METHODS);
    let methods = sums.into_iter().map(|(method, sum, banned)| {
        let sum = (sum * 10.0).round() / 10.0;
        json!({"method": method, "seconds": sum, "banned": banned})
    });
    let chat = viewer.chat(state).map(|chat| chat.id);
    let windows = state
        .answer_windows
        .iter()
        .filter(|((_, at), _)| Some(*at) == chat);
    let mut windows: Vec<_> = windows
        .map(|((bot, _), until)| (*bot, until.saturating_sub(now)))
        .filter(|(bot, _)| state.bots.contains_key(bot))
        .collect();
    windows.sort_unstable();
    let windows = windows
        .into_iter()
        .map(|(bot, left)| json!({"bot": name(state, bot), "left": Duration::as_secs(&left)}));
    let busy = busy(state, chat, now);
    json!({
        "busy": busy.map(|(bot, doing)| json!({"bot": name(state, bot), "doing": doing})),
        "now": now.as_secs(),
        "requests": filled.fold(0.0, f64::max),
        "threshold": threshold,
        "drain": drain_per_second,
        "methods": methods.collect::<Vec<_>>(),
        "operating_limit": operating_limit.as_secs(),
        "windows": windows.collect::<Vec<_>>(),
    })
}

/// Methods whose execution time is shown.
const MOST_METHODS: usize = 4;
/// How long a bot counts as busy after it said so.
const BUSY_FOR: Duration = Duration::from_secs(10);
/// Effects among which that is looked for.
const MOST_EFFECTS: usize = 50;

/// The bot that shows a chat that it is busy, and with what, unless it wrote since.
fn busy(state: &State, chat: Option<i64>, now: UnixTime) -> Option<(i64, String)> {
    let effects = state.journal.effects.iter().rev().take(MOST_EFFECTS);
    for (at, effect) in effects.take_while(|(at, _)| now.saturating_sub(*at) < BUSY_FOR) {
        match effect {
            Effect::MessagePosted { chat_id, .. } if Some(*chat_id) == chat => return None,
            Effect::ActionShown {
                bot_id,
                chat_id,
                code,
            } if Some(*chat_id) == chat && *at <= now => {
                let code = code.as_deref().unwrap_or("IMBOT_AGENT_ACTION_TYPING");
                let doing = code.strip_prefix("IMBOT_AGENT_ACTION_").unwrap_or(code);
                return Some((*bot_id, label(&doing.replace('_', " ").to_lowercase())));
            }
            _ => {}
        }
    }
    None
}
