//! How we call a portal, and how what it says is understood.
//!
//! A [`Call`] passes these stages, each a module: `admission` keeps floods out and orders kept, `retry` repeats what surely did not run, `queue`
//! decides who leaves next and what leaves together (`batch`), `limit` says when, `auth` adds the
//! credential, [`transport`] carries, [`error::judge`] reads the outcome. [`wire`] is the portal's
//! language and knows no network.
//!
//! Invariant: nothing but a [`Portal`] holds a credential, and everything that leaves for a portal
//! passes its queue and its limit.

pub mod call;

mod admission;
mod retry;

mod batch;
mod queue;

mod limit;

mod auth;
mod sender;
pub mod transport;

pub mod error;

pub mod wire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::sync::Notify;

use self::{
    admission::Admission,
    auth::Credential,
    limit::{Account, Limit, Memory},
    queue::Queue,
    retry::Budget,
    sender::Sender,
    transport::Transport,
    wire::Reply,
};
use crate::{
    clock::Clock,
    fault::{Fault as _, Reason},
    ids::PortalId,
    store::{self, Store},
};

pub use auth::WebhookUrl;
pub use call::{Call, Guard, Patience};
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
    /// Time that each method may spend in the portal within ten minutes; zero for no limit.
    pub operating_budget: Duration,
    /// Times a call is made at most where a repeat is safe; 1 for no repeats.
    pub attempts: usize,
    /// How to reach them.
    pub transport: transport::Config,
}

/// All portals. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Portals(Arc<All>);

#[derive(Debug)]
struct All {
    portals: BTreeMap<PortalId, Portal>,
    memory: Memory,
    default: Option<PortalId>,
}

/// One portal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Portal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: PortalId,
    sender: Arc<Sender>,
    queue: Queue,
    admission: Admission,
    retries: Budget,
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

/// Ends what keeps the limits.
impl Drop for All {
    fn drop(&mut self) {
        self.memory.worth_keeping.notify_one();
    }
}

impl Portals {
    /// Handles for all configured portals. Must be called on a runtime.
    ///
    /// # Errors
    ///
    /// When TLS or the HTTP client cannot be set up.
    pub fn new(config: Config, clock: Clock) -> Result<Self, transport::Error> {
        let transport = Transport::new(&config.transport)?;
        let mut memory = Memory {
            accounts: BTreeMap::new(),
            limits: Vec::new(),
            worth_keeping: Arc::new(Notify::new()),
            clock,
        };
        let portal = |(id, url): (PortalId, WebhookUrl)| {
            let account = memory.accounts.entry(url.address());
            let account = account.or_insert_with(|| Arc::new(Account::new(config.rate)));
            let limit = Arc::new(Limit::new(
                Arc::clone(account),
                config.operating_budget,
                Arc::clone(&memory.worth_keeping),
            ));
            memory.limits.push((id.clone(), Arc::clone(&limit)));
            let credential = Credential::Webhook(url);
            let sender = Sender::new(id.clone(), credential, limit, transport.clone(), clock);
            let sender = Arc::new(sender);
            let portal = Portal(Arc::new(Inner {
                id: id.clone(),
                queue: Queue::start(Arc::clone(&sender)),
                sender,
                admission: Admission::default(),
                retries: Budget::new(config.attempts),
            }));
            (id, portal)
        };
        let portals = config.portals.into_iter().map(portal).collect();
        Ok(Self(Arc::new(All {
            portals,
            memory,
            default: config.default,
        })))
    }

    /// Goes on where the limits were before a restart, and keeps them from now on.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn remember(&self, store: &Store) -> Result<(), store::Error> {
        self.0.memory.resume(&store.pacing().await?);
        self.0.memory.keep_ahead(store).await;
        let worth_keeping = Arc::clone(&self.0.memory.worth_keeping);
        let (all, store) = (Arc::downgrade(&self.0), store.clone());
        tokio::spawn(async move {
            loop {
                worth_keeping.notified().await;
                let Some(all) = all.upgrade() else { break };
                all.memory.keep_ahead(&store).await;
            }
        });
        Ok(())
    }

    /// Keeps where the limits are, for the next start. Nothing may be sent afterwards.
    pub async fn rest(&self, store: &Store) {
        self.0.memory.keep(store).await;
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

impl Portal {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &PortalId {
        &self.0.id
    }

    /// The time by the portal's own clock, as far as its answers told.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.sender.portal_time()
    }

    /// What it allows.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.0.sender.limit.rate()
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.sender.health()
    }

    /// Calls waiting for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.queue.waiting()
    }

    /// Calls a method when its turn comes, and again where that is safe.
    ///
    /// # Errors
    ///
    /// See [`Cause`]; the error says whether the call may have run.
    pub async fn call(&self, call: Call, patience: &Patience) -> Result<Reply, Error> {
        let Inner {
            id,
            queue,
            admission,
            retries,
            ..
        } = &*self.0;
        let _inside = admission.admit(id, &call, patience)?;
        let _turn = admission.turn(id, &call, patience).await?;
        retry::call(queue, retries, call, patience).await
    }

    /// Calls a method once. For whoever has a rhythm of its own.
    ///
    /// # Errors
    ///
    /// See [`Cause`]; the error says whether the call may have run.
    pub async fn call_once(&self, call: Call, patience: &Patience) -> Result<Reply, Error> {
        self.0.queue.send(Arc::new(call), patience).await
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
