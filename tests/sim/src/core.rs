//! The REST core: what happens to every request before and after its method (C1, C3–C5).
//!
//! A request is admitted (credential, method, scope, limits), runs for its latency, then takes
//! effect, and its answer is put into the envelope. Faults come in at two places: before the
//! effect they replace it, after it they spoil the answer.

mod envelope;
mod spoil;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::batch;
use crate::clock::UnixTime;
use crate::failure::Failure;
use crate::fault::{Fault, FaultKind, When};
use crate::journal::{Encoding, Entry, Shown};
use crate::limits::Bucket;
use crate::methods::{self, Method};
use crate::params::Params;
use crate::portal::Condition;
use crate::quirks::{ClosedPortal, RateLimitStatus, WrongCode};
use crate::state::{Credential, State};

/// A request, read.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) peer: IpAddr,
    /// It came over TLS.
    pub(crate) secure: bool,
    pub(crate) sign: Sign,
    /// As the client wrote it, without suffix.
    pub(crate) method: String,
    pub(crate) params: Params,
    pub(crate) encoding: Encoding,
    pub(crate) traceparent: Option<String>,
}

/// What a request shows to be let in.
#[derive(Debug)]
pub(crate) enum Sign {
    Webhook {
        user_id: i64,
        code: String,
    },
    /// An access token, if there is one at all.
    Token(Option<String>),
}

impl Sign {
    fn shown(&self) -> Shown {
        match self {
            Self::Webhook { user_id, code } => Shown::Webhook {
                user_id: *user_id,
                code_head: Shown::head(code),
            },
            Self::Token(token) => Shown::Token {
                head: Shown::head(token.as_deref().unwrap_or_default()),
            },
        }
    }
}

/// A request on its way to its effect.
#[derive(Debug)]
pub(crate) struct Admitted {
    incoming: Incoming,
    at: UnixTime,
    verdict: Result<(Arc<Credential>, &'static Method), Failure>,
    fault: Option<Fault>,
    /// The message key this request holds until it is finished.
    key: Option<String>,
    /// How long it runs before its effect.
    pub(crate) latency: Duration,
}

/// What goes back, and what spoils it on the way.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None`: nothing is ever sent.
    pub(crate) reply: Option<Reply>,
    pub(crate) wire: Option<FaultKind>,
}

pub(crate) use self::spoil::spoil;

impl Outcome {
    /// This answer, as it is.
    pub(crate) fn of(reply: Reply) -> Self {
        Self {
            reply: Some(reply),
            wire: None,
        }
    }

    /// No answer at all: the connection is reset.
    pub(crate) fn none() -> Self {
        Self {
            reply: None,
            wire: None,
        }
    }
}

/// An answer to send.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

/// A call as its method sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) now: UnixTime,
    pub(crate) credential: &'a Credential,
    pub(crate) params: &'a Params,
}

impl State {
    /// Decides what happens to a request that just arrived.
    pub(crate) fn admit(&mut self, incoming: Incoming, now: UnixTime) -> Admitted {
        self.journal.arrivals += 1;
        let fault = self.faults.meet_request(&incoming.method);
        let verdict = self.check(&incoming, now);
        let mut latency = match &verdict {
            Ok((_, method)) if method.is_batch() => {
                self.latency_of(method.name) + batch::latency(self, &incoming.params)
            }
            Ok((_, method)) => self.latency_of(method.name),
            Err(_) => Duration::ZERO,
        };
        if let Some(Fault {
            kind: FaultKind::Latency(by),
            when: When::Before,
            ..
        }) = &fault
        {
            latency += *by;
        }
        let key = match &verdict {
            Ok((_, method)) if latency > Duration::ZERO => self.hold_key(method, &incoming, now),
            _ => None,
        };
        Admitted {
            incoming,
            at: now,
            verdict,
            fault,
            key,
            latency,
        }
    }

    /// Notes that a message with a key is on its way, unless another one already is.
    fn hold_key(&mut self, method: &Method, incoming: &Incoming, now: UnixTime) -> Option<String> {
        let key = methods::message_key(method, &incoming.params)?;
        if self.unfinished_keys.contains_key(&key) {
            return None;
        }
        self.unfinished_keys.insert(key.clone(), now);
        Some(key)
    }

    fn check(
        &mut self,
        incoming: &Incoming,
        now: UnixTime,
    ) -> Result<(Arc<Credential>, &'static Method), Failure> {
        // Every request fills the bucket; only one that is otherwise in order is refused for it.
        let bucket = self
            .buckets
            .entry(incoming.peer)
            .or_insert_with(|| Bucket::new(now));
        let within_rate = bucket.admits(&self.limits, now);
        if !incoming.secure {
            return Err(Failure::auth(400, "INVALID_REQUEST", "Https required."));
        }
        self.check_condition()?;
        let credential = match &incoming.sign {
            Sign::Webhook { user_id, code } => self.credential(*user_id, code)?,
            Sign::Token(token) => self.token_credential(token.as_deref(), now)?,
        };
        if incoming.params.asks_for_download {
            return Err(self.wrong_credential());
        }
        let method = self.find(&incoming.method, &credential)?;
        self.check_confirmation(&credential, method.name)?;
        if !within_rate {
            let status = match self.quirks.rate_limit_status {
                RateLimitStatus::ServiceUnavailable => 503,
                RateLimitStatus::TooManyRequests => 429,
                RateLimitStatus::Unauthorized => 401,
            };
            return Err(Failure::core(
                status,
                "QUERY_LIMIT_EXCEEDED",
                "Too many requests",
            ));
        }
        self.check_operating(&credential, method, now)?;
        Ok((credential, method))
    }

