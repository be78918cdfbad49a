//! What is around every answer (C3).
//!
//! Whether an answer is a success is told by its body, not by its status: an error can come with
//! status 200. The top-level key `error` decides.

use serde_json::{Map, Value};

use super::lenient::{self, Fields, Unreadable};

/// A success.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// What the method answered; may be an object, a list, a truth or a text.
    pub result: Value,
    /// What the call cost.
    pub time: Option<Time>,
    /// Where the next page of an old-style list begins.
    pub next: Option<i64>,
    /// Length of an old-style list.
    pub total: Option<i64>,
}

/// What a call cost the portal, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Time {
    /// Unix time at which the portal began.
    pub start: Option<f64>,
    /// Unix time at which the portal finished: the portal's own clock.
    pub finish: Option<f64>,
    /// From begin to end.
    pub duration: Option<f64>,
    /// Spent in the method itself.
    pub processing: Option<f64>,
    /// Spent by this credential in this method over the last ten minutes. Cloud only.
    pub operating: Option<f64>,
    /// Unix time at which some of `operating` is forgiven, or a ban ends. Cloud only.
    pub operating_reset_at: Option<i64>,
}

/// A failure in the portal's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("the portal refused with `{code}`")]
pub struct Refusal {
    /// The code, verbatim; a number as its digits. May be empty. Compare without case.
    pub code: String,
    /// For people, in any language, possibly HTML. Never for logic.
    pub description: String,
    /// The argument that is wrong, when the portal names it.
    pub argument: Option<String>,
}

/// A body without a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// The portal said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Whatever answered, it did not speak our language.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl Refusal {
    /// A refusal with a code and nothing else.
    pub fn new(code: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            ..Self::default()
        }
    }

    /// Whether this is the given code, in any case.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.eq_ignore_ascii_case(code)
    }

    /// Reads the members of an error body, of whichever generation.
    #[must_use]
    pub fn from_members(members: &Map<String, Value>) -> Self {
        let error = members.get("error").unwrap_or(&Value::Null);
        let inner = Fields::or_none(Some(error));
        let text = |name: &str| members.get(name).and_then(lenient::text);
        Self {
            code: code(error).unwrap_or_default(),
            description: text("error_description")
                .or_else(|| inner.text("message"))
                .or_else(|| inner.text("error_description"))
                .unwrap_or_default(),
            argument: text("argument").or_else(|| inner.text("argument")),
        }
    }
}

/// The code of an error: a text, a number, or the `code` of an object.
fn code(error: &Value) -> Option<String> {
    match error {
        Value::Object(inner) => ["code", "error", "error_code"]
            .iter()
            .find_map(|name| code(inner.get(*name)?)),
        scalar => lenient::int(scalar)
            .filter(|_| scalar.is_number())
            .map(|number| number.to_string())
            .or_else(|| lenient::text(scalar).map(|code| code.trim().to_owned())),
    }
}

impl Time {
    /// Reads the costs; what is missing or odd is unknown.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Self> {
        let fields = Fields::or_none(Some(value));
        let time = Self {
            start: fields.float("start"),
            finish: fields.float("finish"),
            duration: fields.float("duration"),
            processing: fields.float("processing"),
            operating: fields.float("operating"),
            operating_reset_at: fields.int("operating_reset_at"),
        };
        (time != Self::default()).then_some(time)
    }
}

/// Reads the body of an answer.
///
/// # Errors
/// [`NoReply::Refused`] when the body says so, whatever the status; [`NoReply::Unreadable`] when it is
/// no answer of a portal, or the status says failure and the body does not say which.
pub fn decode(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Reply, NoReply> {
    let Value::Object(mut members) = parse(content_type, body)? else {
        return Err(Unreadable::shape("", "an object", None).into());
    };
    let denied = match (members.get("error"), members.contains_key("result")) {
        (None, _) => false,
        // Some layers between fill in an error of nothing beside a result.
        (Some(Value::Null | Value::Bool(false)), true) => false,
        (Some(Value::Array(items)), true) => !items.is_empty(),
        (Some(_), _) => true,
    };
    if denied {
        return Err(Refusal::from_members(&members).into());
    }
    let Some(result) = members.remove("result") else {
        return Err(Unreadable::shape("result", "present", None).into());
    };
    if !(200..300).contains(&status) {
        return Err(Unreadable::shape("error", "present", None).into());
    }
    let fields = Value::Object(members);
    let fields = Fields::or_none(Some(&fields));
    Ok(Reply {
        result,
        time: fields.get("time").and_then(Time::from_value),
        next: fields.int("next"),
        total: fields.int("total"),
    })
}

/// The JSON of a body, by what it looks like: PHP labels JSON as a web page now and then.
///
/// # Errors
/// When the body is no JSON.
pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Value, Unreadable> {
    let body = body
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(body)
        .trim_ascii();
    if body.is_empty() {
        return Err(Unreadable::Empty);
    }
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    let labelled = content_type.is_some_and(|label| label.to_ascii_lowercase().contains("html"));
    if body.starts_with(b"<") || (labelled && !body.starts_with(b"{") && !body.starts_with(b"[")) {
        return Err(Unreadable::Html);
    }
    // One broken character in somebody's text must not cost the whole answer.
    if str::from_utf8(body).is_err()
        && let Ok(value) = serde_json::from_str(&String::from_utf8_lossy(body))
    {
        return Ok(value);
    }
    Err(Unreadable::NotJson)
}

#[cfg(test)]
mod tests;
