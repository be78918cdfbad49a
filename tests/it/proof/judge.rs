//! What the portal's journal says to what callers were told.

use std::{collections::HashMap, fmt::Write as _};

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::{Effect, Encoding, Request, UnixTime};
use serde_json::Value;

use super::{
    calls::{Act, Outcome},
    run::{Attempt, Notes, World, mark_in},
};

/// A promise that was broken, and the wishes it is about.
pub(super) type Charge = (Vec<usize>, String);

/// Something that took place in the portal.
struct Deed {
    at: UnixTime,
    wish: usize,
}

/// All the evidence.
pub(super) struct Case<'a> {
    notes: &'a Notes,
    requests: Vec<Request>,
    deeds: Vec<Deed>,
    pub(super) charges: Vec<Charge>,
}

impl<'a> Case<'a> {
    pub(super) fn open(world: &World, notes: &'a Notes) -> Self {
        let journal = world.portal.journal();
        assert_eq!(journal.dropped(), 0, "the journal is too small");
        let mut case = Self {
            notes,
            requests: journal.requests(),
            deeds: Vec::new(),
            charges: Vec::new(),
        };
        case.note_effects(&journal.timed_effects());
        case.note_sets();
        case
    }

    /// Holds everything against the promises.
    pub(super) fn hear(&mut self) {
        self.deadlines_are_kept();
        self.nobody_is_told_wrong();
        self.nothing_is_added_twice();
        self.keys_tell_the_same();
        self.nothing_overtakes();
        self.portal_was_never_pressed();
    }

    fn charge(&mut self, wish: usize, what: impl Into<String>) {
        self.charges.push((vec![wish], what.into()));
    }

    fn attempts(&self, wish: usize) -> impl Iterator<Item = &'a Attempt> + use<'a> {
        self.notes
            .attempts
            .iter()
            .filter(move |attempt| attempt.wish == wish)
    }

    fn done(&self, wish: usize) -> impl Iterator<Item = &Deed> {
        self.deeds.iter().filter(move |deed| deed.wish == wish)
    }

    /// Notes a deed whose text must be literally that of the wish whose mark it bears.
    fn note(&mut self, at: UnixTime, text: &str) {
        match mark_in(text) {
            Some(wish)
                if self
                    .notes
                    .wishes
                    .get(wish)
                    .is_some_and(|it| it.text == text) =>
            {
                self.deeds.push(Deed { at, wish });
            }
            wish => {
                let charge = format!("nobody wished the text {text:?}");
                self.charges.push((wish.into_iter().collect(), charge));
            }
        }
    }

    fn note_effects(&mut self, effects: &[(UnixTime, Effect)]) {
        let mut deleted = HashMap::new();
        let mut removed = HashMap::new();
        for (number, wish) in self.notes.wishes.iter().enumerate() {
            match &wish.act {
                Act::Delete(request) => {
                    deleted.insert(request.message_id, number);
                }
                Act::UnregisterCommand(pb::UnregisterCommandRequest {
                    target: Some(pb::unregister_command_request::Target::Command(name)),
                    ..
                }) => {
                    removed.insert(name.clone(), number);
                }
                _ => {}
            }
        }
        let mut names = HashMap::new();
        let mut registered = Vec::new();
        for (at, effect) in effects {
            match effect {
                Effect::MessagePosted {
                    by_bot: Some(_),
                    text,
                    ..
                } => self.note(*at, text),
                Effect::CommandDispatched { params, .. } if !params.is_empty() => {
                    self.note(*at, params);
                }
                Effect::MessageDeleted { message_id } => {
                    let wish = deleted.get(message_id);
                    let wish = *wish.expect("nobody else deletes messages");
                    self.deeds.push(Deed { at: *at, wish });
                }
                Effect::CommandRegistered {
                    command_id,
                    command,
                    ..
                } => {
                    names.insert(*command_id, command.clone());
                    if registered.contains(command) {
                        let charge = format!("command {command} came to be twice");
                        self.charges
                            .push((removed.get(command).copied().into_iter().collect(), charge));
                    }
                    registered.push(command.clone());
                }
                Effect::CommandRemoved { command_id } => {
                    let wish = names.get(command_id).and_then(|name| removed.get(name));
                    let wish = *wish.expect("nobody else removes commands");
                    self.deeds.push(Deed { at: *at, wish });
                }
                _ => {}
            }
        }
    }

