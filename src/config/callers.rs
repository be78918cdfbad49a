//! Settings of callers, and what follows them while the process runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::PathBuf,
};

use ring::digest::{SHA256, digest};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use url::{Host, Url};

use super::{Config, Error, Sources, grpc::given, invalid, read};
use crate::{
    callers::{
        Description, Policy, Written,
        service_account::{self, Source, Trust},
    },
    ids::PortalId,
};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCaller {
    token_sha256: List,
    certificate: List,
    service_account: List,
    uid: List,
    portals: List,
    bots: List,
    rpcs: List,
    execute: bool,
    default_portal: String,
    shares: List,
    names_pods: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServiceAccounts {
    issuer: String,
    audience: String,
    jwks_file: PathBuf,
    jwks_url: String,
    ca_file: PathBuf,
    token_file: PathBuf,
}

/// A list, or a text with commas between, as in the environment.
#[derive(Default)]
struct List(Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_str<E>(self, text: &str) -> Result<List, E> {
                Ok(List(super::listed(text).map(str::to_owned).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element::<Item>()? {
                    list.push(match item {
                        Item::Text(text) => text,
                        Item::Number(number) => number.to_string(),
                    });
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_any(Items)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Text(String),
    Number(u32),
}

impl List {
    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// All configured callers; `accounts` says whether service accounts are believed.
pub(super) fn callers(
    raw: &BTreeMap<String, RawCaller>,
    accounts: bool,
) -> Result<BTreeMap<String, Description>, Error> {
    let mut described = BTreeMap::new();
    for (name, caller) in raw {
        let key = format!("callers.{name}");
        if let Err(rule) = name.parse::<PortalId>() {
            return Err(invalid(&key, format!("is named wrongly: {rule}")));
        }
        described.insert(name.clone(), caller.describe(&key, accounts)?);
    }
    // Only for whether they can be told apart.
    Policy::new(described.clone(), &BTreeSet::new())
        .map_err(|ambiguous| invalid("callers", format!("cannot be used: {ambiguous}")))?;
    Ok(described)
}

impl RawCaller {
    fn describe(&self, key: &str, accounts: bool) -> Result<Description, Error> {
        let at = |setting: &str| format!("{key}.{setting}");
        let tokens = self.token_sha256.iter().map(|hash| {
            // What stands there may be the token itself.
            hash.parse()
                .map_err(|rule| invalid(&at("token_sha256"), format!("{rule}")))
        });
        let users = self.uid.iter().map(|user| {
            let rule = || format!("must be user ids such as 1000, not \"{user}\"");
            user.parse().map_err(|_| invalid(&at("uid"), rule()))
        });
        let account = |account: &str| {
            let parts = account.split_once('/');
            parts.is_some_and(|(namespace, name)| {
                !namespace.is_empty() && !name.is_empty() && !name.contains('/')
            })
        };
        if let Some(wrong) = self.service_account.iter().find(|name| !account(name)) {
            let rule = format!("must be `namespace/name`, not \"{wrong}\"");
            return Err(invalid(&at("service_account"), rule));
        }
        if !self.service_account.0.is_empty() && !accounts {
            let rule = "needs `service_accounts.issuer`, which says whose tokens to believe";
            return Err(invalid(&at("service_account"), rule));
        }
        let list = |list: &List| list.iter().map(str::to_owned).collect();
        let written = Written {
            portals: list(&self.portals),
            bots: list(&self.bots),
            rpcs: list(&self.rpcs),
            execute: self.execute,
            default_portal: self.default_portal.clone(),
            shares: list(&self.shares),
            names_pods: self.names_pods,
        };
        let read = written.read();
        let (terms, shares) = read.map_err(|wrong| invalid(&at(wrong.field), wrong.rule))?;
        let description = Description {
            tokens: tokens.collect::<Result<_, _>>()?,
            certificates: self.certificate.0.clone(),
            service_accounts: self.service_account.0.clone(),
            users: users.collect::<Result<_, _>>()?,
            terms,
            shares,
        };
        let proofs = description.tokens.len()
            + description.certificates.len()
            + description.service_accounts.len()
            + description.users.len();
        if proofs == 0 {
            let rule = "needs something that proves it: `token_sha256`, `certificate`, `service_account` or `uid`";
            return Err(invalid(key, rule));
        }
        Ok(description)
    }
}

impl RawServiceAccounts {
    pub(super) fn check(&self) -> Result<Option<service_account::Config>, Error> {
        let (file, url) = (given(&self.jwks_file), self.jwks_url.as_str());
        if self.issuer.is_empty() && self.audience.is_empty() && file.is_none() && url.is_empty() {
            return Ok(None);
        }
        for (key, text) in [("issuer", &self.issuer), ("audience", &self.audience)] {
            if text.is_empty() {
                let key = format!("service_accounts.{key}");
                return Err(invalid(
                    &key,
                    "is needed, so that no other tokens are believed",
                ));
            }
        }
        let keys = match (file, url) {
            (Some(path), "") => Source::File(path),
            (None, "") => {
                let rule = "or `service_accounts.jwks_url` is needed";
                return Err(invalid("service_accounts.jwks_file", rule));
            }
            (Some(_), _) => {
                let rule = "is given beside `service_accounts.jwks_url`: one of them is enough";
                return Err(invalid("service_accounts.jwks_file", rule));
            }
            (None, url) => Source::Url {
                url: address(url)?,
                trust: self.trust()?,
                token_file: given(&self.token_file),
            },
        };
        Ok(Some(service_account::Config {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            keys,
        }))
    }

    fn trust(&self) -> Result<Trust, Error> {
        let key = "service_accounts.ca_file";
        let pem = given(&self.ca_file)
            .map(|path| read(key, &path))
            .transpose()?;
        Trust::new(pem.as_deref().map(str::as_bytes))
            .map_err(|wrong| invalid(key, format!("cannot be used: {wrong}")))
    }
}

/// An address that nobody between can answer for.
fn address(text: &str) -> Result<Url, Error> {
    let loopback = |url: &Url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let safe = |url: &Url| {
        url.username().is_empty()
            && (url.scheme() == "https" || (url.scheme() == "http" && loopback(url)))
    };
    text.parse().ok().filter(safe).ok_or_else(|| {
        invalid(
            "service_accounts.jwks_url",
            "must be an https address, or an http one of this machine",
        )
    })
}

/// Looks whether the callers were changed.
pub struct Reload {
    sources: Sources,
    path: PathBuf,
    /// The hash of what it held.
    held: Option<Vec<u8>>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what it reads from, which holds secrets.
        let mut reload = f.debug_struct("Reload");
        reload.field("path", &self.path).finish_non_exhaustive()
    }
}

impl Reload {
    pub(super) fn of(sources: &Sources) -> Option<Self> {
        let mut reload = Self {
            path: sources.file.clone()?,
            sources: sources.clone(),
            held: None,
        };
        reload.held = reload.hash();
        Some(reload)
    }

    /// The callers of the file, if the file is another one than at the last look.
    ///
    /// # Errors
    ///
    /// When the whole configuration could not be used as it is now. Told once for each change.
    pub fn look(&mut self) -> Result<Option<BTreeMap<String, Description>>, Error> {
        // Not only the time of its last change: a file can change twice within one tick.
        let held = self.hash();
        if held == self.held {
            return Ok(None);
        }
        self.held = held;
        Config::load(&self.sources).map(|config| Some(config.callers))
    }

    fn hash(&self) -> Option<Vec<u8>> {
        let content = fs::read(&self.path).ok()?;
        Some(digest(&SHA256, &content).as_ref().to_vec())
    }
}
