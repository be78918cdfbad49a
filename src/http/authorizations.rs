//! Authorizations that are under way: a link that an operator gave away, then a browser at the portal.
//!
//! They are kept in memory, and only by their hashes. A restart ends them, and a new link costs one
//! command; in return no copy of the store can be used to let somebody in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use secrecy::SecretString;
use tokio::time::Instant;

use super::PublicUrl;
use crate::portal::{Expected, Owner, Portals};

/// How long a link works.
const LINK_LIFE: Duration = Duration::from_secs(15 * 60);

/// How long a person may take at the portal.
const STATE_LIFE: Duration = Duration::from_secs(10 * 60);

/// How long it is remembered why something works no more.
const MEMORY: Duration = Duration::from_secs(10 * 60);

/// Links, and authorizations under way, at once.
const MOST: usize = 100;

/// Makes links by which portals are authorized. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authorizations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    portals: Portals,
    public_url: PublicUrl,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    links: HashMap<Hash, Link>,
    begun: HashMap<Hash, Begun>,
}

/// The SHA-256 of something random and long, which needs no more protection.
type Hash = [u8; 32];

/// What somebody with a link may do.
#[derive(Debug, Clone)]
struct Link {
    expected: Expected,
    owner: Owner,
    until: Instant,
}

/// A browser is at the portal.
#[derive(Debug)]
struct Begun {
    link: Link,
    cookie: Hash,
    used: bool,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody could be sent there.
    #[error("the portal is not known, or its host is not among `outbound.portal_hosts`")]
    UnknownPlace,
    /// Too many were given away.
    #[error("there are {MOST} links that work: wait until some are used or over")]
    TooMany,
    /// The system has no random numbers to give.
    #[error("no random numbers")]
    Randomless(#[from] getrandom::Error),
}

/// Why an authorization does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ended {
    #[error("the link is not known, used or over")]
    Link,
    #[error("its state was used before")]
    Used,
    #[error("it took too long")]
    Late,
    #[error("its state is not of this browser")]
    Foreign,
}

/// Where to send a browser, and what it has to bring back.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) location: String,
    pub(super) cookie: String,
}

/// What was asked for by a link.
#[derive(Debug)]
pub(super) struct Return {
    pub(super) expected: Expected,
    pub(super) owner: Owner,
}

impl Authorizations {
    pub(super) fn new(portals: Portals, public_url: PublicUrl) -> Self {
        Self(Arc::new(Inner {
            portals,
            public_url,
            open: Mutex::default(),
        }))
    }

    /// A link by which a person lets our application into this portal. It works once, for 15 minutes,
    /// and is a secret. With `replace_user` the person may be another one than before.
    ///
    /// # Errors
    ///
    /// See [`LinkError`].
    pub fn new_link(
        &self,
        expected: Expected,
        replace_user: bool,
    ) -> Result<SecretString, LinkError> {
        let place = self.0.portals.authorization_of(&expected);
        place.ok_or(LinkError::UnknownPlace)?;
        let (secret, hash) = random()?;
        let mut open = self.open();
        if open.links.len() >= MOST {
            return Err(LinkError::TooMany);
        }
        let owner = if replace_user {
            Owner::Any
        } else {
            Owner::Same
        };
        let until = Instant::now() + LINK_LIFE;
        let link = Link {
            expected,
            owner,
            until,
        };
        open.links.insert(hash, link);
        let target = format!("/oauth/start?link={secret}");
        Ok(self.0.public_url.at(&target).into())
    }

    /// Somebody came with a link, which works no more.
    pub(super) fn begin(&self, link: &str) -> Result<Departure, Ended> {
        let mut open = self.open();
        let link = open.links.remove(&hash(link)).ok_or(Ended::Link)?;
        let place = self.0.portals.authorization_of(&link.expected);
        let (origin, client_id) = place.ok_or(Ended::Link)?;
        if open.begun.len() >= MOST {
            return Err(Ended::Link);
        }
        let made = random().and_then(|state| Ok((state, random()?)));
        let ((state, state_hash), (cookie, cookie_hash)) = made.map_err(|_| Ended::Link)?;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", client_id)
            .append_pair("state", &state)
            .finish();
        let begun = Begun {
            link: Link {
                until: Instant::now() + STATE_LIFE,
                ..link
            },
            cookie: cookie_hash,
            used: false,
        };
        open.begun.insert(state_hash, begun);
        Ok(Departure {
            location: format!("{origin}/oauth/authorize/?{query}"),
            cookie,
        })
    }

    /// A browser came back. What it was sent away with works no more.
    pub(super) fn finish(&self, state: &str, cookie: Option<&str>) -> Result<Return, Ended> {
        let mut open = self.open();
        let begun = open.begun.get_mut(&hash(state)).ok_or(Ended::Foreign)?;
        // Both are hashes of what nobody can choose: how long it takes to compare them tells nothing.
        if cookie.map(hash) != Some(begun.cookie) {
            return Err(Ended::Foreign);
        }
        if begun.used {
            return Err(Ended::Used);
        }
        begun.used = true;
        if Instant::now() >= begun.link.until {
            return Err(Ended::Late);
        }
        Ok(Return {
            expected: begun.link.expected.clone(),
            owner: begun.link.owner,
        })
    }

    /// What is open, without what is long over.
    fn open(&self) -> MutexGuard<'_, Open> {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        open.links.retain(|_, link| now < link.until);
        open.begun
            .retain(|_, begun| now < begun.link.until + MEMORY);
        open
    }
}

/// 256 random bits as a text, and their hash.
fn random() -> Result<(String, Hash), getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let hash = hash(&text);
    Ok((text, hash))
}

fn hash(text: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}