    /// What sets a value leaves no text in the list of effects, so the requests are looked at.
    fn note_sets(&mut self) {
        let mut shown = HashMap::new();
        for (number, wish) in self.notes.wishes.iter().enumerate() {
            if let Act::Notify(request) = &wish.act {
                let seconds = request.duration.map(|duration| duration.seconds);
                let mark = (request.dialog_id.clone(), request.action, seconds);
                assert!(shown.insert(mark, number).is_none(), "marks are unique");
            }
        }
        let requests = std::mem::take(&mut self.requests);
        for request in requests.iter().filter(|request| request.executed) {
            let text = match &*request.method {
                "imbot.v2.Chat.Message.update" => &request.params["fields"]["message"],
                "imbot.v2.Bot.update" => &request.params["fields"]["properties"]["workPosition"],
                "imbot.v2.Command.register" | "imbot.v2.Command.update" => {
                    &request.params["fields"]["title"]["en"]
                }
                "imbot.v2.Chat.InputAction.notify" => {
                    let dialog = request.params["dialogId"].as_str().unwrap_or_default();
                    let code = request.params["statusMessageCode"].as_str();
                    let action = code.map_or(0, |code| {
                        let name = code.replace("IMBOT_AGENT_ACTION_", "BOT_ACTION_");
                        pb::BotAction::from_str_name(&name).map_or(-1, Into::into)
                    });
                    let seconds = whole(&request.params["duration"]);
                    match shown.get(&(dialog.to_owned(), action, seconds)) {
                        Some(wish) => self.deeds.push(Deed {
                            at: request.at,
                            wish: *wish,
                        }),
                        None => {
                            let charge = format!("nobody wished {}", request.params);
                            self.charges.push((Vec::new(), charge));
                        }
                    }
                    continue;
                }
                _ => continue,
            };
            self.note(request.at, text.as_str().unwrap_or("no text"));
        }
        self.requests = requests;
    }

    fn deadlines_are_kept(&mut self) {
        for attempt in &self.notes.attempts {
            let took = attempt.ended - attempt.began;
            if took > attempt.patience + super::MARGIN {
                self.charge(attempt.wish, format!("ended after {took:?}"));
            }
            if let Outcome::Mute(what) = &attempt.outcome {
                self.charge(attempt.wish, format!("no word of whether it ran: {what}"));
            }
        }
    }

    fn nobody_is_told_wrong(&mut self) {
        for attempt in &self.notes.attempts {
            let wish = attempt.wish;
            let done_by = |time| self.done(wish).any(|deed| deed.at <= time);
            if attempt.outcome.says_yes() && !done_by(attempt.ended) {
                self.charge(wish, "was said to be done, and is not");
            }
            // Another caller may go on under the same key from this moment.
            if attempt.outcome.says_no() && self.done(wish).any(|deed| deed.at < attempt.ended) {
                self.charge(wish, "was said not to be done, and is");
            }
        }
        for deed in &self.deeds {
            let explains =
                |attempt: &Attempt| attempt.began <= deed.at && !attempt.outcome.says_no();
            if !self.attempts(deed.wish).any(explains) {
                let charge = "was done though each call was told that it did not run";
                self.charges.push((vec![deed.wish], charge.to_owned()));
            }
        }
    }

    fn nothing_is_added_twice(&mut self) {
        let mut keys: HashMap<_, Vec<usize>> = HashMap::new();
        for (number, wish) in self.notes.wishes.iter().enumerate() {
            let times = self.done(number).count();
            if times > 1 && wish.act.adds() {
                self.charge(number, format!("was done {times} times"));
            }
            if let Some(key) = wish.key.as_ref().filter(|_| times > 0) {
                // Keys are apart by RPC.
                let key = (std::mem::discriminant(&wish.act), key);
                keys.entry(key).or_default().push(number);
            }
        }
        for wishes in keys.into_values().filter(|wishes| wishes.len() > 1) {
            self.charge(
                wishes[0],
                format!("shares its key with {wishes:?}, all done"),
            );
        }
    }

