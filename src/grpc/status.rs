//! Turns failures into gRPC statuses with rich details. The only place that knows gRPC codes.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status, codegen::http::HeaderMap};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::fault::{Chain, Executed, Fault, Kind, Origin, Reason, Violation};

/// The `domain` of every `ErrorInfo`.
pub(super) const DOMAIN: &str = "gateway.bitrix24";

// A status travels in the trailers, which clients take up to 8 KiB: percent-encoded the message, in
// base64 the details, in which the message stands once more. What callers or portals write into them
// is cut, or the client would see a broken connection in place of a reason.

/// Longest message, bytes.
const MESSAGE: usize = 700;

/// Longest value of a detail, bytes.
const VALUE: usize = 200;

/// Longest rule that is told, bytes.
const RULE: usize = 300;

/// All broken rules that are told, bytes; the first ones.
const VIOLATIONS: usize = 2000;

/// A request that is refused at the edge.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Fields break rules.
    #[error("{}", list(.0))]
    Invalid(Vec<Violation>),
    /// No portal was named and there is no default.
    #[error("portal: is needed, because no default portal is configured")]
    NoDefaultPortal,
    /// The portal named is not there.
    #[error("there is no portal `{0}`")]
    UnknownPortal(String),
    /// The caller may not do this, or not with this.
    #[error("this caller may not do that")]
    Denied,
    /// Nothing tells who calls.
    #[error("the call carries no credential")]
    NoCredential,
    /// What the call carries proves nobody.
    #[error("the credential of the call is not valid")]
    WrongCredential,
    /// The credential was sent for anybody to read.
    #[error("credentials are taken over TLS, a Unix socket or loopback only")]
    OpenCredential,
    /// Nobody can tell yet who calls.
    #[error("the keys that prove callers were not read yet")]
    NotReady,
    /// The caller has as many under way as it may.
    #[error("this caller has as many {0} under way as `{1}` allows")]
    TooMany(&'static str, &'static str),
    /// The event id was given by another log.
    #[error(
        "the event id belongs to another event log, perhaps of a gateway whose store was replaced"
    )]
    ForeignEvent,
    /// The deadline passed before anything was sent.
    #[error("the deadline passed before the call was sent: it did not run")]
    Late,
    /// The deadline passed while the call was under way.
    #[error("the deadline passed while the call was under way: it may have run")]
    Unfinished,
    /// The deadline passed while something was being read.
    #[error("the deadline passed before the portal answered")]
    ReadUnfinished,
    /// The key of the call was given to another one.
    #[error("idempotency_key: was used for another request: choose another key for this one")]
    KeyReused,
    /// A call with this key was begun, and its end is not known.
    #[error("an earlier call with this key may have run: its outcome was lost")]
    OutcomeLost,
    /// A task of ours ended unexpectedly.
    #[error("the call broke off inside the gateway: it may have run")]
    Broken,
}

impl Fault for Refusal {
    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) | Self::NoDefaultPortal | Self::ForeignEvent | Self::KeyReused => {
                Kind::Invalid
            }
            Self::UnknownPortal(_) => Kind::Missing,
            Self::Denied => Kind::Denied,
            Self::NoCredential | Self::WrongCredential | Self::OpenCredential => Kind::Unproven,
            Self::NotReady => Kind::Unavailable,
            Self::TooMany(..) => Kind::Exhausted,
            Self::Late | Self::ReadUnfinished => Kind::Late,
            Self::Unfinished | Self::OutcomeLost => Kind::Ambiguous,
            Self::Broken => Kind::Internal,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Invalid(_) => Reason::InvalidRequest,
            Self::NoDefaultPortal => Reason::NoDefaultPortal,
            Self::UnknownPortal(_) => Reason::UnknownPortal,
            Self::Denied => Reason::CallerDenied,
            Self::NoCredential | Self::WrongCredential | Self::OpenCredential => {
                Reason::CallerUnauthenticated
            }
            Self::NotReady => Reason::GatewayNotReady,
            Self::TooMany(..) => Reason::QuotaExceeded,
            Self::ForeignEvent => Reason::ForeignCursor,
            Self::Late | Self::ReadUnfinished => Reason::DeadlineExceeded,
            Self::Unfinished | Self::OutcomeLost => Reason::OutcomeUnknown,
            Self::KeyReused => Reason::IdempotencyKeyReused,
            Self::Broken => Reason::InternalError,
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Unfinished | Self::ReadUnfinished => Origin::Portal,
            Self::Broken | Self::OutcomeLost | Self::NotReady => Origin::Gateway,
            _ => Origin::Caller,
        }
    }

    fn executed(&self) -> Executed {
        match self {
            Self::Unfinished | Self::OutcomeLost | Self::Broken => Executed::Unknown,
            _ => Executed::No,
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Invalid(violations) => violations,
            _ => &[],
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotReady | Self::TooMany(..) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

impl Refusal {
    /// The published name of the reason.
    pub(crate) fn reason_name(&self) -> &'static str {
        self.reason().as_str()
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        status(&refusal, None)
    }
}

/// How a call failed: just now, or as an earlier one with its key did.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed.
    New(Box<dyn Fault>),
    /// It is told what the earlier one was told.
    Again(Status),
}

