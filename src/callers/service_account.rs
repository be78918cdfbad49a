//! Kubernetes service accounts: signed tokens that the cluster gives to its processes.
//!
//! A token is believed when a key of the cluster signed it for our audience and it has not expired.
//! Keys are read from a file or an address, never while a call waits: a token under an unknown key is
//! refused and makes the keys be read again, at most once a minute. A token that was believed once
//! costs a hash and a look into a map until it expires.

mod fetch;
mod keys;
mod signature;

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

use self::keys::Keys;
use super::{Credential, TokenHash};
use crate::{clock::Clock, fault::Chain};

pub use fetch::Trust;

/// Keys are read again after this time, even when nobody shows an unknown one.
const REFRESH: Duration = Duration::from_secs(600);

/// Keys are not read more often than this.
const PAUSE: Duration = Duration::from_secs(60);

/// Tokens that are remembered.
const REMEMBERED: usize = 10_000;

/// Longest token, bytes. Kubernetes makes them of about one thousand.
const TOKEN_BYTES: usize = 8 << 10;

/// Whose tokens to believe.
#[derive(Debug, Clone)]
pub struct Config {
    /// `iss` of every token.
    pub issuer: String,
    /// What `aud` of every token must name.
    pub audience: String,
    /// Where the keys are.
    pub keys: Source,
}

/// Where keys are read from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// An address.
    Url {
        /// Where.
        url: Url,
        /// Whom to trust there.
        trust: Trust,
        /// A file with the token to show there.
        token_file: Option<PathBuf>,
    },
}

/// Why a token is not believed. What exactly is wrong with it is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No keys were read yet.
    NotReady,
    /// It proves nothing.
    Invalid,
}

/// Why keys cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
    #[error("the address cannot be read")]
    Fetch(#[source] fetch::Error),
    #[error("these are no keys")]
    Keys(#[source] keys::Error),
    #[error("the reading broke off")]
    Broken(#[source] tokio::task::JoinError),
}

/// Tells whose tokens are shown. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServiceAccounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    clock: Clock,
    keys: RwLock<Option<Arc<Keys>>>,
    /// Accounts of tokens that were believed, until they expire.
    seen: Mutex<HashMap<TokenHash, (Arc<str>, Timestamp)>>,
    /// Somebody showed a token under an unknown key.
    unknown: Notify,
}

impl ServiceAccounts {
    /// With no keys yet: [`Self::keep_reading`] brings them.
    #[must_use]
    pub fn new(config: Config, clock: Clock) -> Self {
        signature::install();
        Self(Arc::new(Inner {
            config,
            clock,
            keys: RwLock::default(),
            seen: Mutex::default(),
            unknown: Notify::new(),
        }))
    }

    /// The account that a token proves.
    ///
    /// # Errors
    ///
    /// When it proves none, or nobody can tell yet.
    pub fn check(&self, token: &str) -> Result<Credential, Refused> {
        let inner = &self.0;
        if token.len() > TOKEN_BYTES {
            return Err(Refused::Invalid);
        }
        let hash = TokenHash::of(token);
        let now = inner.clock.now();
        if let Some((account, expires)) = inner.seen().get(&hash)
            && now < *expires
        {
            return Ok(Credential::ServiceAccount(Arc::clone(account), *expires));
        }
        let keys = inner.keys.read().unwrap_or_else(PoisonError::into_inner);
        let keys = keys.clone().ok_or(Refused::NotReady)?;
        let proven = keys.check(token, &inner.config.issuer, &inner.config.audience, now);
        let (account, expires) = proven.map_err(|refused| {
            if refused == keys::Refused::UnknownKey {
                inner.unknown.notify_one();
            }
            Refused::Invalid
        })?;
        let mut seen = inner.seen();
        if seen.len() >= REMEMBERED {
            seen.retain(|_, (_, expires)| now < *expires);
            if seen.len() >= REMEMBERED {
                seen.clear();
            }
        }
        seen.insert(hash, (Arc::clone(&account), expires));
        Ok(Credential::ServiceAccount(account, expires))
    }

    /// Reads the keys, and reads them again when that may help, until the process stops.
    pub async fn keep_reading(self, stop: CancellationToken) {
        let reading = async {
            loop {
                let next = Instant::now() + PAUSE;
                match self.read().await {
                    Ok(keys) => self.0.put(keys),
                    Err(error) => {
                        warn!(error = %Chain(&error), "keys of service accounts cannot be read; those known stay");
                    }
                }
                let known = self.0.keys.read().is_ok_and(|keys| keys.is_some());
                if known {
                    tokio::select! {
                        () = self.0.unknown.notified() => {}
                        () = sleep(REFRESH) => {}
                    }
                    sleep_until(next).await;
                } else {
                    // Nobody can be let in until there are some.
                    sleep(Duration::from_secs(5)).await;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = reading => {}
        }
    }

    async fn read(&self) -> Result<Keys, Unread> {
        let text = match &self.0.config.keys {
            Source::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || fs::read(path)).await;
                read.map_err(Unread::Broken)?.map_err(Unread::File)?
            }
            Source::Url {
                url,
                trust,
                token_file,
            } => fetch::fetch(url, trust, token_file.as_deref())
                .await
                .map_err(Unread::Fetch)?,
        };
        Keys::parse(&text).map_err(Unread::Keys)
    }
}

impl Inner {
    fn put(&self, keys: Keys) {
        let keys = Arc::new(keys);
        let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref() == Some(&keys) {
            return;
        }
        info!(keys = keys.len(), "keys of service accounts were read");
        *current = Some(keys);
        // A key that is gone vouches for nobody any more.
        self.seen().clear();
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<TokenHash, (Arc<str>, Timestamp)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