    /// A repeat is told what the first call was told, once that is final.
    fn keys_tell_the_same(&mut self) {
        let kept = |outcome: &Outcome| match outcome {
            Outcome::Failed(told) => {
                told.executed == "no"
                    && (told.reason.ends_with("_NOT_FOUND")
                        || ["PORTAL_REFUSED", "ACCESS_DENIED", "METHOD_NOT_SUPPORTED"]
                            .contains(&&*told.reason))
            }
            outcome => outcome.is_ok(),
        };
        for (number, wish) in self.notes.wishes.iter().enumerate() {
            if wish.key.is_none() {
                continue;
            }
            let attempts: Vec<_> = self.attempts(number).collect();
            for first in attempts.iter().filter(|first| kept(&first.outcome)) {
                let later = attempts.iter().filter(|it| it.began > first.ended);
                for later in later.filter(|later| later.outcome != first.outcome) {
                    let (first, later) = (&first.outcome, &later.outcome);
                    self.charge(number, format!("told {first:?}, then {later:?}"));
                }
            }
        }
    }

    /// Of two calls to one object, the one that began after the other had ended comes later, and no
    /// repeat of the other comes after it.
    fn nothing_overtakes(&mut self) {
        let mut orders: HashMap<String, Vec<usize>> = HashMap::new();
        for deed in &self.deeds {
            if let Some(order) = self.notes.wishes[deed.wish].act.order() {
                orders.entry(order).or_default().push(deed.wish);
            }
        }
        let first_began = |wish| self.attempts(wish).map(|it| it.began).min();
        let last_ended = |wish| self.attempts(wish).map(|it| it.ended).max();
        let mut charges = Vec::new();
        for (order, wishes) in orders {
            let times: Vec<_> = wishes
                .iter()
                .map(|wish| (*wish, first_began(*wish), last_ended(*wish)))
                .collect();
            for (index, (early, began, _)) in times.iter().enumerate() {
                for (late, _, ended) in &times[index + 1..] {
                    if ended < began {
                        let charge = format!("took effect before #{late} in {order}");
                        charges.push((vec![*early, *late], charge));
                    }
                }
            }
        }
        self.charges.extend(charges);
    }

    fn portal_was_never_pressed(&mut self) {
        for request in self.requests.iter().filter(|request| !request.faulted) {
            if let Some(code) = request.error().filter(|code| code.contains("LIMIT")) {
                let charge = format!("{} was refused with {code}", request.method);
                self.charges.push((Vec::new(), charge));
            }
        }
    }

    /// Everything known of a wish.
    pub(super) fn history(&self, wish: usize) -> String {
        let mut text = format!("#{wish} {:?}\n", self.notes.wishes[wish]);
        let mut line = |at: UnixTime, what: String| {
            let _written = writeln!(text, "  {:.3} {what}", at.as_secs_f64());
        };
        for attempt in self.attempts(wish) {
            let Attempt {
                caller,
                patience,
                ended,
                outcome,
                ..
            } = attempt;
            let told = format!("caller {caller}, {patience:?}: at {ended:?} told {outcome:?}");
            line(attempt.began, told);
        }
        let mark = format!("<<{wish}>>");
        for request in &self.requests {
            if request.encoding == Encoding::BatchEntry || request.method != "batch" {
                let params = request.params.to_string();
                if params.contains(&mark) {
                    line(
                        request.at,
                        format!(
                            "{} (batch {:?}): executed {}, faulted {}, {} {}",
                            request.method,
                            request.batch,
                            request.executed,
                            request.faulted,
                            request.status,
                            request.answer
                        ),
                    );
                }
            }
        }
        for deed in self.done(wish) {
            line(deed.at, "took place".to_owned());
        }
        text
    }

    /// Times that calls travelled together, and mishaps that were met.
    pub(super) fn travelled(&self) -> (usize, usize) {
        let entries = |it: &&Request| it.encoding == Encoding::BatchEntry;
        let faulted = self.requests.iter().filter(|request| request.faulted);
        (
            self.requests.iter().filter(entries).count(),
            faulted.count(),
        )
    }
}

/// A number, as JSON or as a form writes it.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}
