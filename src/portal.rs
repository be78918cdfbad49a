//! How we call a portal, and how what it says is understood.
//!
//! A [`Call`] passes these stages, each a module: `admission` keeps floods out and orders kept,
//! `retry` repeats what surely did not run, [`state`] decides whether the portal is called at all,
//! `queue` who leaves next and what leaves together (`batch`), `limit` says when, `home` where to,
//! `auth` adds the credential, [`transport`] carries, [`error::judge`] reads the outcome. [`wire`] is
//! the portal's language and knows no network.
//!
//! Invariant: nothing but a [`Portal`] holds a credential, and everything that leaves for a portal
//! passes its queue and its limit.

pub mod call;

pub mod assume;

mod admission;
mod retry;

mod batch;
mod queue;

mod limit;

mod probe;
pub mod state;

mod auth;
mod clock;
mod home;
mod sender;
pub mod transport;

pub mod error;

pub mod wire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::Notify, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use self::{
    admission::Admission,
    assume::Assumptions,
    auth::Credential,
    home::Home,
    limit::{Account, Limit, Memory},
    queue::{Queue, TOGETHER},
    sender::Sender,
    transport::Transport,
    wire::{Method, Reply, batch::MOST_CALLS},
};
use crate::{
    clock::Clock,
    ids::PortalId,
    store::{self, Address, Store},
};

pub use assume::{Assume, Assumption, Switch};
pub use auth::WebhookUrl;
pub use call::{Call, Guard, Patience};
pub use error::{Cause, Error};
pub use home::Hosts;
pub use limit::{Budget, Rate};
pub use queue::Waiting;
pub use state::{Health, State};

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
    /// What to rely on, where that is not left to each portal.
    pub assume: BTreeMap<PortalId, Assume>,
    /// Hosts that they may move to.
    pub hosts: Hosts,
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
    clock: Clock,
    sender: Arc<Sender>,
    queue: Queue,
    admission: Admission,
    retries: retry::Budget,
    _prober: AbortOnDropHandle<()>,
}

/// Ends what keeps the limits.
impl Drop for All {
    fn drop(&mut self) {
        self.memory.worth_keeping.notify_one();
    }
}

impl Portals {
    /// Handles for all configured portals, at the addresses that they are known to have moved to.
    /// Must be called on a runtime.
    ///
    /// # Errors
    ///
    /// When TLS or the HTTP client cannot be set up.
    pub fn new(
        mut config: Config,
        clock: Clock,
        store: &Store,
        addresses: Vec<(PortalId, Address)>,
    ) -> Result<Self, transport::Error> {
        let hosts = config.portals.values().map(|url| url.host().to_owned());
        config.transport.names.own.extend(hosts);
        let transport = Transport::new(&config.transport)?;
        let hosts = Arc::new(config.hosts);
        let mut addresses: BTreeMap<_, _> = addresses.into_iter().collect();
        let mut memory = Memory {
            accounts: BTreeMap::new(),
            limits: Vec::new(),
            worth_keeping: Arc::new(Notify::new()),
            clock,
        };
        let portal = |(id, url): (PortalId, WebhookUrl)| {
            let account = memory.accounts.entry(url.place());
            let account = account.or_insert_with(|| Arc::new(Account::new(config.rate)));
            let limit = Arc::new(Limit::new(
                Arc::clone(account),
                config.operating_budget,
                Arc::clone(&memory.worth_keeping),
            ));
            memory.limits.push((id.clone(), Arc::clone(&limit)));
            let known = addresses.remove(&id);
            let url = url.into_address();
            let home = Home::new(id.clone(), url, Arc::clone(&hosts), store.clone(), known);
            let credential = Credential::Webhook;
            let assume = config.assume.get(&id).copied().unwrap_or_default();
            let transport = transport.clone();
            let assumptions = Assumptions::new(assume);
            let name = id.clone();
            let sender = Sender::new(name, credential, assumptions, home, limit, transport, clock);
            let sender = Arc::new(sender);
            let queue = Queue::start(Arc::clone(&sender));
            let prober = probe::run(id.clone(), Arc::clone(&sender.gate), queue.clone());
            let portal = Portal(Arc::new(Inner {
                id: id.clone(),
                clock,
                queue,
                sender,
                _prober: AbortOnDropHandle::new(tokio::spawn(prober)),
                admission: Admission::default(),
                retries: retry::Budget::new(config.attempts),
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
    pub fn state(&self) -> State {
        let mut state = self.0.sender.gate.state();
        let throttled = self.0.sender.limit.throttled(Instant::now());
        if let (Health::Unknown | Health::Ok, Some(throttled)) = (state.health, throttled) {
            state.health = Health::Throttled;
            state.reason = Some(throttled.reason);
            state.since = self.0.clock.at(throttled.since);
            state.until = Some(self.0.clock.at(throttled.until));
        }
        state
    }

    /// Completes when calls are let through.
    pub async fn opened(&self) {
        self.0.sender.gate.opened().await;
    }

    /// What is left of what it allows.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.0.sender.limit.budget(Instant::now(), self.0.clock)
    }

    /// Scheme, host and port: where it is, and where it is by the configuration.
    #[must_use]
    pub fn addresses(&self) -> (String, String) {
        self.0.sender.home.origins()
    }

    /// Its clock less ours, as far as its answers told.
    #[must_use]
    pub fn clock_skew(&self) -> SignedDuration {
        self.0.sender.skew()
    }

    /// What is relied upon without a promise.
    #[must_use]
    pub fn assumptions(&self) -> [Assumption; 4] {
        self.0.sender.assumptions.all()
    }

    /// Whether answers to commands are posted for a while only.
    #[must_use]
    pub fn has_answer_window(&self) -> bool {
        self.0.sender.assumptions.answer_window()
    }

    /// Calls waiting for their turn.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
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
            sender,
            ..
        } = &*self.0;
        let call = Arc::new(call);
        let _inside = admission.admit(id, &call, patience)?;
        let _turn = admission.turn(id, &call, patience).await?;
        retry::call(queue, retries, &sender.assumptions, call, patience).await
    }

    /// Calls a method once for each of these, in one request if the portal takes them so. For whoever has
    /// a rhythm of its own. Each call comes to its own end, with an error as [`Portal::call`] has.
    pub fn call_together(
        &self,
        calls: Vec<Call>,
        patience: &Patience,
    ) -> Vec<impl Future<Output = Result<Reply, Error>> + use<>> {
        self.0.queue.send_together(calls, patience)
    }

    /// How many calls of a method one request takes: one while nobody knows how long they last.
    #[must_use]
    pub fn most_together(&self, method: Method) -> usize {
        let usual = self.0.sender.limit.usual(method);
        let Some(usual) = usual.filter(|_| self.0.sender.assumptions.batched(method)) else {
            return 1;
        };
        let fit = TOGETHER.as_nanos() / usual.as_nanos().max(1);
        usize::try_from(fit)
            .unwrap_or(MOST_CALLS)
            .clamp(1, MOST_CALLS)
    }

    /// How long so many calls of a method last for whoever spreads them evenly and leaves a fifth of its
    /// operating time unused.
    #[must_use]
    pub fn even_pace(&self, method: Method, calls: usize) -> Duration {
        self.0.sender.limit.even_pace(method, calls)
    }

    /// Whether a call that failed so surely goes another way now.
    #[must_use]
    pub fn knows_another_way(&self, error: &Error) -> bool {
        self.0.queue.knows_another_way(error)
    }

    /// The longest answer that is read, in bytes.
    #[must_use]
    pub fn answer_limit(&self) -> usize {
        self.0.sender.answer_limit()
    }
}
