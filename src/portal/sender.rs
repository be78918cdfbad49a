//! Sends one request and learns from what comes back.
//!
//! The last stage in front of the transport: the credential is added, the outcome judged, and what the
//! answer tells of clock, costs and state is kept. Whoever calls holds a permit.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::debug;

use super::{
    Error, Patience,
    assume::Assumptions,
    auth::{Credential, Pass},
    batch::{self, Passenger},
    call::Call,
    error::{self, Cause},
    home::Home,
    limit::Limit,
    state::Gate,
    tokens,
    transport::{Body, SecretUrl, Transport},
    wire::{Method, Reply, Time},
};
use crate::{clock::Clock, fault::Fault as _, ids::PortalId};

/// Sends to one portal.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) portal: PortalId,
    pub(super) limit: Arc<Limit>,
    pub(super) assumptions: Assumptions,
    pub(super) credential: Credential,
    pub(super) home: Home,
    transport: Transport,
    clock: Clock,
    /// The portal's clock less ours, in milliseconds.
    skew_ms: AtomicI64,
    pub(super) gate: Arc<Gate>,
}

impl Sender {
    pub(super) fn new(
        portal: PortalId,
        credential: Credential,
        assumptions: Assumptions,
        home: Home,
        limit: Arc<Limit>,
        transport: Transport,
        clock: Clock,
    ) -> Self {
        Self {
            portal,
            limit,
            assumptions,
            credential,
            home,
            transport,
            clock,
            skew_ms: AtomicI64::new(0),
            gate: Arc::new(Gate::new(clock)),
        }
    }

    /// The time by the portal's own clock, as far as its answers told.
    pub(super) fn portal_time(&self) -> Timestamp {
        let now = self.clock.now();
        now.saturating_add(self.skew()).unwrap_or(now)
    }

    /// The portal's clock less ours.
    pub(super) fn skew(&self) -> SignedDuration {
        SignedDuration::from_millis(self.skew_ms.load(Ordering::Relaxed))
    }

    /// Sends a call in a request of its own.
    pub(super) async fn send_alone(
        &self,
        call: &Call,
        patience: &Patience,
    ) -> Result<Reply, Error> {
        let method = call.method;
        let pass = self.credential.pass();
        let authorized = pass.and_then(|pass| Ok((pass.authorize(call)?, pass)));
        let (body, pass) = authorized.map_err(|cause| {
            self.limit.return_permit();
            Error::new(method, cause).at(&self.portal)
        })?;
        if !self.may_go(call, patience) {
            self.limit.return_permit();
            return Err(self.not_sent(call));
        }
        self.limit.began(method);
        let outcome = self.request(method, body, &pass).await;
        let time = outcome.as_ref().ok().and_then(|reply| reply.time.as_ref());
        self.ended(method, time);
        outcome.map_err(|error| self.learn_from(error, &pass))
    }

    /// Sends calls in one request, and answers each.
    pub(super) async fn send_together(&self, passengers: Vec<Passenger>) {
        let pass = match self.credential.pass() {
            Ok(pass) => pass,
            Err(cause) => {
                self.limit.return_permit();
                for passenger in passengers {
                    let error = Error::new(passenger.call.method, cause.clone());
                    let _unheard = passenger.reply.send(Err(error.at(&self.portal)));
                }
                return;
            }
        };
        let mut aboard = Vec::with_capacity(passengers.len());
        let mut entries = Vec::with_capacity(passengers.len());
        for passenger in passengers {
            let call = &passenger.call;
            let entry = passenger
                .load
                .as_ref()
                .and_then(|load| self.credential.entry(load, call));
            match entry {
                Some(entry) if self.may_go(call, &passenger.patience) => {
                    self.limit.began(call.method);
                    entries.push(entry);
                    aboard.push(passenger);
                }
                // Only calls with a load are put together, so it is the caller who left.
                _ => {
                    let _unheard = passenger.reply.send(Err(self.not_sent(&passenger.call)));
                }
            }
        }
        if aboard.is_empty() {
            self.limit.return_permit();
            return;
        }
        let methods: Vec<_> = aboard
            .iter()
            .map(|passenger| passenger.call.method)
            .collect();
        let call = Call {
            params: batch::params(entries.into_iter()),
            ..Call::new(Method::Batch)
        };
        let answer = match pass.authorize(&call) {
            Ok(body) => self.request(Method::Batch, body, &pass).await,
            Err(cause) => Err(Error::new(Method::Batch, cause)),
        };
        // The outer request may be charged as well: it counts as one more call of its own.
        debug!(portal.id = %self.portal, calls = methods.len(), "calls travelled together");
        for (passenger, outcome) in aboard.into_iter().zip(batch::outcomes(&methods, answer)) {
            let method = passenger.call.method;
            self.learn_of_batch(&outcome);
            let time = outcome.as_ref().ok().and_then(|reply| reply.time.as_ref());
            self.ended(method, time);
            let outcome = outcome.map_err(|error| self.learn_from(error, &pass));
            // The caller may have left; its call ran to its end all the same.
            let _unheard = passenger.reply.send(outcome);
        }
    }

