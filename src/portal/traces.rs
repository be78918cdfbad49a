//! The spans on the way to a portal.
//!
//! A call that waits, travels with others or is made again has a span for each of these below that of
//! whoever makes it; fetches, of which many leave together all the time, only for their request.

use std::time::Duration;

use opentelemetry::KeyValue;
use tokio::time::sleep;

use super::{
    Error,
    call::{Call, Lane},
    transport::SecretUrl,
    wire::Method,
};
use crate::{
    fault::Fault as _,
    ids::PortalId,
    telemetry::trace::{Kind, Parent, Span},
};

/// A call waits for its turn, and `for_what` says why it could not leave at once.
pub(super) fn waits(place: &Parent, call: &Call, for_what: impl FnOnce() -> &'static str) -> Span {
    let lane = match call.lane() {
        Lane::Answers => "answers",
        Lane::Calls => "calls",
        Lane::Polls => return Span::default(),
    };
    place.child(Kind::Internal, "queue", || {
        vec![
            method(call.method),
            KeyValue::new("bitrix24.lane", lane),
            KeyValue::new("bitrix24.gateway.wait.reason", for_what()),
        ]
    })
}

/// A call travels with others, until its own outcome is there.
pub(super) fn travels(place: Parent, call: &Call) -> Span {
    match call.lane() {
        Lane::Polls => place.into(),
        _ => {
            let name = call.method.as_str();
            place.child(Kind::Internal, name, || vec![method(call.method)])
        }
    }
}

/// Calls leave together.
pub(super) fn batch<'a>(
    portal: &PortalId,
    calls: impl ExactSizeIterator<Item = &'a Parent>,
) -> Span {
    let size = i64::try_from(calls.len()).unwrap_or(i64::MAX);
    Parent::shared(calls, Kind::Internal, "batch", || {
        vec![
            self::portal(portal),
            KeyValue::new("bitrix24.gateway.batch.size", size),
        ]
    })
}

/// A request to a portal. The address holds a secret, so that only its pattern is told.
pub(super) fn requests(
    portal: &PortalId,
    called: Method,
    url: &SecretUrl,
    by_webhook: bool,
) -> Span {
    let place = Parent::current();
    if !place.is_sampled() {
        return place.into();
    }
    let secret = if by_webhook { "{user}/{secret}/" } else { "" };
    let template = format!("/rest/{secret}{called}");
    let mut attributes = request("POST", template.clone(), url);
    attributes.extend([self::portal(portal), method(called)]);
    place.child(Kind::Client, format!("POST {template}"), || attributes)
}

/// A request to the authorization server.
pub(super) fn asks(verb: &'static str, template: &'static str, url: &SecretUrl) -> Span {
    let name = format!("{verb} {template}");
    let attributes = || request(verb, template.to_owned(), url);
    Parent::current().child(Kind::Client, name, attributes)
}

fn request(verb: &'static str, template: String, url: &SecretUrl) -> Vec<KeyValue> {
    let port = url.expose().port_or_known_default();
    vec![
        KeyValue::new("http.request.method", verb),
        KeyValue::new("url.template", template),
        KeyValue::new("url.scheme", url.expose().scheme().to_owned()),
        KeyValue::new("server.address", url.host().to_owned()),
        KeyValue::new("server.port", i64::from(port.unwrap_or_default())),
    ]
}

/// What an HTTP status was answered.
pub(super) fn answered(span: &Span, status: Option<u16>) {
    if let Some(status) = status {
        span.set(|| KeyValue::new("http.response.status_code", i64::from(status)));
    }
}

/// A call ended like this.
pub(super) fn ended<T>(span: &Span, outcome: &Result<T, Error>) {
    if let Err(error) = outcome {
        span.failed(error.reason().as_str());
    }
}

/// The pause before a call is made again because of this.
pub(super) async fn pause(pause: Duration, error: &Error) {
    let waits = Parent::current().child(Kind::Internal, "retry pause", || {
        vec![
            method(error.called()),
            KeyValue::new("bitrix24.reason", error.reason().as_str()),
        ]
    });
    sleep(pause).await;
    drop(waits);
}

/// Calls wait for tokens.
pub(super) fn waits_for_tokens() -> Span {
    Parent::current().child(Kind::Internal, "token wait", Vec::new)
}

/// Tokens are refreshed for those who wait.
pub(super) fn refreshes(portal: &PortalId, waiting: &[Parent]) -> Span {
    Parent::shared(waiting, Kind::Internal, "token refresh", || {
        vec![self::portal(portal)]
    })
}

fn portal(portal: &PortalId) -> KeyValue {
    KeyValue::new("bitrix24.portal", portal.to_string())
}

fn method(method: Method) -> KeyValue {
    KeyValue::new("bitrix24.method", method.as_str())
}
