//! Where a portal is.
//!
//! A cloud portal can get another address; the old one then leads to the new one (C9). We follow with
//! the same call, but only to hosts the operator trusts, because the address holds our credential. A
//! new address counts at once, is remembered for good once it served us, and is given up if it does
//! not. It holds until another address is configured.
//!
//! Where a portal is that let us in by OAuth, its tokens say; one without tokens is nowhere.

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, Ordering},
};

use ring::digest::{SHA256, digest};
use tracing::{info, warn};
use url::{Host, Url};

use super::{transport::SecretUrl, wire::Method};
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
    hosts: Arc<Hosts>,
    store: Store,
    /// Whether the address of today has yet to serve us.
    untried: AtomicBool,
    place: RwLock<Place>,
}

#[derive(Debug)]
struct Place {
    /// By the configuration, or by the tokens; `None` while there are none.
    configured: Option<SecretUrl>,
    current: Option<SecretUrl>,
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

    /// Whether a portal may be at this address.
    pub(super) fn allow(&self, address: &str) -> bool {
        address.parse::<Url>().is_ok_and(|url| {
            let plain = url.username().is_empty() && url.password().is_none();
            plain && url.query().is_none() && self.include(&url)
        })
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
    /// Where the portal is by the configuration or its tokens, or where that has led before.
    pub(super) fn new(
        portal: PortalId,
        configured: Option<SecretUrl>,
        hosts: Arc<Hosts>,
        store: Store,
        known: Option<Address>,
    ) -> Self {
        let current = known.zip(configured.as_ref()).and_then(|(known, base)| {
            let url = base.moved_to(&known.origin).ok()?;
            // The operator may have thought better of it.
            let holds = known.configured == hash(base) && hosts.include(url.expose());
            holds.then_some(url)
        });
        Self {
            portal,
            untried: AtomicBool::new(false),
            place: RwLock::new(Place {
                current: current.or_else(|| configured.clone()),
                configured,
                before: None,
            }),
            hosts,
            store,
        }
    }

    /// The address of a method, if it is known.
    pub(super) fn method(&self, name: &str) -> Option<SecretUrl> {
        Some(self.place().current.as_ref()?.method(name))
    }

    /// Scheme, host and port of today, and as configured; empty while not known.
    pub(super) fn origins(&self) -> (String, String) {
        let place = self.place();
        let origin = |url: &Option<SecretUrl>| url.as_ref().map(SecretUrl::origin);
        let origins = (origin(&place.current), origin(&place.configured));
        (origins.0.unwrap_or_default(), origins.1.unwrap_or_default())
    }

    /// The tokens name this base. If it is another one than before, it counts more than where the one
    /// before has led.
    pub(super) fn relocate(&self, base: &str) {
        let Ok(base) = base.parse::<SecretUrl>() else {
            return;
        };
        let mut place = self.change();
        if place.configured.as_ref() == Some(&base) {
            return;
        }
        if place.configured.is_some() {
            info!(portal.id = %self.portal, address = %base.origin(), "portal has another address");
        }
        place.before = None;
        place.current = Some(base.clone());
        place.configured = Some(base);
        self.untried.store(false, Ordering::Relaxed);
    }

    /// Another address is configured. Tells the one before, unless it is the same.
    pub(super) fn reconfigure(&self, base: SecretUrl) -> Option<SecretUrl> {
        let mut place = self.change();
        if place.configured.as_ref() == Some(&base) {
            return None;
        }
        place.before = None;
        place.current = Some(base.clone());
        self.untried.store(false, Ordering::Relaxed);
        place.configured.replace(base)
    }

    /// Whether a call of this method would go to another address now than to the one asked, at the same
    /// place.
    pub(super) fn has_left(&self, asked: &SecretUrl, method: Method) -> bool {
        let now = self.method(method.as_str());
        now.is_some_and(|now| now != *asked)
    }

    /// The address asked leads to another one. Says whether to go there, or wherever we went since.
    pub(super) fn follow(&self, asked: &SecretUrl, origin: &str) -> bool {
        let mut place = self.change();
        if !place.is_at(asked) {
            return true;
        }
        let Some(target) = place
            .configured
            .as_ref()
            .and_then(|base| base.moved_to(origin).ok())
        else {
            return false;
        };
        let is_home = place.configured.as_ref() == Some(&target);
        if !is_home && !self.hosts.include(target.expose()) {
            warn!(portal.id = %self.portal, address = %target.origin(), "portal leads to a host that `outbound.portal_hosts` does not name: not followed");
            return false;
        }
        info!(portal.id = %self.portal, address = %target.origin(), "portal has another address");
        place.before = place.current.replace(target);
        self.untried.store(true, Ordering::Relaxed);
        true
    }

    /// The portal served us at the address asked.
    pub(super) fn served(&self, asked: &SecretUrl) {
        if !self.untried.load(Ordering::Relaxed) {
            return;
        }
        let mut place = self.change();
        if place.before.is_none() || !place.is_at(asked) {
            return;
        }
        place.before = None;
        self.untried.store(false, Ordering::Relaxed);
        let (Some(configured), Some(current)) = (&place.configured, &place.current) else {
            return;
        };
        let address = Address {
            configured: hash(configured),
            origin: current.origin(),
        };
        let is_home = current == configured;
        let (store, portal) = (self.store.clone(), self.portal.clone());
        // Nobody waits for it: if it fails, or panics, the old address leads here again.
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
        let mut place = self.change();
        if !place.is_at(asked) {
            return;
        }
        if let Some(before) = place.before.take() {
            warn!(portal.id = %self.portal, address = %asked.origin(), "portal does not answer at its new address");
            self.untried.store(false, Ordering::Relaxed);
            place.current = Some(before);
        }
    }

    fn place(&self) -> RwLockReadGuard<'_, Place> {
        self.place.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Place> {
        self.place.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether the address asked is still that of today.
    fn is_at(&self, asked: &SecretUrl) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.origin() == asked.origin())
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
