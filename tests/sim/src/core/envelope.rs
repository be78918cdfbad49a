//! What stands around a result: its time, its error, its spelling (C3, C10).

use serde_json::{Value, json};

use super::Reply;
use crate::clock::UnixTime;
use crate::failure::Failure;
use crate::limits::OperatingRule;
use crate::methods::Method;
use crate::quirks::IdShape;
use crate::state::{Credential, State};

impl State {
    /// Charges the time a call took and describes it. `None` when answers carry no `time`.
    pub(crate) fn settle(
        &mut self,
        method: &'static Method,
        credential: &Credential,
        started: UnixTime,
        now: UnixTime,
    ) -> Option<Value> {
        let took = now.saturating_sub(started) + self.limits.execution_time;
        let sum = self
            .operating
            .entry((credential.number, method.name))
            .or_default();
        if !method.is_batch() {
            sum.charge(&self.limits, now, took);
        } else if self.limits.outer_batch_is_charged {
            sum.charge(&self.limits, now, took / 2);
        }
        if !self.quirks.time {
            return None;
        }
        let operating = (sum.sum(now), sum.resets_at(now));
        let finished = started + took;
        let mut time = json!({
            "start": seconds(started),
            "finish": seconds(finished),
            "duration": took.as_secs_f64(),
            "processing": took.as_secs_f64(),
            "date_start": self.date(started),
            "date_finish": self.date(finished),
        });
        if self.limits.operating != OperatingRule::Off
            && let Value::Object(time) = &mut time
        {
            time.insert("operating".into(), operating.0.into());
            time.insert("operating_reset_at".into(), operating.1.into());
        }
        Some(time)
    }

    pub(super) fn refusal(&self, failure: &Failure) -> Reply {
        self.reply(
            failure.status(&self.quirks),
            failure.body(&self.quirks).to_string(),
        )
    }

    pub(super) fn reply(&self, status: u16, body: String) -> Reply {
        // Slashes stand inside strings only, so all of them can be escaped at once.
        let body = if self.quirks.escaped_slashes {
            body.replace('/', "\\/")
        } else {
            body
        };
        Reply::json(status, body)
    }

    /// Ids as the portal writes them.
    pub(super) fn with_id_shape(&self, mut result: Value) -> Value {
        if self.quirks.ids == IdShape::Strings {
            write_ids_as_strings(&mut result);
        }
        result
    }
}

impl Reply {
    pub(crate) fn json(status: u16, body: String) -> Self {
        let media = "application/json; charset=utf-8";
        Self {
            status,
            headers: vec![("content-type".into(), media.into())],
            body: body.into(),
        }
    }
}

/// Seconds since 1970 with microseconds.
fn seconds(moment: UnixTime) -> f64 {
    moment.as_secs_f64()
}

const ID_NAMES: [&str; 7] = [
    "id",
    "botId",
    "chatId",
    "authorId",
    "messageId",
    "owner",
    "eventId",
];

fn write_ids_as_strings(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, member) in map.iter_mut() {
                match member {
                    Value::Number(id) if ID_NAMES.contains(&name.as_str()) => {
                        *member = Value::String(id.to_string());
                    }
                    other => write_ids_as_strings(other),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(write_ids_as_strings),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
