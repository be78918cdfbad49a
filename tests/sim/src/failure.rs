//! Errors as the portal tells them (C3, C4).

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::quirks::{ErrorStatus, Quirks};

/// A refusal of the REST core or of a method.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    code: Value,
    description: Cow<'static, str>,
    origin: Origin,
    argument: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A method said no.
    Method,
    /// Authorization; the pages name this status.
    Auth(u16),
    /// The REST core, always with this status.
    Core(u16),
}

impl Failure {
    pub(crate) fn method(code: &'static str, description: &'static str) -> Self {
        Self::new(code.into(), description, Origin::Method)
    }

    pub(crate) fn auth(status: u16, code: &'static str, description: &'static str) -> Self {
        Self::new(code.into(), description, Origin::Auth(status))
    }

    pub(crate) fn core(status: u16, code: &'static str, description: &'static str) -> Self {
        Self::new(code.into(), description, Origin::Core(status))
    }

    /// A mandatory argument is missing.
    pub(crate) fn missing(name: &'static str) -> Self {
        let description = format!("Could not find value for parameter {{{name}}}");
        Self {
            argument: Some(name),
            ..Self::new(100.into(), description, Origin::Core(400))
        }
    }

    /// An argument has the wrong type.
    pub(crate) fn invalid(name: &'static str, value: &Value) -> Self {
        let description = format!("Invalid value {{{value}}} to match with parameter {{{name}}}");
        Self {
            argument: Some(name),
            ..Self::new(100.into(), description, Origin::Core(400))
        }
    }

    /// Made up by a test.
    pub(crate) fn injected(status: u16, code: Value, description: String) -> Self {
        Self::new(code, description, Origin::Core(status))
    }

    fn new(code: Value, description: impl Into<Cow<'static, str>>, origin: Origin) -> Self {
        Self {
            code,
            description: description.into(),
            origin,
            argument: None,
        }
    }

    /// Whether it has this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    pub(crate) fn status(&self, quirks: &Quirks) -> u16 {
        match self.origin {
            Origin::Method if quirks.errors_with_200 => 200,
            Origin::Method => match quirks.method_error_status {
                ErrorStatus::BadRequest => 400,
                ErrorStatus::Forbidden => 403,
            },
            Origin::Auth(_) if quirks.auth_errors_are_401 => 401,
            Origin::Auth(status) | Origin::Core(status) => status,
        }
    }

    /// The error body.
    pub(crate) fn body(&self, quirks: &Quirks) -> Value {
        let mut body = Map::new();
        let code = if self.origin == Origin::Method && quirks.numeric_error_codes {
            json!(0)
        } else {
            self.code.clone()
        };
        body.insert("error".into(), code);
        body.insert("error_description".into(), json!(self.description));
        if let Some(argument) = self.argument {
            body.insert("argument".into(), json!(argument));
        }
        Value::Object(body)
    }
}
