//! Whether a portal is called at all.
//!
//! Some refusals mean that nobody is served until somebody acts: an expired licence, a revoked
//! credential, a closed portal. Going on calling would help nobody and may get us blocked. But a
//! single call can be refused in the same words for a reason of its own, so what a call is told is
//! only a suspicion: a *probe*, a harmless call that needs no right, decides. If it fails too, the
//! gate closes, and from then on nothing but probes goes through, rarer and rarer, until one succeeds.
//! A portal that keeps silent is treated alike, with shorter pauses.
//!
//! The authorization server decides as a probe does: whom it gives no tokens cannot call at all.
//!
//! Invariant: only what a probe or a refresh of tokens came to opens or closes the gate. Above it stands
//! the [`Hold`] of all portals, under which not even probes go through.

mod sign;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use self::sign::Sign;
use super::{Cause, Error, Hold, by_chance, error::Credential, wire::Method};
use crate::{
    clock::Clock,
    fault::{Fault as _, Reason},
};

/// The call that decides: it needs a working credential and no scope (C24).
pub(super) const PROBE: Method = Method::Profile;

/// Calls in a row that find nobody before a probe is sent.
const SILENT_CALLS: u32 = 3;

/// A suspicion is not looked into again sooner than this after the last was unfounded.
const TRUST: Duration = Duration::from_secs(10);

/// Pauses between the probes of a portal that refuses us, first and longest; some is added by chance.
const PARKED: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

/// The same for a portal that keeps silent.
const SILENT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Who was turned away comes again within this time after a probe, each at another moment.
const SPREAD: Duration = Duration::from_secs(2);

/// How a portal is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nothing was heard of it yet.
    Unknown,
    /// It answers.
    Ok,
    /// It asks for less.
    Throttled,
    /// It will not serve us until somebody acts.
    Parked,
    /// It refuses our credential.
    ReauthorizationRequired,
    /// It does not answer.
    Unreachable,
}

/// What is known of a portal.
#[derive(Debug, Clone)]
pub struct State {
    /// How it is doing.
    pub health: Health,
    /// Why, unless all is well.
    pub reason: Option<Reason>,
    /// Since when; since the start of the process where nothing changed.
    pub since: Timestamp,
    /// When that is looked at again.
    pub until: Option<Timestamp>,
    /// When it last did what was asked.
    pub last_success: Option<Timestamp>,
    /// What it last refused or failed to do.
    pub last_failure: Option<LastFailure>,
}

/// A call that failed in the portal or on the way to it.
#[derive(Debug, Clone)]
pub struct LastFailure {
    /// When it ended.
    pub at: Timestamp,
    /// The method called.
    pub method: Method,
    /// Why.
    pub reason: Reason,
    /// The portal's own code.
    pub portal_code: Option<String>,
}

/// Lets calls to one portal through, or not.
#[derive(Debug)]
pub(super) struct Gate {
    clock: Clock,
    hold: Hold,
    /// What every call reads; the rest matters only when something is wrong.
    closed: AtomicBool,
    /// Calls in a row that found nobody.
    silent: AtomicU32,
    /// Unix time of the last success in milliseconds, 0 for none.
    last_success: AtomicI64,
    inner: Mutex<Inner>,
    suspected: Notify,
    opened: Notify,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    since: Timestamp,
    last_failure: Option<LastFailure>,
    /// When a suspicion was last found wrong.
    trusted: Option<Instant>,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// A call was told something grave: a probe is due.
    Suspected(Instant),
    Closed(Closed),
}

#[derive(Debug)]
struct Closed {
    /// What the last probe was told.
    error: Error,
    pauses: ExponentialBackoff,
    probe_at: Instant,
}

impl Gate {
    /// An open gate.
    pub(super) fn new(clock: Clock, hold: Hold) -> Self {
        Self {
            clock,
            hold,
            closed: AtomicBool::new(false),
            silent: AtomicU32::new(0),
            last_success: AtomicI64::new(0),
            inner: Mutex::new(Inner {
                phase: Phase::Open,
                since: clock.now(),
                last_failure: None,
                trusted: None,
            }),
            suspected: Notify::new(),
            opened: Notify::new(),
        }
    }