impl<E: Fault> From<E> for Failure {
    fn from(fault: E) -> Self {
        Self::New(Box::new(fault))
    }
}

impl Failure {
    /// The status; `call_id` names the call in our log.
    pub(crate) fn status(&self, call_id: &str) -> Status {
        match self {
            Self::New(fault) => status(&**fault, Some(call_id)),
            Self::Again(earlier) => again(earlier, call_id),
        }
    }
}

impl Failure {
    /// Whether it is this very call of which nobody knows how it ended.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::New(fault) => fault.executed() == Executed::Unknown,
            Self::Again(_) => false,
        }
    }

    /// The published name of the reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::New(fault) => fault.reason().as_str(),
            Self::Again(earlier) => published(earlier).unwrap_or_default(),
        }
    }
}

/// The same status for another call.
fn again(earlier: &Status, call_id: &str) -> Status {
    let mut details = earlier.get_error_details();
    if let Some(mut info) = details.error_info().cloned() {
        info.metadata
            .insert("call_id".to_owned(), call_id.to_owned());
        details.set_error_info(info.reason, info.domain, info.metadata);
    }
    Status::with_error_details(earlier.code(), earlier.message(), details)
}

/// The published reason of a status, for the log.
pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

/// The same, if it is one of those that are published.
pub(super) fn published(status: &Status) -> Option<&'static str> {
    let told = reason(status);
    let mut known = Reason::ALL.iter().map(|reason| reason.as_str());
    known.find(|name| *name == told)
}

/// The status of a failure; `call_id` names the call in our log.
pub(crate) fn status(fault: &dyn Fault, call_id: Option<&str>) -> Status {
    let mut metadata = HashMap::from([
        ("executed".to_owned(), fault.executed().as_str().to_owned()),
        ("fault".to_owned(), fault.origin().as_str().to_owned()),
    ]);
    let optional = [
        ("portal", fault.portal()),
        ("method", fault.method()),
        ("portal_code", fault.portal_code()),
        ("call_id", call_id),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            metadata.insert(key.to_owned(), cut(value, VALUE));
        }
    }
    let mut details = ErrorDetails::with_error_info(fault.reason().as_str(), DOMAIN, metadata);
    if let Some(wait) = fault.retry_after() {
        details.set_retry_info(Some(wait));
    }
    let mut room = VIOLATIONS;
    for violation in fault.violations() {
        let (field, rule) = (cut(&violation.field, VALUE), cut(&violation.rule, RULE));
        let Some(left) = room.checked_sub(field.len() + rule.len()) else {
            break;
        };
        room = left;
        details.add_bad_request_violation(field, rule);
    }
    Status::with_error_details(code(fault), cut(&message(fault), MESSAGE), details)
}

/// The fields that end a call with a failure.
pub(crate) fn trailers(fault: &dyn Fault) -> HeaderMap {
    let mut fields = HeaderMap::new();
    // Only metadata could be refused, and there is none.
    let _added = status(fault, None).add_header(&mut fields);
    fields
}

/// The text up to a length, at the end of a character.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(bytes)])
}

fn code(fault: &dyn Fault) -> Code {
    match fault.kind() {
        Kind::Invalid => Code::InvalidArgument,
        Kind::Missing => Code::NotFound,
        Kind::Exists => Code::AlreadyExists,
        Kind::Denied => Code::PermissionDenied,
        Kind::Unproven => Code::Unauthenticated,
        Kind::Unready => Code::FailedPrecondition,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Late => Code::DeadlineExceeded,
        Kind::Unavailable => Code::Unavailable,
        Kind::Ambiguous => Code::Unknown,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Internal => Code::Internal,
    }
}

/// The failure in words, and whether a repeat is safe where that is not plain.
fn message(fault: &dyn Fault) -> String {
    // Portals and stores word their errors in levels; the caller gets them all.
    let mut text = Chain(upcast(fault)).to_string();
    if let Some(code) = fault.portal_code().filter(|code| !code.is_empty()) {
        text = format!("{text} ({code})");
    }
    if fault.executed() == Executed::Unknown
        && fault.kind() != Kind::Internal
        && !text.contains("may have")
    {
        text.push_str("; it may have run");
    }
    text
}

fn upcast(fault: &dyn Fault) -> &(dyn std::error::Error + 'static) {
    fault
}

fn list(violations: &[Violation]) -> String {
    let texts: Vec<_> = violations.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
