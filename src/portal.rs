//! How we call a portal, and how what it says is understood.
//!
//! A [`Call`] passes these stages, each a module: `admission` keeps floods out and orders kept,
//! `retry` repeats what surely did not run, [`state`] decides whether the portal is called at all,
//! `queue` who leaves next and what leaves together (`batch`), `limit` says when, `home` where to,
//! `auth` adds the credential (`tokens`, which `refresh` renews, and the token of a
//! bot, `bot_key`), [`transport`] carries, [`error::judge`] reads the outcome. [`wire`] is
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

mod hold;
mod probe;
pub mod state;

mod auth;
mod bot_key;
mod clock;
mod home;
mod refresh;
mod sender;
mod tokens;

mod oauth;
mod traces;
pub mod transport;

mod gauges;
mod metrics;

pub mod error;

pub mod wire;

mod all;
mod board;
mod details;
mod direct;
mod fresh;
mod install;
mod trial;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use opentelemetry::KeyValue;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::{
    admission::Admission,
    queue::{Queue, TOGETHER},
    refresh::Refresher,
    sender::Sender,
    wire::{Method, Reply, batch::MOST_CALLS},
};
use crate::{clock::Clock, ids::PortalId};

pub use admission::{
    BYTES as WAITING_BYTES, IN_ALL as WAITING_CALLS, PER_CALLER as WAITING_CALLS_OF_A_CALLER,
};
pub use all::{Access, Config, Kept, Portals};
pub use assume::{Assume, Assumption, Switch};
pub use auth::WebhookUrl;
pub use board::{Change, LOOK, Place, What};
pub use bot_key::{BotKey, BotSecret};
pub use call::{Call, Guard, Lane, Patience};
pub use direct::Direct;
pub use error::{Cause, Error};
pub use fresh::Fresh;
pub use hold::Hold;
pub use home::Hosts;
pub use install::{Claim, ClaimError, Expected, InstallError, Owner, Remains, Vouched};
pub use limit::{Budget, Rate};
pub use oauth::{Application, ServerName, Servers};
pub use queue::Waiting;
pub use state::{Health, State};

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
    oauth: Option<OAuth>,
    details: details::Details,
}

/// What a portal has that lets us in by OAuth.
#[derive(Debug)]
struct OAuth {
    member_id: String,
    refresher: Refresher,
    /// When somebody last made us look how the application is licensed.
    looked: Mutex<Option<Instant>>,
    _running: AbortOnDropHandle<()>,
}

/// By what a portal lets us in, as far as that is no secret.
#[derive(Debug, Clone)]
pub enum Credential {
    /// By an incoming webhook.
    Webhook {
        /// When it ends by the configuration.
        ends: Option<Timestamp>,
    },
    /// By the tokens of an installed application.
    OAuth {
        /// Identity of the account for ever.
        member_id: String,
        /// The tokens; `None` while the application is not installed.
        tokens: Option<Tokens>,
    },
}

/// Tokens, as far as they are no secret.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// User for whom they act, if that was told.
    pub user_id: Option<i64>,
    /// What they may use.
    pub scope: Vec<String>,
    /// When the access token ends.
    pub access_ends: Timestamp,
    /// When we got them.
    pub obtained_at: Timestamp,
}

impl Portal {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &PortalId {
        &self.0.id
    }

    /// What is measured of it is labelled so.
    #[must_use]
    pub fn label(&self) -> KeyValue {
        self.0.sender.metrics.portal.clone()
    }

    /// The time by the portal's own clock, as far as its answers told.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.sender.portal_time()
    }

    /// The time by the portal's own clock; `None` until an answer told.
    #[must_use]
    pub fn told_time(&self) -> Option<Timestamp> {
        self.0.sender.told_time()
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

    /// By what it lets us in.
    #[must_use]
    pub fn credential(&self) -> Credential {
        let Some(oauth) = &self.0.oauth else {
            return Credential::Webhook {
                ends: self.webhook_ends(),
            };
        };
        let tokens = oauth.refresher.keyring.pair().map(|pair| Tokens {
            user_id: pair.user_id,
            scope: pair.scope,
            access_ends: pair.access_ends,
            obtained_at: pair.obtained_at,
        });
        Credential::OAuth {
            member_id: oauth.member_id.clone(),
            tokens,
        }
    }

    /// Whether its bots are known by tokens of their own; else they belong to our application.
    #[must_use]
    pub fn wants_bot_tokens(&self) -> bool {
        self.0.oauth.is_none()
    }

    /// Whether both are handles of the same portal, not only portals of one name.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Scheme, host and port: where it is, and where it is by the configuration or by its tokens. Empty
    /// while that is not known.
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

    /// The same by their callers; empty for ourselves.
    #[must_use]
    pub fn waiting_callers(&self) -> Vec<(Lane, Arc<str>, usize)> {
        self.0.queue.waiting_callers()
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
        let call = Arc::new(call.shrunk());
        let admitted = admission.admit(id, &call, patience);
        let _inside = admitted.inspect_err(|error| sender.metrics.refused(error))?;
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

/// Some part of a span.
fn by_chance(span: Duration) -> Duration {
    let parts = getrandom::u32().unwrap_or(u32::MAX / 2);
    span.mul_f64(f64::from(parts) / f64::from(u32::MAX))
}