    /// Lets a call of a method through, or says why not.
    pub(super) fn pass(&self, method: Method) -> Result<(), Error> {
        if self.hold.holds() {
            return Err(Error::new(method, Cause::Restored).held_back(method, PARKED.0));
        }
        if !self.closed.load(Ordering::Relaxed) || method == PROBE {
            return Ok(());
        }
        match &self.inner().phase {
            Phase::Closed(closed) => {
                let wait = closed
                    .probe_at
                    .saturating_duration_since(Instant::now())
                    .max(SILENT.0);
                let wait = wait + by_chance(SPREAD);
                Err(closed.error.held_back(method, wait))
            }
            Phase::Open | Phase::Suspected(_) => Ok(()),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) || self.hold.holds()
    }

    /// Completes when calls are let through.
    pub(super) async fn opened(&self) {
        self.hold.released().await;
        loop {
            let mut opened = std::pin::pin!(self.opened.notified());
            opened.as_mut().enable();
            if !self.is_closed() {
                return;
            }
            opened.await;
        }
    }

    /// The portal did what was asked.
    pub(super) fn succeeded(&self) {
        let now = self.clock.now().as_millisecond();
        self.last_success.store(now, Ordering::Relaxed);
        self.heard();
    }

    fn heard(&self) {
        if self.silent.load(Ordering::Relaxed) != 0 {
            self.silent.store(0, Ordering::Relaxed);
        }
    }

    /// A call failed.
    pub(super) fn failed(&self, error: &Error) {
        let sign = Sign::of(error.cause());
        if sign == Sign::Nothing && error.status().is_none() {
            return;
        }
        let mut inner = self.inner();
        inner.last_failure = Some(LastFailure {
            at: self.clock.now(),
            method: error.called(),
            reason: error.reason(),
            portal_code: error.portal_code().map(str::to_owned),
        });
        let grave = match sign {
            Sign::Refuses => {
                self.heard();
                true
            }
            Sign::Silent => self.silent.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_CALLS,
            Sign::Serves => {
                self.heard();
                false
            }
            Sign::Nothing => false,
        };
        if grave && matches!(inner.phase, Phase::Open) {
            let now = Instant::now();
            let due = inner.trusted.map_or(now, |at| now.max(at + TRUST));
            inner.phase = Phase::Suspected(due);
            drop(inner);
            self.suspected.notify_one();
        }
    }

    /// Something may have changed: a probe is due at once.
    pub(super) fn look_again(&self) {
        let now = Instant::now();
        let mut inner = self.inner();
        match &mut inner.phase {
            Phase::Open => inner.phase = Phase::Suspected(now),
            Phase::Suspected(due) => *due = now,
            Phase::Closed(closed) => closed.probe_at = now,
        }
        drop(inner);
        self.suspected.notify_one();
    }

    /// Completes when a probe is due.
    pub(super) async fn probe_due(&self) {
        self.hold.released().await;
        loop {
            let due = match &self.inner().phase {
                Phase::Open => None,
                Phase::Suspected(due) => Some(*due),
                Phase::Closed(closed) => Some(closed.probe_at),
            };
            match due {
                Some(due) => tokio::select! {
                    () = sleep_until(due) => return,
                    // It may be due sooner now.
                    () = self.suspected.notified() => {}
                },
                None => self.suspected.notified().await,
            }
        }
    }

