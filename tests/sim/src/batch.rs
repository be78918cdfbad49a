//! Many calls in one request (C6).
//!
//! Commands are strings, run one after another in the order they were sent, under the credential
//! of the outer call. Any string value may refer to what earlier commands gave; nothing escapes
//! such a reference.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::core::Call;
use crate::failure::Failure;
use crate::fault::{Fault, FaultKind, When};
use crate::journal::{Encoding, Entry, Shown};
use crate::methods::Method;
use crate::params::Params;
use crate::php;
use crate::state::State;

/// Commands beyond this many are refused.
const MOST_COMMANDS: usize = 50;

/// How much one command may take from earlier ones, in bytes of JSON. A command that asks for more
/// runs out of memory: references double what they refer to.
const MOST_TAKEN: usize = 4 << 20;
/// How deep the parameters of a command may be nested.
const DEEPEST: usize = 128;

/// What the commands gave so far, by key.
#[derive(Debug, Default)]
struct Given {
    result: Vec<(String, Value)>,
    error: Vec<(String, Value)>,
    time: Vec<(String, Value)>,
}

/// How long the commands of a batch run, together.
pub(crate) fn latency(state: &State, params: &Params) -> Duration {
    let commands = params.cmd_order.iter().take(MOST_COMMANDS);
    let texts = commands.filter_map(|key| command_text(params, key));
    texts
        .map(|text| state.latency_of(text.split('?').next().unwrap_or(text)))
        .sum()
}

/// Runs the commands of `call`.
pub(crate) fn run(state: &mut State, call: &Call<'_>) -> Value {
    let batch = state.journal.next_batch();
    let halt = call
        .params
        .fields()
        .get("halt")
        .is_some_and(|halt| match halt {
            Value::Number(number) => number.as_i64() != Some(0),
            other => php::truth(other),
        });
    let mut given = Given::default();
    for (index, key) in call.params.cmd_order.iter().enumerate() {
        // Whatever is no string is passed over in silence.
        let Some(text) = command_text(call.params, key) else {
            continue;
        };
        let outcome = if index < MOST_COMMANDS {
            entry(state, call, text, &given, batch)
        } else {
            Err(Failure::core(
                400,
                "ERROR_BATCH_LENGTH_EXCEEDED",
                "Max batch length exceeded",
            ))
        };
        match outcome {
            Ok((result, time)) => {
                given.result.push((key.clone(), result));
                given.time.extend(time.map(|time| (key.clone(), time)));
            }
            Err(failure) => {
                given.error.push((key.clone(), failure.body(&state.quirks)));
                if halt {
                    break;
                }
            }
        }
    }
    json!({
        "result": written(state, given.result),
        "result_error": written(state, given.error),
        "result_total": written(state, Vec::new()),
        "result_next": written(state, Vec::new()),
        "result_time": written(state, given.time),
    })
}

fn command_text<'a>(params: &'a Params, key: &str) -> Option<&'a str> {
    let cmd = params.map.get("cmd")?;
    let value = match cmd {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    };
    value.and_then(Value::as_str)
}

fn entry(state: &mut State, outer: &Call<'_>, text: &str, given: &Given, batch: u64) -> Outcome {
    let (name, query) = text.split_once('?').unwrap_or((text, ""));
    let name = name.trim();
    let taking = Taking {
        given,
        left: Cell::new(MOST_TAKEN),
    };
    let map = php::parse_form(query).into_iter();
    let map = map
        .map(|(key, value)| (key, substituted(value, &taking)))
        .collect();
    let params = Value::Object(map);
    if taking.left.get() == 0 || !php::is_shallow(&params, DEEPEST) {
        let description = "Allowed memory size exhausted";
        return Err(Failure::core(500, "INTERNAL_SERVER_ERROR", description));
    }
    let Value::Object(map) = params else {
        return Err(Failure::core(500, "INTERNAL_SERVER_ERROR", ""));
    };
    let params = Params::of_entry(map);
    let call = Call {
        params: &params,
        ..*outer
    };
    let Performed {
        outcome,
        executed,
        faulted,
    } = perform(state, &call, name);
    let (status, answer) = match &outcome {
        Ok((result, _)) => (200, json!({"result": result})),
        Err(failure) => (failure.status(&state.quirks), failure.body(&state.quirks)),
    };
    state.journal.request(Entry {
        at: outer.now,
        method: name.to_owned(),
        params: params.map,
        encoding: Encoding::BatchEntry,
        traceparent: None,
        shown: Shown::OuterCall,
        status,
        answer: answer.to_string().into(),
        batch: Some(batch),
        carries: None,
        took: state.latency_of(name),
        executed,
        faulted,
    });
    outcome
}

/// What a command gave: its result and its time.
type Outcome = Result<(Value, Option<Value>), Failure>;

/// What became of a command.
struct Performed {
    outcome: Outcome,
    executed: bool,
    faulted: bool,
}

fn perform(state: &mut State, call: &Call<'_>, name: &str) -> Performed {
    let Some(Fault {
        kind:
            FaultKind::Error {
                status,
                code,
                description,
            },
        when,
        ..
    }) = state.faults.meet_entry(name)
    else {
        let (outcome, executed) = checked(state, call, name);
        return Performed {
            outcome,
            executed,
            faulted: false,
        };
    };
    // Its own answer is lost; only what it changed remains.
    let executed = when == When::After && checked(state, call, name).1;
    let outcome = Err(Failure::injected(status, code, description));
    Performed {
        outcome,
        executed,
        faulted: true,
    }
}

