//! Several calls in one request.
//!
//! Bitrix24 counts a batch as one request, but it replaces what looks like a reference to another call
//! in any text of it. [`entry`] lets through only calls that arrive exactly as they are; each entry of
//! the answer is judged by itself.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    Error, Patience,
    call::Call,
    error::{self, Cause},
    wire::{
        Method, Reply,
        batch::{self, Outcome, Outcomes},
        envelope::NoReply,
        method::BotToken,
    },
};
use crate::telemetry::trace::Span;

/// A call that travels with others.
#[derive(Debug)]
pub(super) struct Passenger {
    pub(super) call: Arc<Call>,
    pub(super) patience: Patience,
    /// Lasts until its outcome is told.
    pub(super) span: Span,
    pub(super) reply: oneshot::Sender<Result<Reply, Error>>,
}

/// The call as an entry of a batch, without its bot's token; nothing when it must travel alone.
pub(super) fn entry(call: &Call) -> Option<String> {
    let token_in_fields = call.bot_token.is_some() && call.method.bot_token() == BotToken::Fields;
    if call.alone || token_in_fields {
        return None;
    }
    batch::entry(call.method, &call.params.to_map()).ok()
}

/// A batch of these entries.
pub(super) fn call(entries: impl Iterator<Item = String>) -> Call {
    let commands = entries
        .enumerate()
        .map(|(index, entry)| (key(index), Value::String(entry)));
    Call::new(Method::Batch)
        .with("halt", 0)
        .with("cmd", Value::Object(commands.collect()))
}

/// Padded, so that the order of the keys is the order of the calls.
fn key(index: usize) -> String {
    format!("c{index:02}")
}

/// What each call of a batch came to.
pub(super) fn outcomes(
    methods: &[Method],
    answer: Result<Reply, Error>,
) -> Vec<Result<Reply, Error>> {
    let whole = answer.and_then(|reply| {
        Outcomes::from_result(reply.result)
            .map_err(|unreadable| Error::unreadable(Method::Batch, unreadable))
    });
    let mut whole = match whole {
        Ok(outcomes) => outcomes,
        // The fate of the request is that of every call in it.
        Err(error) => {
            return methods
                .iter()
                .map(|method| Err(error.of(*method)))
                .collect();
        }
    };
    let outcome = |(index, method): (usize, &Method)| match whole.take(&key(index)) {
        Outcome::Done { result, time } => Ok(Reply {
            result,
            time,
            next: None,
            total: None,
        }),
        // A refusal inside a batch has no status of its own; methods refuse with 400.
        Outcome::Refused(refusal) => Err(error::classify(*method, 400, NoReply::Refused(refusal))),
        Outcome::Unknown => Err(Error::new(*method, Cause::Ambiguous)),
    };
    methods.iter().enumerate().map(outcome).collect()
}