    /// What a probe came to. Tells the new health if that opened or closed the gate.
    pub(super) fn probed(&self, outcome: Result<(), &Error>) -> Option<Health> {
        let now = Instant::now();
        let sign = outcome.map_or_else(|error| Sign::of(error.cause()), |()| Sign::Serves);
        let mut inner = self.inner();
        let was = inner.phase.health();
        match (sign, outcome) {
            (Sign::Refuses | Sign::Silent, Err(error)) => inner.phase.close(error, sign, now),
            (Sign::Nothing, _) if matches!(inner.phase, Phase::Closed(_)) => {
                inner.phase.probe_later(now);
            }
            _ => {
                inner.phase = Phase::Open;
                inner.trusted = Some(now);
            }
        }
        let is = inner.phase.health();
        self.closed.store(is.is_some(), Ordering::Relaxed);
        if is == was {
            return None;
        }
        inner.since = self.clock.now();
        drop(inner);
        if is.is_none() {
            self.silent.store(0, Ordering::Relaxed);
            self.opened.notify_waiters();
        }
        Some(is.unwrap_or(Health::Ok))
    }

    /// There are new tokens. Opens the gate where the lack of tokens had closed it, which is told; any
    /// other reason is looked into at once.
    pub(super) fn renewed(&self) -> Option<Health> {
        let mut inner = self.inner();
        let Phase::Closed(closed) = &mut inner.phase else {
            return None;
        };
        let lacked_tokens = matches!(
            closed.error.cause(),
            Cause::Credential(Credential::Spent | Credential::Foreign)
                | Cause::NotInstalled
                | Cause::ApplicationRefused
                | Cause::AuthorizationServer
        );
        if lacked_tokens {
            drop(inner);
            return self.probed(Ok(()));
        }
        closed.probe_at = Instant::now();
        drop(inner);
        self.suspected.notify_one();
        None
    }

    /// There is reason to hope: a closed gate is looked into at once.
    pub(super) fn look_again_if_closed(&self) {
        let mut inner = self.inner();
        if let Phase::Closed(closed) = &mut inner.phase {
            closed.probe_at = Instant::now();
            drop(inner);
            self.suspected.notify_one();
        }
    }

    /// What is known of the portal.
    pub(super) fn state(&self) -> State {
        let last_success = match self.last_success.load(Ordering::Relaxed) {
            0 => None,
            at => Timestamp::from_millisecond(at).ok(),
        };
        let inner = self.inner();
        let (health, reason, until) = match &inner.phase {
            _ if self.hold.holds() => (Health::Parked, Some(Reason::Restored), None),
            Phase::Closed(closed) => (
                inner.phase.health().unwrap_or(Health::Unknown),
                Some(closed.error.held_back(PROBE, Duration::ZERO).reason()),
                Some(self.clock.at(closed.probe_at)),
            ),
            _ if last_success.is_none() && inner.last_failure.is_none() => {
                (Health::Unknown, None, None)
            }
            _ => (Health::Ok, None, None),
        };
        State {
            health,
            reason,
            since: inner.since,
            until,
            last_success,
            last_failure: inner.last_failure.clone(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Phase {
    /// How a portal is doing that is not called.
    fn health(&self) -> Option<Health> {
        let Self::Closed(closed) = self else {
            return None;
        };
        Some(match closed.error.cause() {
            Cause::Credential(_) | Cause::NotInstalled => Health::ReauthorizationRequired,
            cause if Sign::of(cause) == Sign::Silent => Health::Unreachable,
            _ => Health::Parked,
        })
    }

    fn close(&mut self, error: &Error, sign: Sign, now: Instant) {
        match self {
            Self::Closed(closed) if Sign::of(closed.error.cause()) == sign => {
                closed.error = error.clone();
            }
            _ => {
                let (first, longest) = if sign == Sign::Silent { SILENT } else { PARKED };
                let pauses = ExponentialBuilder::default()
                    .with_min_delay(first)
                    .with_max_delay(longest)
                    .without_max_times()
                    .with_jitter();
                *self = Self::Closed(Closed {
                    error: error.clone(),
                    pauses: pauses.build(),
                    probe_at: now,
                });
            }
        }
        self.probe_later(now);
    }

    fn probe_later(&mut self, now: Instant) {
        if let Self::Closed(closed) = self {
            closed.probe_at = now + closed.pauses.next().unwrap_or(PARKED.1);
        }
    }
}

#[cfg(test)]
mod tests;
