//! Why a call failed, for whoever made it at a terminal, and what to try.

use std::{collections::BTreeMap, error::Error as _, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Schema, escaped};
use crate::{fault::Chain, grpc::code_name};

/// Why a call failed. Shown it is several lines, the first of them in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code as gRPC writes it.
    pub code: &'static str,
    /// The `ErrorReason` without its prefix; empty where no gateway answered.
    pub reason: String,
    /// What the API says of that reason.
    pub meaning: Option<String>,
    /// What the gateway says.
    pub message: String,
    /// Whether the call ran and more, as described at `ErrorReason`.
    pub metadata: BTreeMap<String, String>,
    /// When to call again, if waiting helps.
    pub retry_after: Option<Duration>,
    /// Wrong fields, and the rules that they break.
    pub fields: Vec<(String, String)>,
    /// What to try.
    pub advice: String,
}

impl Failure {
    /// What a status says, in words.
    pub(super) fn of(status: &Status, schema: Option<&Schema>) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().cloned();
        let (reason, metadata) = info
            .map(|info| (info.reason, info.metadata.into_iter().collect()))
            .unwrap_or_default();
        let fields = details.bad_request().map(|it| it.field_violations.clone());
        let fields = fields.unwrap_or_default().into_iter();
        let mut failure = Self {
            code: code_name(status.code()),
            meaning: schema.and_then(|schema| schema.meaning(&reason)),
            reason,
            message: match status.source() {
                Some(cause) => format!("the connection was lost: {}", Chain(cause)),
                None => status.message().to_owned(),
            },
            metadata,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            fields: fields.map(|it| (it.field, it.description)).collect(),
            advice: String::new(),
        };
        failure.advice = failure.advise(status.code());
        failure
    }

    /// Whether another try may go better.
    #[must_use]
    pub fn passes(&self) -> bool {
        ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "UNKNOWN", "INTERNAL"].contains(&self.code)
    }

    fn advise(&self, code: Code) -> String {
        let executed = self.metadata.get("executed").map(String::as_str);
        let advice = match self.reason.as_str() {
            "CALLER_UNAUTHENTICATED" => {
                "name a file with the caller's token with --token-file, or its certificate with --cert-file and --key-file; an operator gets a token from `callers add`"
            }
            "CALLER_DENIED" => {
                "have an operator grant it to this caller: `portals`, `bots` and `rpcs` in [callers.NAME] or of `callers add`"
            }
            "UNKNOWN_PORTAL" | "NO_DEFAULT_PORTAL" => "`call ListPortals` names the portals",
            "UNKNOWN_BOT" | "BOT_NOT_FOUND" => {
                "`call ListBots` names the bots, `call RegisterBot` makes one"
            }
            "COMMAND_NOT_FOUND" | "COMMAND_EXISTS" => "`call ListCommands` names the commands",
            "UNKNOWN_SUBSCRIPTION" | "SUBSCRIPTION_DIFFERS" => {
                "`call ListSubscriptions` shows the subscriptions"
            }
            "CURSOR_EXPIRED" | "FOREIGN_CURSOR" => {
                "begin elsewhere: with the oldest event that is kept (`tail --from-start`), or at a time (`tail --since 10m`)"
            }
            "INVALID_REQUEST" | "IDEMPOTENCY_KEY_REUSED" | "UNREADABLE_REQUEST" => {
                "`call --describe` and the name of the RPC shows the fields and their limits"
            }
            reason if reason.starts_with("PORTAL_") || is_of_portal(reason) => {
                "`call GetPortal` tells how the portal is doing"
            }
            _ if executed == Some("unknown") => {
                "it may have run: look before it is called again; under its `idempotency_key` a repeat is safe"
            }
            _ if executed == Some("yes") => "it did run: do not call it again",
            _ if executed == Some("no") && self.passes() => "it did not run: call again",
            _ => match code {
                Code::Unavailable => "look whether the gateway runs, then call again",
                Code::DeadlineExceeded | Code::Cancelled => {
                    "call again, perhaps with a longer --timeout"
                }
                Code::Unimplemented => "`call --list` names what this gateway has",
                Code::Unauthenticated => "name a file with the caller's token with --token-file",
                _ => "the gateway's log says more",
            },
        };
        match self.retry_after {
            Some(wait) => format!("{advice}; not before {wait:?}"),
            None => advice.to_owned(),
        }
    }

    /// As one object of JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let fields = self.fields.iter();
        let fields = fields.map(|(field, rule)| serde_json::json!({"field": field, "rule": rule}));
        serde_json::json!({
            "code": self.code,
            "reason": self.reason,
            "meaning": self.meaning,
            "message": self.message,
            "metadata": self.metadata,
            "retry_after_seconds": self.retry_after.map(|wait| wait.as_secs_f64()),
            "fields": fields.collect::<Vec<_>>(),
            "try": self.advice,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)?;
        if !self.reason.is_empty() {
            write!(f, " {}", escaped(&self.reason))?;
        }
        if self.fields.is_empty() {
            write!(f, ": {}", escaped(&self.message))?;
        }
        for (field, rule) in &self.fields {
            write!(f, "\n  {}: {}", escaped(field), escaped(rule))?;
        }
        if let Some(meaning) = &self.meaning {
            write!(f, "\n  it means: {}", escaped(meaning))?;
        }
        let told: Vec<_> = self.metadata.iter().collect();
        let told = told.iter().map(|(key, value)| format!("{key}={value}"));
        let told: Vec<_> = told.collect();
        if !told.is_empty() {
            write!(f, "\n  {}", escaped(&told.join(" ")))?;
        }
        write!(f, "\n  try: {}", self.advice)
    }
}

impl std::error::Error for Failure {}

/// Reasons of the portal that do not say so.
fn is_of_portal(reason: &str) -> bool {
    [
        "REAUTHORIZATION_REQUIRED",
        "INSUFFICIENT_SCOPE",
        "PAYMENT_REQUIRED",
        "APPLICATION_NOT_INSTALLED",
        "APPLICATION_REFUSED",
        "AUTHORIZATION_SERVER_UNAVAILABLE",
        "RESTORED",
        "WEBHOOK_EXPIRED",
    ]
    .contains(&reason)
}

/// Whether no gRPC server said this: the answer is one of another kind of HTTP, or there was none.
pub(super) fn is_foreign(status: &Status) -> bool {
    let mapped = "grpc-status header missing";
    status.source().is_some() || status.message().starts_with(mapped)
}
