//! Carries the limits over a restart, in order or not.
//!
//! A gateway that begins at an empty counter whenever it starts would be refused when it starts often.
//! Written is what will have been used up soon, before it is used (see [`rate`](super::rate)).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::Instant};
use tracing::warn;

use super::{Account, Limit, operating::Kept};
use crate::{clock::Clock, fault::Chain, ids::PortalId, store::Store};

/// The limits of all portals and what to write of them.
#[derive(Debug)]
pub(in crate::portal) struct Memory {
    /// By address.
    pub(in crate::portal) accounts: BTreeMap<String, Arc<Account>>,
    pub(in crate::portal) limits: Vec<(PortalId, Arc<Limit>)>,
    pub(in crate::portal) worth_keeping: Arc<Notify>,
    pub(in crate::portal) clock: Clock,
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
    /// Goes on from what the store holds. What it does not hold or nobody can read begins anew.
    pub(in crate::portal) fn resume(&self, used: &BTreeMap<String, String>) {
        let (now, time) = (Instant::now(), self.clock.now());
        for (address, account) in &self.accounts {
            if let Some(kept) = read::<KeptRate>(used, &rate(address)) {
                let left = kept.empty_by.duration_since(time);
                let left = Duration::try_from(left).unwrap_or_default();
                account.bucket().resume(left, now);
            }
        }
        for (portal, limit) in &self.limits {
            if let Some(kept) = read::<KeptOperating>(used, &operating(portal)) {
                let ago = time.duration_since(kept.at);
                let ago = Duration::try_from(ago).unwrap_or_default();
                limit.operating().resume(&kept.methods, ago, now);
            }
        }
    }

    /// Writes down ahead what may be used up soon. When that fails, calls go on without: a record
    /// protects a restart only.
    pub(in crate::portal) async fn keep_ahead(&self, store: &Store) {
        let now = Instant::now();
        let until: Vec<_> = self
            .accounts
            .iter()
            .map(|(address, account)| (address, account.bucket().cover_wanted(now)))
            .collect();
        let written = until.iter().map(|(address, until)| (*address, *until));
        self.write(store, written, now).await;
        for (address, until) in until {
            self.accounts[address].bucket().cover(until);
        }
    }

    /// Writes down what is used up, when nothing more will be sent.
    pub(in crate::portal) async fn keep(&self, store: &Store) {
        let now = Instant::now();
        let accounts = self.accounts.iter();
        let empty = accounts.map(|(address, account)| (address, account.bucket().empty(now)));
        self.write(store, empty, now).await;
    }

    async fn write<'a>(
        &self,
        store: &Store,
        empty: impl Iterator<Item = (&'a String, Instant)>,
        now: Instant,
    ) {
        let time = self.clock.now();
        let mut used = BTreeMap::new();
        for (address, at) in empty {
            let left = SignedDuration::try_from(at.saturating_duration_since(now));
            let empty_by = time.saturating_add(left.unwrap_or(SignedDuration::ZERO));
            let kept = KeptRate {
                empty_by: empty_by.unwrap_or(time),
            };
            used.insert(rate(address), serde_json::json!(kept).to_string());
        }
        for (portal, limit) in &self.limits {
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
}

fn rate(address: &str) -> String {
    format!("rate {address}")
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
