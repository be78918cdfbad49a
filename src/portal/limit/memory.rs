//! Carries the limits over a restart, in order or not.
//!
//! A gateway that begins at an empty counter whenever it starts would be refused when it starts often.
//! Written is what will have been used up soon, before it is used (see [`rate`](super::rate)).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::Instant};
use tracing::warn;

use super::{Account, Limit, Rate, operating::Kept};
use crate::{clock::Clock, fault::Chain, ids::PortalId, store::Store};

/// The limits of all portals and what to write of them.
#[derive(Debug)]
pub(in crate::portal) struct Memory {
    known: Mutex<Known>,
    pub(in crate::portal) worth_keeping: Arc<Notify>,
    clock: Clock,
}

#[derive(Debug, Clone, Default)]
struct Known {
    /// By address or by member_id.
    accounts: BTreeMap<String, Arc<Account>>,
    limits: BTreeMap<PortalId, Arc<Limit>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptRate {
    empty_by: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptOperating {
    at: Timestamp,
    methods: Kept,
}

impl Memory {
    pub(in crate::portal) fn new(clock: Clock) -> Self {
        Self {
            known: Mutex::default(),
            worth_keeping: Arc::new(Notify::new()),
            clock,
        }
    }

    /// The account of a portal, by the first of these names that is known; else a new one by the first.
    pub(in crate::portal) fn account(&self, names: &[String], rate: Rate) -> Arc<Account> {
        let mut known = self.known();
        let found = names.iter().find_map(|name| known.accounts.get(name));
        let account = found.map_or_else(|| Arc::new(Account::new(rate)), Arc::clone);
        if let Some(name) = names.first() {
            known.accounts.insert(name.clone(), Arc::clone(&account));
        }
        account
    }

    /// Lets the account of one name be that of another, where that is known.
    pub(in crate::portal) fn share(&self, known_as: &str, name: &str) -> Option<Arc<Account>> {
        let mut known = self.known();
        let account = Arc::clone(known.accounts.get(known_as)?);
        known.accounts.insert(name.to_owned(), Arc::clone(&account));
        Some(account)
    }

    /// Goes on from what the store holds of an account that has none of these names yet.
    pub(in crate::portal) fn recall(
        &self,
        used: &BTreeMap<String, String>,
        names: &[String],
        rate: Rate,
    ) {
        let is_known = |name| self.known().accounts.contains_key(name);
        if !names.iter().any(is_known) {
            let account = self.account(names, rate);
            for name in names {
                self.resume_account(used, name, &account);
            }
        }
    }

    /// Keeps the limit of a portal.
    pub(in crate::portal) fn add(&self, portal: &PortalId, limit: Arc<Limit>) {
        self.known().limits.insert(portal.clone(), limit);
    }

    /// No longer keeps the limit of a portal.
    pub(in crate::portal) fn remove(&self, portal: &PortalId) {
        self.known().limits.remove(portal);
    }

    /// Goes on from what the store holds. What it does not hold or nobody can read begins anew.
    pub(in crate::portal) fn resume(&self, used: &BTreeMap<String, String>) {
        let known = self.known().clone();
        for (name, account) in &known.accounts {
            self.resume_account(used, name, account);
        }
        for (portal, limit) in &known.limits {
            self.resume_methods(used, portal, limit);
        }
    }

    /// Goes on from what the store holds of an account.
    fn resume_account(&self, used: &BTreeMap<String, String>, name: &str, account: &Account) {
        if let Some(kept) = read::<KeptRate>(used, &rate(name)) {
            let left = kept.empty_by.duration_since(self.clock.now());
            let left = Duration::try_from(left).unwrap_or_default();
            account.bucket().resume(left, Instant::now());
        }
    }

    /// Goes on from what the store holds of a portal's methods.
    pub(in crate::portal) fn resume_methods(
        &self,
        used: &BTreeMap<String, String>,
        portal: &PortalId,
        limit: &Limit,
    ) {
        if let Some(kept) = read::<KeptOperating>(used, &operating(portal)) {
            let ago = self.clock.now().duration_since(kept.at);
            let ago = Duration::try_from(ago).unwrap_or_default();
            limit.operating().resume(&kept.methods, ago, Instant::now());
        }
    }

    /// Writes down ahead what may be used up soon. When that fails, calls go on without: a record
    /// protects a restart only.
    pub(in crate::portal) async fn keep_ahead(&self, store: &Store) {
        let now = Instant::now();
        let known = self.known().clone();
        let until = |account: &Arc<Account>| account.bucket().cover_wanted(now);
        let until: BTreeMap<_, _> = known
            .accounts
            .iter()
            .map(|(name, account)| (name, until(account)))
            .collect();
        self.write(store, &known, |name| until[name], now).await;
        for (name, account) in &known.accounts {
            account.bucket().cover(until[name]);
        }
    }

    /// Writes down what is used up, when nothing more will be sent.
    pub(in crate::portal) async fn keep(&self, store: &Store) {
        let now = Instant::now();
        let known = self.known().clone();
        let empty = |name: &String| known.accounts[name].bucket().empty(now);
        self.write(store, &known, empty, now).await;
    }

    async fn write(
        &self,
        store: &Store,
        known: &Known,
        empty: impl Fn(&String) -> Instant,
        now: Instant,
    ) {
        let time = self.clock.now();
        let mut used = BTreeMap::new();
        for name in known.accounts.keys() {
            let left = SignedDuration::try_from(empty(name).saturating_duration_since(now));
            let empty_by = time.saturating_add(left.unwrap_or(SignedDuration::ZERO));
            let kept = KeptRate {
                empty_by: empty_by.unwrap_or(time),
            };
            used.insert(rate(name), serde_json::json!(kept).to_string());
        }
        for (portal, limit) in &known.limits {
            let kept = KeptOperating {
                at: time,
                methods: limit.operating().keep(now),
            };
            used.insert(operating(portal), serde_json::json!(kept).to_string());
        }
        if let Err(error) = store.keep_pacing(used).await {
            warn!(error = %Chain(&error), "the use of limits is not kept for a restart");
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rate(account: &str) -> String {
    format!("rate {account}")
}

fn operating(portal: &PortalId) -> String {
    format!("operating {portal}")
}

fn read<T: for<'a> Deserialize<'a>>(used: &BTreeMap<String, String>, name: &str) -> Option<T> {
    let kept = used.get(name)?;
    serde_json::from_str(kept)
        .inspect_err(|error| warn!(name, %error, "the use of a limit cannot be read"))
        .ok()
}