    /// Whether a call is still wanted now that it is about to leave.
    fn may_go(&self, call: &Call, patience: &Patience) -> bool {
        call.guard.as_ref().is_none_or(|guard| guard.lets_through()) && patience.begin_sending()
    }

    fn not_sent(&self, call: &Call) -> Error {
        let withdrawn = call
            .guard
            .as_ref()
            .is_some_and(|guard| !guard.lets_through());
        let cause = if withdrawn {
            Cause::Withdrawn
        } else {
            Cause::CallerLeft
        };
        Error::new(call.method, cause).at(&self.portal)
    }

    async fn request(&self, method: Method, body: Body, pass: &Pass) -> Result<Reply, Error> {
        // Where there are tokens there is an address.
        let url = self.home.method(method.as_str());
        let url = url.ok_or_else(|| Error::new(method, Cause::NotInstalled))?;
        let sent_at = self.clock.now();
        let outcome = self.transport.post(&url, body).await;
        let reply =
            error::judge(method, &url, outcome).map_err(|error| self.led_elsewhere(error, &url))?;
        self.home.served(&url);
        self.credential.served(pass);
        self.learn_skew(&reply, sent_at, self.clock.now());
        self.gate.succeeded();
        debug!(portal.id = %self.portal, method = %method, "portal answered");
        Ok(reply)
    }

    /// Goes along with a portal that moves, if we may.
    fn led_elsewhere(&self, error: Error, asked: &SecretUrl) -> Error {
        match error.cause() {
            Cause::Moved { origin } if self.home.follow(asked, origin) => error,
            Cause::Moved { .. } => error.because(Cause::Redirected),
            Cause::Unreachable(_) | Cause::Blocked | Cause::Redirected | Cause::Unreadable(_) => {
                self.home.silent(asked);
                error
            }
            _ => error,
        }
    }

    fn ended(&self, method: Method, time: Option<&Time>) {
        let unix = self.portal_time().as_duration().as_secs_f64();
        self.limit.ended(method, time, unix, Instant::now());
    }

    /// What the fate of a call that travelled with others says of doing so.
    fn learn_of_batch(&self, outcome: &Result<Reply, Error>) {
        match outcome.as_ref().map_err(Error::cause) {
            Ok(_) => self.assumptions.batch_was_taken(true),
            Err(Cause::NotInBatch) => self.assumptions.batch_was_taken(false),
            Err(_) => {}
        }
    }

    /// What a failure says of the portal.
    fn learn_from(&self, error: Error, pass: &Pass) -> Error {
        if tokens::is_of_token(error.cause()) && self.credential.refused(pass) {
            debug!(portal.id = %self.portal, method = %error.called(), "access token is over");
            return error.at(&self.portal).because(Cause::TokenOver);
        }
        let now = Instant::now();
        let error = error.at(&self.portal);
        debug!(portal.id = %self.portal, method = %error.called(), reason = error.reason().as_str(), "portal call failed");
        if !matches!(error.cause(), Cause::Moved { .. }) {
            self.gate.failed(&error);
        }
        match error.cause() {
            Cause::Throttled => {
                self.limit.refused(now);
                error
            }
            Cause::OperatingLimit => {
                let until = self.limit.banned(error.called(), now);
                error.wait(until - now)
            }
            _ => error,
        }
    }

    /// The portal finished somewhere between our sending and receiving: a clock within that stretch
    /// is right, another is off by at least the rest.
    fn learn_skew(&self, reply: &Reply, sent: Timestamp, received: Timestamp) {
        let finish = reply.time.as_ref().and_then(|time| time.finish);
        let finish = finish.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok());
        let Some(Ok(finish)) = finish.map(Timestamp::from_duration) else {
            return;
        };
        let skew = if finish < sent {
            finish.duration_since(sent)
        } else if finish > received {
            finish.duration_since(received)
        } else {
            SignedDuration::ZERO
        };
        let millis = i64::try_from(skew.as_millis()).unwrap_or(0);
        self.skew_ms.store(millis, Ordering::Relaxed);
    }
}
