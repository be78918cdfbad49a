//! Paces requests so that a portal need not refuse us.
//!
//! Two budgets apply. *Rate*: Bitrix24 counts requests per portal and source address; each adds one,
//! every second takes some off, and above a threshold it refuses. *Operating time*: each credential may
//! spend so many seconds in each method within ten minutes, which only the portal's answers tell (C5).
//!
//! Both are mirrored on the safe side of their readings. Invariant: nothing reaches the transport
//! without a permit. [`memory`] carries both over a restart.

mod memory;
mod operating;
mod rate;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};

use self::{operating::Operating, rate::Bucket};
use super::wire::Method;
use crate::{clock::Clock, fault::Reason};

pub use self::rate::Rate;
pub(super) use self::{memory::Memory, operating::Cost};

/// The gate to one portal.
#[derive(Debug)]
pub(super) struct Limit {
    /// Another one once it shows that two portals are one account.
    account: RwLock<Arc<Account>>,
    operating: Mutex<Operating>,
    worth_keeping: Arc<Notify>,
}

/// What everything that leaves for one account shares, by whatever name and credential.
#[derive(Debug)]
pub(super) struct Account {
    rate: Rate,
    bucket: Mutex<Bucket>,
}

/// What is left of what a portal allows.
#[derive(Debug, Clone)]
pub struct Budget {
    /// What it allows.
    pub rate: Rate,
    /// Requests that could leave at once; `None` where there is no limit.
    pub permits: Option<u32>,
    /// Seconds that each method may take within ten minutes; zero for no limit.
    pub operating: Duration,
    /// Every method called lately.
    pub methods: Vec<MethodBudget>,
}

/// What is known of the time a method took.
#[derive(Debug, Clone)]
pub struct MethodBudget {
    /// The method.
    pub method: Method,
    /// Time it took within ten minutes, as last told.
    pub spent: Duration,
    /// When some of that is forgiven.
    pub forgiven: Option<Timestamp>,
    /// Until when the portal bans it.
    pub banned_until: Option<Timestamp>,
}

/// The portal asked for less, and we wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Throttled {
    pub(super) reason: Reason,
    pub(super) since: Instant,
    pub(super) until: Instant,
}

impl Account {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            bucket: Mutex::new(Bucket::new(rate, Instant::now())),
        }
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Limit {
    /// `worth_keeping` is told when something changed that must outlive a restart.
    pub(super) fn new(
        account: Arc<Account>,
        operating_budget: Duration,
        worth_keeping: Arc<Notify>,
    ) -> Self {
        Self {
            account: RwLock::new(account),
            operating: Mutex::new(Operating::new(operating_budget)),
            worth_keeping,
        }
    }

    /// Shares this account from now on.
    pub(super) fn join(&self, account: Arc<Account>) {
        *self.account.write().unwrap_or_else(PoisonError::into_inner) = account;
    }

    fn account(&self) -> Arc<Account> {
        let account = self.account.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&account)
    }

    pub(super) fn rate(&self) -> Rate {
        self.account().rate
    }

    /// Takes a permit for one request, or says when to ask again.
    pub(super) fn permit(&self, now: Instant) -> Result<(), Instant> {
        let account = self.account();
        let mut bucket = account.bucket();
        let permit = bucket.take(now);
        if bucket.needs_cover(now) {
            self.worth_keeping.notify_one();
        }
        permit
    }

    /// Gives a permit back that was not used.
    pub(super) fn return_permit(&self) {
        self.account().bucket().put_back();
    }

    /// How many more requests could leave now.
    pub(super) fn spare(&self, now: Instant) -> u32 {
        self.account().bucket().spare(now)
    }

    /// When the next permit will be there if so many are taken first.
    pub(super) fn ready_after(&self, requests: u32, now: Instant) -> Instant {
        self.account().bucket().ready_after(requests, now)
    }

    /// Whether a method has operating time left for one more call beside so many that are about to leave
    /// with it, or when it will have.
    pub(super) fn method_ready(
        &self,
        method: Method,
        aboard: u32,
        now: Instant,
    ) -> Result<(), Instant> {
        self.operating().ready(method, aboard, now)
    }

    /// How long so many calls of a method last for whoever spreads them evenly and leaves some of its
    /// operating time unused.
    pub(super) fn even_pace(&self, method: Method, calls: usize) -> Duration {
        self.operating().even_pace(method, calls)
    }

    /// A call of a method left.
    pub(super) fn began(&self, method: Method) {
        self.operating().began(method);
    }

    /// A call of a method came back, perhaps with what was asked for. `unix` is the portal's clock now.
    pub(super) fn ended(&self, method: Method, cost: Option<Cost<'_>>, unix: f64, now: Instant) {
        self.operating().ended(method, cost, unix, now);
    }

    /// How long a call of a method takes in the portal, if one was seen.
    pub(super) fn usual(&self, method: Method) -> Option<Duration> {
        self.operating().usual(method)
    }

    /// The portal refused for its rate: somebody else shares our address, so its counter is full.
    pub(super) fn refused(&self, now: Instant) {
        self.account().bucket().fill(now);
        self.worth_keeping.notify_one();
    }

    /// Whether the portal asked for less and that still holds something up.
    pub(super) fn throttled(&self, now: Instant) -> Option<Throttled> {
        if let Some((since, until)) = self.account().bucket().refusal(now) {
            return Some(Throttled {
                reason: Reason::PortalThrottled,
                since,
                until,
            });
        }
        let (since, until) = self.operating().ban(now)?;
        Some(Throttled {
            reason: Reason::PortalOperatingLimit,
            since,
            until,
        })
    }

    /// What is left.
    pub(super) fn budget(&self, now: Instant, clock: Clock) -> Budget {
        let rate = self.account().rate;
        let operating = self.operating();
        Budget {
            rate,
            permits: (rate.per_second > 0).then(|| self.account().bucket().spare(now)),
            operating: operating.budget(),
            methods: operating.methods(now, clock),
        }
    }

    /// The portal refused a method for its operating time. Says until when it is not called.
    pub(super) fn banned(&self, method: Method, now: Instant) -> Instant {
        let until = self.operating().banned(method, now);
        self.worth_keeping.notify_one();
        until
    }

    fn operating(&self) -> MutexGuard<'_, Operating> {
        self.operating
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
