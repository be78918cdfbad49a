//! Where a portal is.
//!
//! A cloud portal can get another address; the old one then leads to the new one (C9). We follow with
//! the same call, but only to hosts the operator trusts, because the address holds our credential. A
//! new address counts at once, is remembered for good once it served us, and is given up if it does
//! not. It holds until another address is configured.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicBool, Ordering},
};

use ring::digest::{SHA256, digest};
use tracing::{info, warn};
use url::{Host, Url};

use super::transport::SecretUrl;
use crate::{
    fault::Chain,
    ids::PortalId,
    store::{Address, Store},
};

/// Hosts that portals may move to.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Vec<String>);

/// The address of one portal.
#[derive(Debug)]
pub(super) struct Home {
    portal: PortalId,
    configured: SecretUrl,
    hosts: Arc<Hosts>,
    store: Store,
    /// What every call reads; the rest matters only to a portal that has moved.
    moved: AtomicBool,
    /// Whether the address of today has yet to serve us.
    untried: AtomicBool,
    place: RwLock<Place>,
}

#[derive(Debug)]
struct Place {
    current: SecretUrl,
    /// Where we were before, while the current address is untried.
    before: Option<SecretUrl>,
}

impl Hosts {
    /// Those with one of these names, or below it.
    ///
    /// # Errors
    ///
    /// The first that is no name of a host.
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let names = names.map(|name| match Host::parse(name) {
            Ok(Host::Domain(name)) if name.contains('.') => Ok(name),
            _ => Err(name.to_owned()),
        });
        names.collect::<Result<_, _>>().map(Self)
    }

    fn include(&self, url: &Url) -> bool {
        let Some(Host::Domain(host)) = url.host() else {
            return false;
        };
        let is_below = |name: &String| {
            let rest = host.strip_suffix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        url.scheme() == "https" && self.0.iter().any(is_below)
    }
}

impl Home {
    /// Where the portal is by the configuration, or where that has led before.
    pub(super) fn new(
        portal: PortalId,
        configured: SecretUrl,
        hosts: Arc<Hosts>,
        store: Store,
        known: Option<Address>,
    ) -> Self {
        let known = known.filter(|known| known.configured == hash(&configured));
        let current = known.and_then(|known| {
            let url = configured.moved_to(&known.origin).ok()?;
            // The operator may have thought better of it.
            hosts.include(url.expose()).then_some(url)
        });
        Self {
            portal,
            moved: AtomicBool::new(current.is_some()),
            untried: AtomicBool::new(false),
            place: RwLock::new(Place {
                current: current.unwrap_or_else(|| configured.clone()),
                before: None,
            }),
            configured,
            hosts,
            store,
        }
    }

    /// The address of a method.
    pub(super) fn method(&self, name: &str) -> SecretUrl {
        if self.moved.load(Ordering::Relaxed) {
            self.place().current.method(name)
        } else {
            self.configured.method(name)
        }
    }

    /// Scheme, host and port of today, and as configured.
    pub(super) fn origins(&self) -> (String, String) {
        (self.place().current.origin(), self.configured.origin())
    }

    /// The address asked leads to another one. Says whether to go there, or wherever we went since.
    pub(super) fn follow(&self, asked: &SecretUrl, origin: &str) -> bool {
        let mut place = self.place.write().unwrap_or_else(PoisonError::into_inner);
        if asked.origin() != place.current.origin() {
            return true;
        }
        let Ok(target) = self.configured.moved_to(origin) else {
            return false;
        };
        let is_home = target == self.configured;
        if !is_home && !self.hosts.include(target.expose()) {
            warn!(portal.id = %self.portal, address = %target.origin(), "portal leads to a host that `outbound.portal_hosts` does not name: not followed");
            return false;
        }
        info!(portal.id = %self.portal, address = %target.origin(), "portal has another address");
        place.before = Some(std::mem::replace(&mut place.current, target));
        self.moved.store(!is_home, Ordering::Relaxed);
        self.untried.store(true, Ordering::Relaxed);
        true
    }

    /// The portal served us at the address asked.
    pub(super) fn served(&self, asked: &SecretUrl) {
        if !self.untried.load(Ordering::Relaxed) {
            return;
        }
        let mut place = self.place.write().unwrap_or_else(PoisonError::into_inner);
        if place.before.is_none() || asked.origin() != place.current.origin() {
            return;
        }
        place.before = None;
        self.untried.store(false, Ordering::Relaxed);
        let address = Address {
            configured: hash(&self.configured),
            origin: place.current.origin(),
        };
        let is_home = place.current == self.configured;
        let (store, portal) = (self.store.clone(), self.portal.clone());
        // Nobody waits for it: if it fails, the old address leads here again.
        tokio::spawn(async move {
            let kept = if is_home {
                store.forget_address(&portal).await
            } else {
                store.save_address(&portal, &address).await
            };
            if let Err(error) = kept {
                warn!(portal.id = %portal, error = %Chain(&error), "new address of the portal cannot be kept");
            }
        });
    }

    /// Nobody spoke for the portal at the address asked: if it is untried, it is none.
    pub(super) fn silent(&self, asked: &SecretUrl) {
        if !self.untried.load(Ordering::Relaxed) {
            return;
        }
        let mut place = self.place.write().unwrap_or_else(PoisonError::into_inner);
        if asked.origin() != place.current.origin() {
            return;
        }
        if let Some(before) = place.before.take() {
            warn!(portal.id = %self.portal, address = %place.current.origin(), "portal does not answer at its new address");
            self.moved
                .store(before != self.configured, Ordering::Relaxed);
            self.untried.store(false, Ordering::Relaxed);
            place.current = before;
        }
    }

    fn place(&self) -> std::sync::RwLockReadGuard<'_, Place> {
        self.place.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(url: &SecretUrl) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, url.expose().as_str().as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_hosts_and_those_below_are_included() {
        let hosts = Hosts::new(["bitrix24.com", "Portal.Test"].into_iter()).unwrap();
        let included = |url: &str| hosts.include(&url.parse().unwrap());
        for url in [
            "https://acme.bitrix24.com/rest/",
            "https://bitrix24.com/",
            "https://a.b.portal.test:8443/",
        ] {
            assert!(included(url), "{url}");
        }
        for url in [
            "http://acme.bitrix24.com/",
            "https://acmebitrix24.com/",
            "https://bitrix24.com.evil.org/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://10.0.0.1.evil.org/",
        ] {
            assert!(!included(url), "{url}");
        }
    }

    #[test]
    fn whole_zones_and_addresses_are_no_hosts_to_trust() {
        for wrong in ["com", "", "127.0.0.1", "[::1]", "a b.com"] {
            assert_eq!(Hosts::new([wrong].into_iter()).unwrap_err(), wrong);
        }
    }
}
