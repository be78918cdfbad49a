//! Where the names of portals lead.
//!
//! A portal that moves tells us a name, and whoever answers for that name could send us into our own
//! network. So what a name leads to is checked at the moment of connecting; only the hosts that the
//! operator wrote down may be anywhere.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What is known of names.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Addresses that are not asked for.
    pub fixed: HashMap<String, IpAddr>,
    /// Names that may lead anywhere.
    pub own: HashSet<String>,
    /// Whether every name may lead anywhere.
    pub private: bool,
}

/// Asks the system, and checks. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    names: Arc<Names>,
    /// Further names that may lead anywhere, since the operator wrote them down meanwhile.
    added: Arc<RwLock<HashSet<String>>>,
}

impl Resolver {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names: Arc::new(names),
            added: Arc::default(),
        }
    }

    /// A name that may lead anywhere from now on.
    pub(super) fn add_own(&self, name: &str) {
        let mut added = self.added.write().unwrap_or_else(PoisonError::into_inner);
        added.insert(name.to_ascii_lowercase());
    }
}

/// A name leads nowhere we may go.
#[derive(Debug)]
pub(super) struct NotPublic;

/// A name leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the name is not found")]
pub(super) struct NoHost(#[source] std::io::Error);

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to a private address")
    }
}

impl std::error::Error for NotPublic {}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { names, added } = self.clone();
        Box::pin(async move {
            let name = name.as_str().trim_end_matches('.').to_ascii_lowercase();
            let found: Vec<_> = match names.fixed.get(&name) {
                Some(ip) => vec![SocketAddr::new(*ip, 0)],
                None => {
                    let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                    found.map_err(NoHost)?.collect()
                }
            };
            let is_added = || {
                let added = added.read().unwrap_or_else(PoisonError::into_inner);
                added.contains(&name)
            };
            let anywhere = names.private || names.own.contains(&name) || is_added();
            let mut allowed = found;
            let some = !allowed.is_empty();
            allowed.retain(|address| anywhere || is_public(address.ip()));
            if some && allowed.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public internet: a host of its own, reachable by everybody.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || matches!(
            (a, b, c),
            // This network, shared by carriers, protocols, benchmarks, reserved.
            (0, ..) | (100, 64..=127, _) | (192, 0, 0) | (198, 18..=19, _) | (240.., ..)
        );
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    if let Some(ip) = ip.to_ipv4_mapped() {
        return is_public_v4(ip);
    }
    // Global unicast, less documentation and what carries another address inside (6to4, Teredo).
    match ip.segments() {
        [0x2001, 0 | 0xdb8, ..] | [0x2002, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(names: Names, name: &str) -> Result<Vec<SocketAddr>, String> {
        let found = Resolver::new(names).resolve(name.parse().unwrap());
        let found = found.await.map_err(|error| error.to_string());
        found.map(Iterator::collect)
    }

    fn fixed(ip: &str) -> Names {
        Names {
            fixed: [("acme.test".to_owned(), ip.parse().unwrap())].into(),
            ..Names::default()
        }
    }

    #[test]
    fn what_is_not_public_is_known() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "8.8.8.8",
            "185.12.64.1",
            "172.32.0.1",
            "2a01:4f8::1",
            "2606:4700::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn name_that_leads_inside_is_refused_unless_it_is_the_operators() {
        let refused = resolve(fixed("10.0.0.7"), "Acme.test.").await;
        assert_eq!(refused.unwrap_err(), NotPublic.to_string());
        assert!(resolve(fixed("8.8.8.8"), "acme.test").await.is_ok());
        let own = Names {
            own: ["acme.test".to_owned()].into(),
            ..fixed("10.0.0.7")
        };
        assert_eq!(
            resolve(own, "acme.test").await.unwrap()[0].ip().to_string(),
            "10.0.0.7"
        );
        let private = Names {
            private: true,
            ..fixed("10.0.0.7")
        };
        assert!(resolve(private, "acme.test").await.is_ok());
    }
}
