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
mod rpc;
pub mod service_account;
pub mod token;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::watch;

pub use self::{
    grant::{Grant, Terms},
    pattern::Patterns,
    rpc::{GROUPS, Group, Rpc, Rpcs},
    token::TokenHash,
};

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
    /// The policy of these callers; without any, everybody may do everything.
    ///
    /// # Errors
    ///
    /// When something proves two callers.
    pub fn new(described: BTreeMap<String, Description>) -> Result<Self, Ambiguous> {
        let mut policy = Self::default();
        if described.is_empty() {
            return Ok(policy);
        }
        policy.open = None;
        let known: Arc<BTreeSet<Box<str>>> =
            Arc::new(described.keys().map(|name| name.as_str().into()).collect());
        for (name, caller) in &described {
            let shared = |(sharer, other): &(&String, &Description)| {
                *sharer != name && other.shares.has(name)
            };
            let sharers = described.iter().filter(shared);
            let sharers = sharers.map(|(sharer, _)| sharer.as_str().into()).collect();
            let grant = Grant::new(name, caller.terms.clone(), sharers, Arc::clone(&known));
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

/// The policy in force. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Callers(Arc<watch::Sender<Arc<Policy>>>);

impl Callers {
    /// With this policy.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(policy))))
    }

    /// The policy now.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.borrow())
    }

    /// Puts another policy in force: for the next call of everybody, and for streams under way. Says
    /// whether that changed anything.
    pub fn replace(&self, policy: Policy) -> bool {
        self.0.send_if_modified(|current| {
            let differs = **current != policy;
            if differs {
                *current = Arc::new(policy);
            }
            differs
        })
    }
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
        let open = Policy::new(BTreeMap::new()).unwrap();
        assert!(open.find(&Credential::None).unwrap().is_open());
        let closed = Policy::new(BTreeMap::from([described("a", "")])).unwrap();
        assert_eq!(closed.find(&Credential::None), None);
        assert_eq!(closed.find(&Credential::User(0)), None);
        let wrong = Credential::Token(TokenHash::of("b"));
        assert_eq!(closed.find(&wrong), None);
        assert_eq!(grant(&closed, "a").name(), "a");
    }

    #[test]
    fn bots_belong_to_their_maker_and_to_whom_it_shares_with() {
        let callers = [described("a", "b"), described("b", ""), described("c", "*")];
        let policy = Policy::new(callers.into()).unwrap();
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
        let policy = Policy::new([(name, manager), described("a", "")].into()).unwrap();
        assert!(grant(&policy, "m").owns("") && grant(&policy, "m").owns("gone"));
        assert!(!grant(&policy, "m").owns("a"));
    }

    #[test]
    fn one_token_proves_one_caller() {
        let (_, same) = described("a", "");
        let both = [("a".to_owned(), same.clone()), ("b".to_owned(), same)];
        let ambiguous = Policy::new(both.into()).unwrap_err();
        assert_eq!(ambiguous.to_string(), "`a` and `b` have the same token");
    }

    #[test]
    fn policy_is_replaced_only_by_another() {
        let callers = Callers::new(Policy::default());
        assert!(!callers.replace(Policy::default()));
        let other = Policy::new(BTreeMap::from([described("a", "")])).unwrap();
        assert!(callers.replace(other.clone()));
        assert!(!callers.replace(other));
        assert!(!callers.policy().is_open());
    }
}