/// Runs a command if it is admitted; whether its method ran comes along.
fn checked(state: &mut State, call: &Call<'_>, name: &str) -> (Outcome, bool) {
    let method = match admitted(state, call, name) {
        Ok(method) => method,
        Err(failure) => return (Err(failure), false),
    };
    let result = (method.run)(state, call);
    let started = call.now.saturating_sub(state.latency_of(method.name));
    let time = state.settle(method, call.credential, started, call.now);
    (result.map(|result| (result, time)), true)
}

fn admitted(state: &mut State, call: &Call<'_>, name: &str) -> Result<&'static Method, Failure> {
    let method = state.find(name, call.credential)?;
    if method.is_batch() {
        let description = "Method is not allowed for batch usage";
        return Err(Failure::core(
            405,
            "ERROR_BATCH_METHOD_NOT_ALLOWED",
            description,
        ));
    }
    state.check_confirmation(call.credential, method.name)?;
    state.check_operating(call.credential, method, call.now)?;
    Ok(method)
}

/// A map as PHP writes it: keys 0..n make a list, and no keys at all too.
fn written(state: &State, members: Vec<(String, Value)>) -> Value {
    let is_list = members
        .iter()
        .enumerate()
        .all(|(index, (key, _))| *key == index.to_string());
    if is_list && !members.is_empty() {
        return members.into_iter().map(|(_, value)| value).collect();
    }
    state.written_map(members.into_iter().collect::<Map<_, _>>())
}

/// What a command takes from earlier ones.
struct Taking<'a> {
    given: &'a Given,
    /// How much it may still take; at 0 nothing is replaced any more.
    left: Cell<usize>,
}

impl Taking<'_> {
    fn pays_for(&self, value: &Value) -> bool {
        let left = self.left.get().saturating_sub(value.to_string().len());
        self.left.set(left);
        left > 0
    }
}

/// `value` with all references in its strings replaced.
fn substituted(value: Value, given: &Taking<'_>) -> Value {
    match value {
        Value::String(text) => in_text(text, given),
        Value::Array(list) => list
            .into_iter()
            .map(|value| substituted(value, given))
            .collect(),
        Value::Object(map) => {
            let replaced = map
                .into_iter()
                .map(|(key, value)| (key, substituted(value, given)));
            Value::Object(replaced.collect())
        }
        scalar => scalar,
    }
}

fn in_text(text: String, taking: &Taking<'_>) -> Value {
    let mut replaced = String::new();
    let mut rest = text.as_str();
    let mut any = false;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        replaced.push_str(before);
        let found = reference(from, taking.given);
        if let Some((value, length)) = found.filter(|(value, _)| taking.pays_for(value)) {
            if length == text.len() {
                return value;
            }
            replaced.push_str(&php::embedded(&value));
            rest = from.get(length..).unwrap_or_default();
            any = true;
        } else {
            replaced.push('$');
            rest = from.get(1..).unwrap_or_default();
        }
    }
    if !any {
        return Value::String(text);
    }
    replaced.push_str(rest);
    Value::String(replaced)
}

/// The value of the reference at the beginning of `text`, and how long the reference is.
fn reference(text: &str, given: &Given) -> Option<(Value, usize)> {
    let (name, _) = text.strip_prefix('$')?.split_once('[')?;
    let members = match name.to_ascii_lowercase().as_str() {
        "result" => &given.result[..],
        "error" => &given.error,
        "time" => &given.time,
        "next" | "total" => &[],
        _ => return None,
    };
    let members = members
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()));
    let mut found = Value::Object(members.collect());
    let mut stuck = false;
    let mut length = 1 + name.len();
    let mut rest = text.get(length..)?;
    let mut closed = false;
    while let Some((key, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        closed = true;
        length += key.len() + 2;
        rest = after;
        let next = match &found {
            Value::Array(list) => key.parse::<usize>().ok().and_then(|index| list.get(index)),
            other => other.get(key),
        };
        match next.cloned() {
            Some(next) if !stuck => found = next,
            // What leads nowhere stops at the last level found.
            _ => stuck = true,
        }
    }
    closed.then_some((found, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given {
        let bots = json!({"bots": [{"id": 25, "name": "Support"}], "hasNextPage": false});
        Given {
            result: vec![("list".into(), bots)],
            ..Given::default()
        }
    }

    fn replaced(text: &str) -> Value {
        let given = given();
        let taking = Taking {
            given: &given,
            left: Cell::new(MOST_TAKEN),
        };
        in_text(text.to_owned(), &taking)
    }

    #[test]
    fn a_lone_reference_becomes_the_raw_value() {
        assert_eq!(replaced("$result[list][bots][0][id]"), json!(25));
        assert_eq!(replaced("$RESULT[list][hasNextPage]"), json!(false));
    }

    #[test]
    fn references_inside_a_text_become_text() {
        assert_eq!(
            replaced("a $result[list][bots][0][name]!"),
            json!("a Support!")
        );
        assert_eq!(
            replaced("cost 5$ $resulting[x] $result"),
            json!("cost 5$ $resulting[x] $result")
        );
        assert_eq!(replaced("x$result[list][bots]"), json!("xArray"));
    }

    #[test]
    fn a_path_that_leads_nowhere_stops_at_the_last_level() {
        assert_eq!(replaced("$result[list][bots][0][id][x]"), json!(25));
        assert_eq!(replaced("$result[list][nothing][id]"), given().result[0].1);
        assert_eq!(replaced("$total[list]"), json!({}));
    }
}
