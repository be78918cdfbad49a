//! Paces requests so that a portal need not refuse us.
//!
//! Two budgets apply. *Rate*: Bitrix24 counts requests per portal and source address; each adds one,
//! every second takes some off, and above a threshold it refuses. *Operating time*: each credential may
//! spend so many seconds in each method within ten minutes, which only the portal's answers tell (C5).
//!
//! Both are mirrored on the safe side of their readings. Invariant: nothing reaches the transport
//! without a permit.

mod operating;
mod rate;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use self::{operating::Operating, rate::Bucket};
use super::wire::{Method, Time};
use crate::{clock::Clock, fault::Reason};

pub use rate::Rate;

/// The gate to one portal.
#[derive(Debug)]
pub(super) struct Limit {
    rate: Rate,
    budgets: Mutex<Budgets>,
}

#[derive(Debug)]
struct Budgets {
    bucket: Bucket,
    operating: Operating,
    /// When the portal last refused for its rate.
    refused: Option<Instant>,
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

impl Limit {
    pub(super) fn new(rate: Rate, operating_budget: Duration) -> Self {
        Self {
            rate,
            budgets: Mutex::new(Budgets {
                bucket: Bucket::new(rate, Instant::now()),
                operating: Operating::new(operating_budget),
                refused: None,
            }),
        }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a permit for one request, or says when to ask again.
    pub(super) fn permit(&self, now: Instant) -> Result<(), Instant> {
        self.budgets().bucket.take(now)
    }

    /// Gives a permit back that was not used.
    pub(super) fn return_permit(&self) {
        self.budgets().bucket.put_back();
    }

    /// How many more requests could leave now.
    pub(super) fn spare(&self, now: Instant) -> u32 {
        self.budgets().bucket.spare(now)
    }

    /// When the next permit will be there if so many are taken first.
    pub(super) fn ready_after(&self, requests: u32, now: Instant) -> Instant {
        self.budgets().bucket.ready_after(requests, now)
    }

    /// Whether a method has operating time left, or when it will have.
    pub(super) fn method_ready(&self, method: Method, now: Instant) -> Result<(), Instant> {
        self.budgets().operating.ready(method, now)
    }

    /// A call of a method left.
    pub(super) fn began(&self, method: Method) {
        self.budgets().operating.began(method);
    }

    /// A call of a method came back, perhaps telling what it cost. `unix` is our clock now.
    pub(super) fn ended(&self, method: Method, time: Option<&Time>, unix: f64, now: Instant) {
        self.budgets().operating.ended(method, time, unix, now);
    }

    /// How long a call of a method takes in the portal, if one was seen.
    pub(super) fn usual(&self, method: Method) -> Option<Duration> {
        self.budgets().operating.usual(method)
    }

    /// The portal refused for its rate: somebody else shares our address, so its counter is full.
    pub(super) fn refused(&self, now: Instant) {
        let mut budgets = self.budgets();
        budgets.bucket.fill(now);
        budgets.refused = Some(now);
    }

    /// Whether the portal asked for less and that still holds something up.
    pub(super) fn throttled(&self, now: Instant) -> Option<Throttled> {
        let mut budgets = self.budgets();
        if let Some(since) = budgets.refused {
            let until = budgets.bucket.ready_after(0, now);
            if until > now {
                let reason = Reason::PortalThrottled;
                return Some(Throttled {
                    reason,
                    since,
                    until,
                });
            }
            budgets.refused = None;
        }
        let (since, until) = budgets.operating.ban(now)?;
        let reason = Reason::PortalOperatingLimit;
        Some(Throttled {
            reason,
            since,
            until,
        })
    }

    /// What is left.
    pub(super) fn budget(&self, now: Instant, clock: Clock) -> Budget {
        let mut budgets = self.budgets();
        Budget {
            rate: self.rate,
            permits: (self.rate.per_second > 0).then(|| budgets.bucket.spare(now)),
            operating: budgets.operating.budget(),
            methods: budgets.operating.methods(now, clock),
        }
    }

    /// The portal refused a method for its operating time. Says until when it is not called.
    pub(super) fn banned(&self, method: Method, now: Instant) -> Instant {
        self.budgets().operating.banned(method, now)
    }

    fn budgets(&self) -> MutexGuard<'_, Budgets> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
