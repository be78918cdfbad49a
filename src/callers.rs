//! Who may call, and what they may do.
//!
//! The operator names callers, what proves that somebody is one of them, and what each may do.
//! Without any, everybody who reaches the gateway may do everything; with one, nobody may do anything
//! that was not granted. Policy is made ready once, when it is read: a call costs a hash and a few
//! comparisons.
//!
//! Nothing here knows gRPC: the edge asks who somebody is and whether they may.

mod grant;
mod pattern;
mod roster;
mod rpc;
pub mod service_account;
pub mod token;
mod written;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;

pub use self::{
    grant::{Grant, Terms},
    pattern::Patterns,
    roster::{Callers, Roster, Unclear},
    rpc::{GROUPS, Group, Rpc, Rpcs},
    token::TokenHash,
    written::{Written, Wrong},
};
use crate::ids::PortalId;

/// What proves who somebody is. Checked already: the holder has the token, or the key of the
/// certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A bearer token.
    Token(TokenHash),
    /// A client certificate: its DNS names and URIs.
    Certificate(Arc<[Box<str>]>),
    /// A Kubernetes service account, `namespace/name`, until a time.
    ServiceAccount(Arc<str>, Timestamp),
    /// The user id of the process at the other end of a Unix socket.
    User(u32),
    /// Nothing.
    None,
}

/// A caller as the operator describes it.
#[derive(Debug, Clone, Default)]
pub struct Description {
    /// Its tokens.
    pub tokens: Vec<TokenHash>,
    /// DNS names and URIs of its certificates.
    pub certificates: Vec<String>,
    /// Its service accounts, `namespace/name`.
    pub service_accounts: Vec<String>,
    /// User ids of its processes.
    pub users: Vec<u32>,
    /// What it may do.
    pub terms: Terms,
    /// Callers that may use its bots as if they were theirs; `*` for all.
    pub shares: Patterns,
}

/// All callers and what they may do, made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    callers: BTreeMap<Box<str>, Arc<Grant>>,
    tokens: HashMap<TokenHash, Arc<Grant>>,
    certificates: HashMap<Box<str>, Arc<Grant>>,
    service_accounts: HashMap<Box<str>, Arc<Grant>>,
    users: HashMap<u32, Arc<Grant>>,
    /// What everybody may do while there are no callers.
    open: Option<Arc<Grant>>,
}

/// Two callers would be proven by the same thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{first}` and `{second}` have the same {what}")]
pub struct Ambiguous {
    /// One caller.
    pub first: String,
    /// The other.
    pub second: String,
    /// What they share.
    pub what: &'static str,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            callers: BTreeMap::new(),
            tokens: HashMap::new(),
            certificates: HashMap::new(),
            service_accounts: HashMap::new(),
            users: HashMap::new(),
            open: Some(Arc::new(Grant::open())),
        }
    }
}

impl Policy {
    /// The policy of these callers; without any, everybody may do everything. `named` are the portals that
    /// lists with `*` mean.
    ///
    /// # Errors
    ///
    /// When something proves two callers.
    pub fn new(
        described: BTreeMap<String, Description>,
        named: &BTreeSet<PortalId>,
    ) -> Result<Self, Ambiguous> {
        let mut policy = Self::default();
        if described.is_empty() {
            return Ok(policy);
        }
        policy.open = None;
        let known: Arc<BTreeSet<Box<str>>> =
            Arc::new(described.keys().map(|name| name.as_str().into()).collect());
        let named = Arc::new(named.clone());
        for (name, caller) in &described {
            let shared = |(sharer, other): &(&String, &Description)| {
                *sharer != name && other.shares.has(name)
            };
            let sharers = described.iter().filter(shared);
            let sharers = sharers.map(|(sharer, _)| sharer.as_str().into()).collect();
            let (known, named) = (Arc::clone(&known), Arc::clone(&named));
            let grant = Grant::new(name, caller.terms.clone(), sharers, known, named);
            let grant = Arc::new(grant);
            let names = |texts: &[String]| -> Vec<Box<str>> {
                texts.iter().map(|text| text.as_str().into()).collect()
            };
            let certificates = names(&caller.certificates);
            let accounts = names(&caller.service_accounts);
            unique(&mut policy.tokens, caller.tokens.clone(), &grant, "token")?;
            unique(
                &mut policy.certificates,
                certificates,
                &grant,
                "certificate",
            )?;
            unique(
                &mut policy.service_accounts,
                accounts,
                &grant,
                "service account",
            )?;
            unique(&mut policy.users, caller.users.clone(), &grant, "user id")?;
            policy.callers.insert(name.as_str().into(), grant);
        }
        Ok(policy)
    }

