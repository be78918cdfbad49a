//! How we call a portal, and how what it says is understood.
//!
//! A [`Call`] passes these stages: [`limit`] waits until the portal's rate allows it, [`auth`] adds
//! the credential, [`transport`] carries it, [`error::judge`] reads the outcome. [`wire`] is the
//! portal's language and knows no network.
//!
//! Invariant: nothing but a [`Portal`] holds a credential, and everything that leaves for a portal
//! passes its limit.

mod auth;
pub mod call;
mod limit;
pub mod transport;
pub mod wire;

pub mod error;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp};
use tracing::debug;

use self::{auth::Credential, limit::Limit, transport::Transport, wire::Reply};
use crate::{
    clock::Clock,
    fault::{Fault as _, Reason},
    ids::PortalId,
};

pub use auth::WebhookUrl;
pub use call::{Call, Patience};
pub use error::{Cause, Error};
pub use limit::Rate;

/// Which portals there are and how to call them.
#[derive(Debug)]
pub struct Config {
    /// Every portal with its credential.
    pub portals: BTreeMap<PortalId, WebhookUrl>,
    /// The portal that an empty name means.
    pub default: Option<PortalId>,
    /// What each portal allows.
    pub rate: Rate,
    /// How to reach them.
    pub transport: transport::Config,
}

/// All portals. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Portals(Arc<All>);

#[derive(Debug)]
struct All {
    portals: BTreeMap<PortalId, Portal>,
    default: Option<PortalId>,
}

/// One portal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Portal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: PortalId,
    credential: Credential,
    limit: Limit,
    transport: Transport,
    clock: Clock,
    /// The portal's clock less ours, in milliseconds.
    skew_ms: AtomicI64,
    health: Mutex<Health>,
}

/// How a portal is doing, by its last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Nothing was heard of it yet.
    #[default]
    Unknown,
    /// It answers.
    Ok,
    /// It asks for less.
    Throttled(Reason),
    /// It will not serve us until somebody acts.
    Parked(Reason),
    /// It refuses our credential.
    ReauthorizationRequired,
    /// It does not answer.
    Unreachable,
}

impl Portals {
    /// Handles for all configured portals.
    ///
    /// # Errors
    ///
    /// When TLS or the HTTP client cannot be set up.
    pub fn new(config: Config, clock: Clock) -> Result<Self, transport::Error> {
        let transport = Transport::new(&config.transport)?;
        let portal = |(id, url): (PortalId, WebhookUrl)| {
            let portal = Portal(Arc::new(Inner {
                id: id.clone(),
                credential: Credential::Webhook(url),
                limit: Limit::new(config.rate),
                transport: transport.clone(),
                clock,
                skew_ms: AtomicI64::new(0),
                health: Mutex::default(),
            }));
            (id, portal)
        };
        Ok(Self(Arc::new(All {
            portals: config.portals.into_iter().map(portal).collect(),
            default: config.default,
        })))
    }

    /// A portal by name.
    #[must_use]
    pub fn get(&self, id: &PortalId) -> Option<&Portal> {
        self.0.portals.get(id)
    }

    /// The portal that an empty name means.
    #[must_use]
    pub fn default_portal(&self) -> Option<&Portal> {
        self.0.default.as_ref().and_then(|id| self.get(id))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Portal> {
        self.0.portals.values()
    }
}

/// The right to send one request now.
#[derive(Debug)]
pub struct Permit<'a> {
    portal: &'a Inner,
    patience: &'a Patience,
}

impl Portal {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &PortalId {
        &self.0.id
    }

    /// The time by the portal's own clock, as far as its answers told.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let skew = SignedDuration::from_millis(self.0.skew_ms.load(Ordering::Relaxed));
        let now = self.0.clock.now();
        now.saturating_add(skew).unwrap_or(now)
    }

    /// What it allows.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.0.limit.rate()
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        *self.0.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls a method, as soon as the portal's limit allows.
    ///
    /// # Errors
    ///
    /// See [`Cause`]; the error says whether the call may have run.
    pub async fn call(&self, call: Call, patience: &Patience) -> Result<Reply, Error> {
        self.permit(call.method, patience).await?.send(call).await
    }

    /// Waits for the right to send one request. For what must be decided at the moment of sending.
    ///
    /// # Errors
    ///
    /// When the wait would outlast the caller's patience; nothing was sent.
    pub async fn permit<'a>(
        &'a self,
        method: wire::Method,
        patience: &'a Patience,
    ) -> Result<Permit<'a>, Error> {
        let refused = |cause| Error::new(method, cause).at(&self.0.id);
        let permit = tokio::select! {
            biased;
            permit = self.0.limit.permit(patience.deadline()) => permit,
            () = patience.left() => return Err(refused(Cause::CallerLeft)),
        };
        match permit {
            Ok(()) => Ok(Permit {
                portal: &self.0,
                patience,
            }),
            Err(limit::TooLong { wait }) => Err(refused(Cause::WaitTooLong).wait(wait)),
        }
    }
}

impl Permit<'_> {
    /// Sends a call and reads what comes back.
    ///
    /// # Errors
    ///
    /// See [`Cause`]; the error says whether the call may have run.
    pub async fn send(self, call: Call) -> Result<Reply, Error> {
        let Inner {
            id,
            credential,
            limit,
            transport,
            clock,
            ..
        } = self.portal;
        let method = call.method;
        let (url, body) = credential
            .authorize(call)
            .map_err(|cause| Error::new(method, cause).at(id))?;
        if !self.patience.begin_sending() {
            return Err(Error::new(method, Cause::CallerLeft).at(id));
        }
        let sent_at = clock.now();
        let outcome = transport.post(&url, body).await;
        match error::judge(method, &url, outcome) {
            Ok(reply) => {
                self.portal.learn_skew(&reply, sent_at, clock.now());
                self.portal.note(Health::Ok);
                debug!(portal.id = %id, method = %method, "portal answered");
                Ok(reply)
            }
            Err(error) => {
                if matches!(error.cause(), Cause::Throttled) {
                    limit.refused().await;
                }
                let error = error.at(id);
                self.portal.note(Health::after(&error));
                debug!(portal.id = %id, method = %method, reason = error.reason().as_str(), "portal call failed");
                Err(error)
            }
        }
    }
}

impl Health {
    /// What a failure says of the portal. A refusal of the call itself says that it is well.
    fn after(error: &Error) -> Self {
        match error.reason() {
            Reason::ReauthorizationRequired => Self::ReauthorizationRequired,
            Reason::PortalUnreachable | Reason::OutcomeUnknown | Reason::UnreadableAnswer => {
                Self::Unreachable
            }
            reason @ (Reason::PortalThrottled | Reason::PortalOperatingLimit) => {
                Self::Throttled(reason)
            }
            reason @ (Reason::PortalParked
            | Reason::PortalGone
            | Reason::PortalPlanWithoutRest
            | Reason::PaymentRequired
            | Reason::ApplicationNotInstalled) => Self::Parked(reason),
            _ => Self::Ok,
        }
    }
}

impl Inner {
    fn note(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// The portal finished somewhere between our sending and receiving: a clock within that stretch
    /// is right, another is off by at least the rest.
    fn learn_skew(&self, reply: &Reply, sent: Timestamp, received: Timestamp) {
        let finish = reply.time.as_ref().and_then(|time| time.finish);
        let Some(finish) =
            finish.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok())
        else {
            return;
        };
        let Ok(finish) = Timestamp::from_duration(finish) else {
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
