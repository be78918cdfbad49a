//! Tolerant readings of one JSON value (C10).
//!
//! An optional field of a shape nobody foresaw reads as absent; a required one is an error that names
//! its path. The same readings serve JSON answers and form bodies, where every scalar is a string.

mod fields;

use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::{Map, Value};

pub use fields::Fields;

/// An answer that does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is no body.
    #[error("the body is empty")]
    Empty,
    /// A page for people: a proxy, a login form, a maintenance notice.
    #[error("the body is a web page")]
    Html,
    /// Not JSON, or JSON that was cut off.
    #[error("the body is not JSON")]
    NotJson,
    /// Larger than we are willing to read.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The most we read, in bytes.
        limit: usize,
    },
    /// JSON, but a required field is missing or of an unknown shape.
    #[error("`{path}` should be {wanted} but is {found}")]
    Shape {
        /// Where, e.g. `events[2].eventId`.
        path: String,
        /// What was needed there.
        wanted: &'static str,
        /// What was there.
        found: &'static str,
    },
}

impl Unreadable {
    /// A required field that cannot be read.
    pub fn shape(path: impl Into<String>, wanted: &'static str, found: Option<&Value>) -> Self {
        Self::Shape {
            path: path.into(),
            wanted,
            found: found.map_or("absent", kind),
        }
    }

    /// The same error seen from the object that holds the failing one at `outer`.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        match self {
            Self::Shape {
                path,
                wanted,
                found,
            } => {
                let path = match path.as_str() {
                    "" => outer.to_owned(),
                    list if list.starts_with('[') => format!("{outer}{list}"),
                    inner => format!("{outer}.{inner}"),
                };
                Self::Shape {
                    path,
                    wanted,
                    found,
                }
            }
            other => other,
        }
    }
}

/// What a value is, for an error message that must not quote it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(items) if items.is_empty() => "an empty list",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A whole number: a number without fraction, or a string of one.
#[must_use]
pub fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| {
                let (number, fraction) = text.split_once('.')?;
                fraction
                    .bytes()
                    .all(|digit| digit == b'0')
                    .then(|| number.parse().ok())?
            })
        }
        _ => None,
    }
}

/// A float as an integer, when nothing is lost. Beyond 2^53 a float no longer names one integer.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked: whole and within 2^53"
    )]
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

/// A finite number, or a string of one.
#[must_use]
pub fn float(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// A truth in any of the spellings PHP and the portal's modules use. An empty string is `false`.
#[must_use]
pub fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(_) => match int(value)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "y" | "true" => Some(true),
            "" | "0" | "n" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// A text; a number is read as its digits. `false`, `null` and structures are no text.
#[must_use]
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A text that says something: not empty. For fields that say "none" as `null`, `false` or `""`.
#[must_use]
pub fn filled(value: &Value) -> Option<String> {
    text(value).filter(|text| !text.is_empty())
}

/// A moment: ISO 8601 with an offset, or Unix seconds. `""`, `false`, `null` and `"0"` are none.
///
/// A date without a time is its midnight in UTC: the day is then right to within an offset, while a
/// dropped one would read as "never".
#[must_use]
pub fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(_) => unix(float(value)?),
        Value::String(text) => {
            let text = text.trim();
            if let Ok(seconds) = text.parse() {
                return unix(seconds);
            }
            text.parse().ok().or_else(|| midnight(text))
        }
        _ => None,
    }
}

/// Unix seconds, fractions kept to the microsecond. Zero is PHP's "never".
fn unix(seconds: f64) -> Option<Timestamp> {
    if !seconds.is_finite() || seconds <= 0.0 || seconds > 253_402_207_200.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked: within jiff's range"
    )]
    Timestamp::from_microsecond((seconds * 1e6).round() as i64).ok()
}

fn midnight(text: &str) -> Option<Timestamp> {
    if text.len() != "2025-01-15".len() {
        return None;
    }
    let day: civil::Date = text.parse().ok()?;
    Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The members of an object. An empty list is PHP's empty map; `null`, `false` and `""` are none.
#[must_use]
pub fn object(value: &Value) -> Option<&Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Whether a value is one of the ways to say "nothing here".
#[must_use]
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// A map: an object, PHP's empty list, or the list that PHP makes of the keys 0..n.
#[must_use]
pub fn map(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        Value::Array(items) => Some(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| (index.to_string(), item))
                .collect(),
        ),
        nothing if is_nothing(&nothing) => Some(Map::new()),
        _ => None,
    }
}

/// A list: an array, an object whose keys are all numbers (PHP's list with holes) in their order, or
/// nothing at all, which is an empty one.
#[must_use]
pub fn list(value: &Value) -> Option<Vec<&Value>> {
    match value {
        Value::Array(items) => Some(items.iter().collect()),
        Value::Object(members) => {
            let mut numbered = members
                .iter()
                .map(|(key, item)| Some((key.parse::<u64>().ok()?, item)))
                .collect::<Option<Vec<_>>>()?;
            numbered.sort_unstable_by_key(|(index, _)| *index);
            Some(numbered.into_iter().map(|(_, item)| item).collect())
        }
        nothing if is_nothing(nothing) => Some(Vec::new()),
        _ => None,
    }
}

/// The same as [`list`], for a value that is no longer needed.
#[must_use]
pub fn into_list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items),
        Value::Object(members) => {
            let mut numbered = members
                .into_iter()
                .map(|(key, item)| Some((key.parse::<u64>().ok()?, item)))
                .collect::<Option<Vec<_>>>()?;
            numbered.sort_unstable_by_key(|(index, _)| *index);
            Some(numbered.into_iter().map(|(_, item)| item).collect())
        }
        nothing if is_nothing(&nothing) => Some(Vec::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