    /// Nobody may do anything.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            open: None,
            ..Self::default()
        }
    }

    /// Whether nobody is configured, so that everybody may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How many callers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.callers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    /// What the caller of a name may do, if there is one.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Grant>> {
        self.open.as_ref().or_else(|| self.callers.get(name))
    }

    /// Whose credential this is.
    #[must_use]
    pub fn find(&self, credential: &Credential) -> Option<&Arc<Grant>> {
        if let Some(open) = &self.open {
            return Some(open);
        }
        match credential {
            Credential::Token(hash) => self.tokens.get(hash),
            Credential::Certificate(names) => {
                names.iter().find_map(|name| self.certificates.get(name))
            }
            Credential::ServiceAccount(account, _) => self.service_accounts.get(&**account),
            Credential::User(user) => self.users.get(user),
            Credential::None => None,
        }
    }
}

fn unique<K: std::hash::Hash + Eq>(
    map: &mut HashMap<K, Arc<Grant>>,
    keys: Vec<K>,
    grant: &Arc<Grant>,
    what: &'static str,
) -> Result<(), Ambiguous> {
    for key in keys {
        if let Some(other) = map.insert(key, Arc::clone(grant))
            && other.name() != grant.name()
        {
            return Err(Ambiguous {
                first: other.name().to_owned(),
                second: grant.name().to_owned(),
                what,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, shares: &str) -> (String, Description) {
        let description = Description {
            tokens: vec![TokenHash::of(name)],
            terms: Terms {
                rpcs: Rpcs::new(["answer"], false).unwrap(),
                ..Terms::default()
            },
            shares: Patterns::new([shares].into_iter().filter(|list| !list.is_empty())).unwrap(),
            ..Description::default()
        };
        (name.to_owned(), description)
    }

    fn grant(policy: &Policy, name: &str) -> Arc<Grant> {
        let credential = Credential::Token(TokenHash::of(name));
        Arc::clone(policy.find(&credential).unwrap())
    }

    #[test]
    fn nobody_configured_means_everybody_and_one_means_nobody_else() {
        let open = Policy::new(BTreeMap::new(), &BTreeSet::new()).unwrap();
        assert!(open.find(&Credential::None).unwrap().is_open());
        let closed = Policy::new(BTreeMap::from([described("a", "")]), &BTreeSet::new()).unwrap();
        assert_eq!(closed.find(&Credential::None), None);
        assert_eq!(closed.find(&Credential::User(0)), None);
        let wrong = Credential::Token(TokenHash::of("b"));
        assert_eq!(closed.find(&wrong), None);
        assert_eq!(grant(&closed, "a").name(), "a");
    }

    #[test]
    fn bots_belong_to_their_maker_and_to_whom_it_shares_with() {
        let callers = [described("a", "b"), described("b", ""), described("c", "*")];
        let policy = Policy::new(callers.into(), &BTreeSet::new()).unwrap();
        for (name, owner, owns) in [
            ("a", "a", true),
            ("b", "a", true),
            ("c", "a", false),
            ("a", "b", false),
            ("a", "c", true),
            ("b", "c", true),
            // Made before there were callers, or by one that is gone.
            ("a", "", false),
            ("a", "gone", false),
        ] {
            assert_eq!(grant(&policy, name).owns(owner), owns, "{name} {owner}");
        }
        let (name, mut manager) = described("m", "");
        manager.terms.rpcs = Rpcs::new(["manage"], false).unwrap();
        let policy = Policy::new(
            [(name, manager), described("a", "")].into(),
            &BTreeSet::new(),
        )
        .unwrap();
        assert!(grant(&policy, "m").owns("") && grant(&policy, "m").owns("gone"));
        assert!(!grant(&policy, "m").owns("a"));
    }

    #[test]
    fn one_token_proves_one_caller() {
        let (_, same) = described("a", "");
        let both = [("a".to_owned(), same.clone()), ("b".to_owned(), same)];
        let ambiguous = Policy::new(both.into(), &BTreeSet::new()).unwrap_err();
        assert_eq!(ambiguous.to_string(), "`a` and `b` have the same token");
    }

    #[test]
    fn policy_is_replaced_only_by_another() {
        let callers = Callers::new(Roster::default()).unwrap();
        assert!(!callers.change(|_| {}).unwrap());
        let add = |roster: &mut Roster| roster.configured.extend([described("a", "")]);
        assert!(callers.change(add).unwrap());
        assert!(!callers.change(add).unwrap());
        assert!(!callers.policy().is_open());
    }

    #[test]
    fn caller_of_the_store_counts_and_its_name_is_nobody_elses() {
        let kept = [described("a", "")];
        let callers = Callers::new(Roster {
            kept: kept.into(),
            ..Roster::default()
        });
        let callers = callers.unwrap();
        assert_eq!(grant(&callers.policy(), "a").name(), "a");
        let twice = callers.change(|roster| roster.configured.extend([described("a", "")]));
        assert_eq!(twice, Err(Unclear::Twice("a".to_owned())));
        assert!(callers.roster().configured.is_empty());

        // Revoked: it proves nobody, and nobody is let in for that.
        let revoke = |roster: &mut Roster| roster.kept.get_mut("a").unwrap().tokens.clear();
        callers.change(revoke).unwrap();
        let policy = callers.policy();
        assert!(!policy.is_open());
        assert_eq!(policy.find(&Credential::Token(TokenHash::of("a"))), None);
        let manager = |roster: &mut Roster| {
            let (name, mut manager) = described("m", "");
            manager.terms.rpcs = Rpcs::new(["manage"], false).unwrap();
            roster.configured.insert(name, manager);
        };
        callers.change(manager).unwrap();
        // Its bots are those of nobody.
        assert!(grant(&callers.policy(), "m").owns("a"));
        callers
            .change(|roster| roster.configured.extend([described("a", "")]))
            .unwrap();
        assert_eq!(grant(&callers.policy(), "a").name(), "a");
    }

    #[test]
    fn portal_that_installed_itself_is_seen_only_by_whom_it_was_granted_to() {
        let portal = |name: &str| -> PortalId { name.parse().unwrap() };
        let mut exact = described("exact", "");
        exact.1.terms.portals = Patterns::new(["a223"]).unwrap();
        let mut all = described("all", "");
        all.1.terms.portals = Patterns::all();
        let mut some = described("some", "");
        some.1.terms.portals = Patterns::new(["a*"]).unwrap();
        let callers = Callers::new(Roster {
            configured: [exact, all, some, described("none", "")].into(),
            named: [portal("acme")].into(),
            ..Roster::default()
        });
        let callers = callers.unwrap();
        let sees = |name: &str, id: &str| grant(&callers.policy(), name).portal(&portal(id));
        for (name, acme, guest) in [
            ("exact", false, true),
            ("all", true, false),
            ("some", true, false),
            ("none", false, false),
        ] {
            assert_eq!(
                (sees(name, "acme"), sees(name, "a223")),
                (acme, guest),
                "{name}"
            );
        }
        let granted = |name: &str| (portal("a223"), name.to_owned());
        callers
            .change(|roster| roster.grants.extend([granted("all"), granted("gone")]))
            .unwrap();
        assert!(sees("all", "a223") && !sees("some", "a223"));
        callers.change(|roster| roster.grants.clear()).unwrap();
        assert!(!sees("all", "a223"));
        assert!(Grant::open().portal(&portal("a223")));
    }
}
