//! Many calls in one request (C6).
//!
//! Each entry is a form in a string, and the portal replaces references like `$result[a][b]` inside
//! *any* string of it with data of earlier entries. There is no escape, so a call with such a text, or
//! with anything else a form cannot carry exactly, must travel alone.
//!
//! In the answer each call stands by itself, and a call that is in no map is one whose fate is unknown.

use serde_json::{Map, Value};

use super::{
    envelope::{Refusal, Time},
    form::{self, Booleans},
    lenient::{self, Unreadable},
    method::Method,
};

/// The most calls in a batch.
pub const MOST_CALLS: usize = 50;
/// The most parameters of one entry; PHP drops what exceeds its own limit of 1000 without a word.
pub const MOST_PARAMETERS: usize = 500;
/// The longest entry, in bytes as encoded.
pub const LONGEST_ENTRY: usize = 256 << 10;

/// Why a call must travel alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not in any batch.
    #[error("`{0}` does not work in a batch")]
    Method(Method),
    /// The portal would replace a part of it with another call's data.
    #[error("`{path}` looks like a reference to another entry")]
    Reference {
        /// Where, e.g. `fields[message]`.
        path: String,
    },
    /// A key that a form may change on the way.
    #[error("`{path}` has a key that a form may change")]
    Key {
        /// Where.
        path: String,
    },
    /// A null or something empty.
    #[error(transparent)]
    Unsayable(#[from] form::Unsayable),
    /// More than [`MOST_PARAMETERS`].
    #[error("the call has more than {MOST_PARAMETERS} parameters")]
    TooMany,
    /// Longer than [`LONGEST_ENTRY`].
    #[error("the call is longer than {LONGEST_ENTRY} bytes")]
    TooLong,
}

/// What became of one call of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It succeeded.
    Done {
        /// What it answered.
        result: Value,
        /// What it cost.
        time: Option<Time>,
    },
    /// It was refused; judge it as if it had come alone with status 400.
    Refused(Refusal),
    /// The portal does not say: it may or may not have run.
    Unknown,
}

/// Writes a call as an entry of a batch.
///
/// # Errors
/// When the call must travel alone.
pub fn entry(method: Method, parameters: &Map<String, Value>) -> Result<String, Unfit> {
    if !method.batchable() {
        return Err(Unfit::Method(method));
    }
    let mut left = MOST_PARAMETERS;
    for (name, value) in parameters {
        check(name, name, value, &mut left)?;
    }
    let query = form::encode(parameters, Booleans::YesNo)?;
    if query.len() > LONGEST_ENTRY {
        return Err(Unfit::TooLong);
    }
    Ok(if query.is_empty() {
        method.as_str().to_owned()
    } else {
        format!("{method}?{query}")
    })
}

fn check(path: &str, name: &str, value: &Value, left: &mut usize) -> Result<(), Unfit> {
    if looks_like_reference(name) {
        return Err(Unfit::Reference { path: path.into() });
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(Unfit::Key { path: path.into() });
    }
    *left = left.checked_sub(1).ok_or(Unfit::TooMany)?;
    match value {
        Value::String(text) if looks_like_reference(text) => {
            Err(Unfit::Reference { path: path.into() })
        }
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            let index = index.to_string();
            check(&format!("{path}[{index}]"), &index, item, left)
        }),
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, member)| check(&format!("{path}[{name}]"), name, member, left)),
        _ => Ok(()),
    }
}

/// Whether a text holds what the portal takes for a reference: `$`, one of five names in any case, and
/// an opening bracket, with spaces in between to be on the safe side.
#[must_use]
pub fn looks_like_reference(text: &str) -> bool {
    const NAMES: [&str; 5] = ["result", "error", "next", "total", "time"];
    text.split('$').skip(1).any(|after| {
        let after = after.trim_start();
        NAMES.iter().any(|name| {
            let (head, tail) = after.as_bytes().split_at(name.len().min(after.len()));
            head.eq_ignore_ascii_case(name.as_bytes()) && tail.trim_ascii_start().starts_with(b"[")
        })
    })
}

/// The maps of a batch's answer, from which each call takes what concerns it.
#[derive(Debug, Default)]
pub struct Outcomes {
    results: Map<String, Value>,
    errors: Map<String, Value>,
    times: Map<String, Value>,
}

impl Outcomes {
    /// Reads the `result` of a batch.
    ///
    /// # Errors
    /// When it is no object, or one of its maps is neither absent nor a map.
    pub fn from_result(result: Value) -> Result<Self, Unreadable> {
        let Some(mut maps) = lenient::map(result) else {
            return Err(Unreadable::shape("", "an object", None));
        };
        let mut take = |name: &str| match maps.remove(name) {
            None => Ok(Map::new()),
            Some(value) => {
                let unreadable = Unreadable::shape(name, "a map", Some(&value));
                lenient::map(value).ok_or(unreadable)
            }
        };
        Ok(Self {
            results: take("result")?,
            errors: take("result_error")?,
            times: take("result_time").unwrap_or_default(),
        })
    }

    /// What became of the call sent under `key`. An error outweighs a result of the same key.
    pub fn take(&mut self, key: &str) -> Outcome {
        let result = self.results.remove(key);
        match (self.errors.remove(key), result) {
            (Some(error), _) => Outcome::Refused(refusal(error)),
            (None, Some(result)) => Outcome::Done {
                result,
                time: self.times.get(key).and_then(Time::from_value),
            },
            (None, None) => Outcome::Unknown,
        }
    }
}

fn refusal(error: Value) -> Refusal {
    match error {
        Value::Object(members) => Refusal::from_members(&members),
        bare => Refusal::from_members(&Map::from_iter([("error".to_owned(), bare)])),
    }
}

#[cfg(test)]
mod tests;