    fn credential(&self, user_id: i64, code: &str) -> Result<Arc<Credential>, Failure> {
        let known = self.credentials.get(&(user_id, code.to_owned()));
        let known = known.filter(|credential| self.is_active(credential.user_id));
        known.cloned().ok_or_else(|| self.wrong_credential())
    }

    fn wrong_credential(&self) -> Failure {
        match self.quirks.wrong_code {
            WrongCode::InvalidCredentials => {
                Failure::auth(403, "INVALID_CREDENTIALS", "Invalid request credentials")
            }
            WrongCode::NoAuthFound => {
                Failure::auth(401, "NO_AUTH_FOUND", "Wrong authorization data")
            }
        }
    }

    /// The method of this name, if there is one and the credential may call it.
    pub(crate) fn find(
        &self,
        name: &str,
        credential: &Credential,
    ) -> Result<&'static Method, Failure> {
        let [rest, ..] = self.revision;
        let method = methods::find(name).filter(|method| method.since <= rest);
        let method = method
            .ok_or_else(|| Failure::core(404, "ERROR_METHOD_NOT_FOUND", "Method not found!"))?;
        if method.is_open_to(&credential.scopes) {
            return Ok(method);
        }
        let description = match credential.client_id {
            None => "The request requires higher privileges than provided by the webhook token",
            Some(_) => "The request requires higher privileges than provided by the access token",
        };
        Err(Failure::auth(403, "insufficient_scope", description))
    }

    pub(crate) fn check_operating(
        &mut self,
        credential: &Credential,
        method: &'static Method,
        now: UnixTime,
    ) -> Result<(), Failure> {
        let sum = self
            .operating
            .entry((credential.number, method.name))
            .or_default();
        if sum.admits(&self.limits, now) {
            return Ok(());
        }
        let description = "Method is blocked due to operation time limit.";
        Err(Failure::core(429, "OPERATION_TIME_LIMIT", description))
    }

    /// Answers a request that is not served here at all, and writes it down.
    pub(crate) fn turn_away(&mut self, incoming: Incoming, reply: Reply, now: UnixTime) -> Outcome {
        self.journal.arrivals += 1;
        self.journal.request(Entry {
            at: now,
            shown: incoming.sign.shown(),
            method: incoming.method,
            params: incoming.params.map,
            encoding: incoming.encoding,
            traceparent: incoming.traceparent,
            status: reply.status,
            answer: reply.body.clone(),
            batch: None,
            carries: None,
            took: Duration::ZERO,
            executed: false,
            faulted: false,
        });
        Outcome::of(reply)
    }

    /// Whether the portal as a whole serves anybody.
    fn check_condition(&self) -> Result<(), Failure> {
        match self.condition {
            Condition::Closed => {
                let status = match self.quirks.closed_portal {
                    ClosedPortal::ServerError => 500,
                    ClosedPortal::Forbidden => 403,
                    ClosedPortal::Gone => 410,
                };
                let description = "Portal was deleted";
                Err(Failure::core(status, "PORTAL_DELETED", description))
            }
            Condition::NoRest => {
                let description = "REST API is available only on commercial plans.";
                Err(Failure::auth(403, "ACCESS_DENIED", description))
            }
            Condition::Overloaded => {
                let description = "REST API is blocked due to overload.";
                Err(Failure::auth(503, "OVERLOAD_LIMIT", description))
            }
            _ => Ok(()),
        }
    }

    /// Lets an admitted request take effect, and writes it down.
    pub(crate) fn finish(&mut self, admitted: Admitted, now: UnixTime) -> Outcome {
        let Admitted {
            incoming,
            at,
            verdict,
            fault,
            key,
            ..
        } = admitted;
        if let Some(key) = key {
            self.unfinished_keys.remove(&key);
        }
        let faulted = fault.is_some();
        let before = fault.as_ref().is_some_and(|fault| {
            fault.when == When::Before && !matches!(fault.kind, FaultKind::Latency(_))
        });
        let executed = verdict.is_ok() && !before;
        let reply = match &verdict {
            Ok(_) if before => None,
            Ok((credential, method)) => {
                let call = Call {
                    now,
                    credential,
                    params: &incoming.params,
                };
                Some(self.run(method, &call, at))
            }
            Err(failure) => Some(self.refusal(failure)),
        };
        let runs_batch = executed && verdict.as_ref().is_ok_and(|(_, method)| method.is_batch());
        let carries = runs_batch.then_some(self.journal.batches);
        let refusal = |failure: &Failure| self.refusal(failure);
        let outcome = spoil(reply, fault, refusal);
        let (status, answer) = match &outcome.reply {
            Some(reply) => (reply.status, reply.body.clone()),
            None => (0, Bytes::new()),
        };
        self.journal.request(Entry {
            at,
            method: incoming.method,
            params: incoming.params.map,
            encoding: incoming.encoding,
            traceparent: incoming.traceparent,
            shown: incoming.sign.shown(),
            status,
            answer,
            batch: None,
            carries,
            took: now.saturating_sub(at),
            executed,
            faulted,
        });
        outcome
    }

    fn run(&mut self, method: &'static Method, call: &Call<'_>, started: UnixTime) -> Reply {
        let result = if method.is_batch() {
            Ok(batch::run(self, call))
        } else {
            (method.run)(self, call)
        };
        match result {
            Ok(result) => {
                let time = self.settle(method, call.credential, started, call.now);
                let result = self.with_id_shape(result);
                let body = match time {
                    Some(time) => format!(r#"{{"result":{result},"time":{time}}}"#),
                    None => format!(r#"{{"result":{result}}}"#),
                };
                self.reply(200, body)
            }
            Err(failure) => {
                self.settle(method, call.credential, started, call.now);
                self.refusal(&failure)
            }
        }
    }
}
