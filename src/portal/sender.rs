//! Sends one request and learns from what comes back.
//!
//! The last stage in front of the transport: the credential is added, the outcome judged, and what the
//! answer tells of clock, costs and state is kept. Whoever calls holds a permit.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::debug;

use super::{
    Error, Patience,
    assume::Assumptions,
    auth::{Credential, Pass},
    batch::{self, Passenger},
    bot_key::Lease,
    call::Call,
    clock::PortalClock,
    error::{self, Cause},
    home::Home,
    limit::{Cost, Limit},
    metrics::{Limited, Metrics},
    state::Gate,
    tokens, traces,
    transport::{Body, SecretUrl, Transport},
    wire::{Method, Reply},
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
    pub(super) metrics: Metrics,
    transport: Transport,
    clock: PortalClock,
    pub(super) gate: Arc<Gate>,
    day: Clock,
    /// When the webhook ends by the configuration.
    webhook_ends: Mutex<Option<Timestamp>>,
}

/// What a sender works with.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) transport: Transport,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

impl Sender {
    pub(super) fn new(
        portal: PortalId,
        credential: Credential,
        assumptions: Assumptions,
        home: Home,
        limit: Arc<Limit>,
        tools: Tools,
    ) -> Self {
        let gate = Gate::new(tools.clock, tools.transport.hold().clone());
        Self {
            portal,
            limit,
            assumptions,
            credential,
            home,
            metrics: tools.metrics,
            transport: tools.transport,
            day: tools.clock,
            webhook_ends: Mutex::default(),
            clock: PortalClock::new(tools.clock),
            gate: Arc::new(gate),
        }
    }

    /// The time by the portal's own clock, as far as its answers told.
    pub(super) fn portal_time(&self) -> Timestamp {
        self.clock.now()
    }

    /// The same, once an answer told.
    pub(super) fn told_time(&self) -> Option<Timestamp> {
        self.clock.told()
    }

    /// The portal's clock less ours.
    pub(super) fn skew(&self) -> SignedDuration {
        self.clock.skew()
    }

    pub(super) fn webhook_ends(&self) -> Option<Timestamp> {
        *self.ends()
    }

    /// Says whether that differs from before.
    pub(super) fn set_webhook_ends(&self, ends: Option<Timestamp>) -> bool {
        std::mem::replace(&mut *self.ends(), ends) != ends
    }

    fn ends(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.webhook_ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest answer that is read, in bytes.
    pub(super) fn answer_limit(&self) -> usize {
        self.transport.answer_limit()
    }

    /// Sends a call in a request of its own.
    pub(super) async fn send_alone(
        &self,
        call: &Call,
        patience: &Patience,
    ) -> Result<Reply, Error> {
        let method = call.method;
        let authorize = || {
            let pass = self.credential.pass()?;
            let lease = call.lease()?;
            Ok((pass.authorize(call, lease.as_ref())?, pass, lease))
        };
        let (body, pass, lease) = authorize().map_err(|cause| {
            self.limit.return_permit();
            Error::new(method, cause).at(&self.portal)
        })?;
        if !self.may_go(call, patience) {
            self.limit.return_permit();
            return Err(self.not_sent(call));
        }
        self.limit.began(method);
        let sent = Instant::now();
        let outcome = self.request(method, body, &pass).await;
        self.ended(method, &outcome, sent.elapsed());
        outcome.map_err(|error| self.learn_from(error, &pass, lease.as_ref()))
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
            let lease = match call.lease() {
                Ok(lease) => lease,
                Err(cause) => {
                    let error = Error::new(call.method, cause).at(&self.portal);
                    let _unheard = passenger.reply.send(Err(error));
                    continue;
                }
            };
            let entry = batch::entry(call);
            let entry = entry.and_then(|entry| self.credential.entry(entry, call, lease.as_ref()));
            match entry {
                Some(entry) if self.may_go(call, &passenger.patience) => {
                    self.limit.began(call.method);
                    entries.push(entry);
                    aboard.push((passenger, lease));
                }
                // Only calls that fit are put together, so it is the caller who left.
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
            .map(|(passenger, _)| passenger.call.method)
            .collect();
        let call = batch::call(entries.into_iter());
        let sent = Instant::now();
        let spans = aboard.iter().map(|(passenger, _)| passenger.span.place());
        let span = traces::batch(&self.portal, spans);
        let answer = match pass.authorize(&call, None) {
            Ok(body) => span.run(self.request(Method::Batch, body, &pass)).await,
            Err(cause) => Err(Error::new(Method::Batch, cause)),
        };
        traces::ended(&span, &answer);
        drop(span);
        // The outer request may be charged as well: it counts as one more call of its own.
        debug!(portal.id = %self.portal, calls = methods.len(), "calls travelled together");
        let each =
            u32::try_from(methods.len()).map_or(Duration::ZERO, |calls| sent.elapsed() / calls);
        for ((passenger, lease), outcome) in
            aboard.into_iter().zip(batch::outcomes(&methods, answer))
        {
            let method = passenger.call.method;
            self.learn_of_batch(method, &outcome);
            self.ended(method, &outcome, each);
            let learn = |error| self.learn_from(error, &pass, lease.as_ref());
            let outcome = passenger.span.place().enter(|| outcome.map_err(learn));
            drop(lease);
            traces::ended(&passenger.span, &outcome);
            drop(passenger.span);
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
        let sent = Instant::now();
        let by_webhook = matches!(self.credential, Credential::Webhook);
        let span = traces::requests(&self.portal, method, &url, by_webhook);
        let outcome = span.run(self.transport.post(&url, body)).await;
        traces::answered(&span, outcome.as_ref().ok().map(|answer| answer.status));
        let judged = error::judge(method, &url, outcome);
        traces::ended(&span, &judged);
        drop(span);
        self.metrics
            .requested(method, judged.as_ref().err(), sent.elapsed());
        let reply = judged.map_err(|error| self.led_elsewhere(error, &url))?;
        self.home.served(&url);
        self.credential.served(pass);
        if let Some(time) = &reply.time {
            self.clock.learn(time, sent, Instant::now());
        }
        self.gate.succeeded();
        debug!(portal.id = %self.portal, method = %method, "portal answered");
        Ok(reply)
    }

    /// Goes along with a portal that moves, if we may.
    fn led_elsewhere(&self, error: Error, asked: &SecretUrl) -> Error {
        match error.cause() {
            Cause::Moved { origin } if self.home.follow(asked, origin) => error,
            Cause::Moved { .. } => error.because(Cause::Redirected),
            // It was refused for what it came with, and by now it would come with something else.
            Cause::Credential(_) if self.home.has_left(asked, error.called()) => {
                let origin = self.home.origins().0;
                error.because(Cause::Moved { origin })
            }
            Cause::Credential(_) if self.webhook_has_ended() => {
                error.because(Cause::Credential(error::Credential::WebhookEnded))
            }
            Cause::Unreachable(_) | Cause::Blocked | Cause::Redirected | Cause::Unreadable(_) => {
                self.home.silent(asked);
                error
            }
            _ => error,
        }
    }

    fn webhook_has_ended(&self) -> bool {
        self.webhook_ends()
            .is_some_and(|ends| ends <= self.day.now())
    }

    /// `measured`: how long it took by our own clock, for want of a better word from the portal.
    fn ended(&self, method: Method, outcome: &Result<Reply, Error>, measured: Duration) {
        let unix = self.portal_time().as_duration().as_secs_f64();
        let cost = match outcome.as_ref().map_err(Error::cause) {
            Ok(reply) => Some(Cost {
                told: reply.time.as_ref(),
                measured: Some(measured),
            }),
            Err(cause) if cause.came_from_the_method() => Some(Cost {
                told: None,
                measured: Some(measured),
            }),
            Err(Cause::NoAnswer(_)) => Some(Cost {
                told: None,
                measured: None,
            }),
            Err(_) => None,
        };
        self.limit.ended(method, cost, unix, Instant::now());
    }

    /// What the fate of a call that travelled with others says of doing so.
    fn learn_of_batch(&self, method: Method, outcome: &Result<Reply, Error>) {
        match outcome.as_ref().map_err(Error::cause) {
            Ok(_) => self.assumptions.batch_was_taken(method, true),
            Err(Cause::NotInBatch) => self.assumptions.batch_was_taken(method, false),
            Err(_) => {}
        }
    }

    /// What a failure says of the portal.
    fn learn_from(&self, error: Error, pass: &Pass, lease: Option<&Lease>) -> Error {
        // It came before anything of the method (C16.2).
        if matches!(error.cause(), Cause::BotToken) && lease.is_some_and(Lease::refused) {
            debug!(portal.id = %self.portal, method = %error.called(), "token of a bot may have been replaced");
            return error.at(&self.portal).because(Cause::BotTokenChanging);
        }
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
                self.metrics.limited(Limited::Rate);
                self.limit.refused(now);
                error
            }
            Cause::OperatingLimit => {
                self.metrics.limited(Limited::OperatingTime);
                let until = self.limit.banned(error.called(), now);
                error.wait(until - now)
            }
            _ => error,
        }
    }
}
