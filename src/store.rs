//! What outlives a restart: the tokens of portals, our bots and theirs, the event log, how far each poll came, what
//! became of calls that must not run twice, how far the limits of portals were used up, and which callers and portals were added.
//!
//! One SQLite file in a folder of its own, written by one task and read by several. Writes that wait
//! together are committed together, so durability costs one `fsync` per group and not per write.
//! Whatever could hurt in foreign hands (tokens, event bodies) is sealed with keys kept elsewhere.
//!
//! Invariant: a call that returned `Ok` survives a power cut; one that failed left nothing behind.

pub mod addresses;
pub mod answers;
pub mod backup;
pub mod bots;
pub mod callers;
pub mod deliveries;
mod erase;
pub mod error;
pub mod examine;
mod heard;
pub mod keys;
pub mod ledger;
pub mod log;
pub mod look;
mod metrics;
mod pacing;
pub mod pairs;
pub mod restore;
pub mod rotate;
mod row;
pub mod seal;
pub mod sealed;
mod sqlite;
pub mod subscriptions;
pub mod suspicions;
mod webhooks;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::Duration,
};

use opentelemetry::metrics::Meter;
use rusqlite::Connection;
use secrecy::{SecretString, zeroize::Zeroizing};
use tokio::{
    sync::{Mutex, watch},
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use self::{
    keys::Ring,
    metrics::Metrics,
    seal::Sealed,
    sqlite::{Failure, Readers, Writer},
};
use crate::{clock::Clock, lifecycle::Pulse};

pub use self::{
    addresses::Address,
    answers::AnswerBegun,
    bots::{Becomes, Bot, BotState, EventDelivery, EventMode, Fetched, NextMode, NextToken, Skip},
    callers::KeptCaller,
    deliveries::{Aside, Delivery, Head, Turn},
    error::Error,
    keys::Keys,
    ledger::CallBegun,
    log::{
        Append, Appended, Body, BotTotal, CommandRef, Entry, Event, Expired, Filter, Gap, Item,
        Limit, LogId, Page, RecentCommand, Removed, Stored, Unreadable,
    },
    pairs::{KeptPair, Pair},
    subscriptions::{Subscription, SubscriptionId},
    suspicions::Suspicion,
};

/// Where the store lives and what opens it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of the store. Made with mode 0700 when it does not exist.
    pub dir: PathBuf,
    /// Where the keys come from.
    pub keys: KeySource,
}

/// Where the keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file outside the store's folder, made together with a new store.
    File(PathBuf),
    /// The text of such a file, e.g. from the environment.
    Text(SecretString),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "the key file {}", file.display()),
            Self::Text(_) => f.write_str("the configured text"),
        }
    }
}

/// A store that was opened, and what was done for it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The key file made for a new store, which the operator must keep safe; `None` when keys were there.
    pub created_key_file: Option<PathBuf>,
    /// Whether it was restored and is not activated: nothing may leave for portals.
    pub restored: bool,
    /// Whether the process before ended without closing it.
    pub unclean: bool,
}

/// How often a store that another process holds is tried.
const RETRY: Duration = Duration::from_millis(250);

/// The store. Cheap to clone; it is open until [`Store::close`] or until the last clone is gone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    source: KeySource,
    ring: Ring,
    /// One change of the keys at a time.
    changing_keys: Mutex<()>,
    path: PathBuf,
    log_id: LogId,
    /// Counts removals.
    removals: AtomicU64,
    head: watch::Receiver<u64>,
    writer: Writer,
    readers: Readers,
    /// Set once, by whoever measures.
    metrics: OnceLock<Metrics>,
}

impl Store {
    /// Opens the store of a folder, or makes it, and holds it exclusively until closed. Must be
    /// called on a tokio runtime, which must outlive the store.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process holds it, which may pass; anything else (keys that do
    /// not fit, a damaged file, a folder that cannot be written, a newer release's store) stays
    /// until an operator acts.
    pub async fn open(config: Config, clock: Clock) -> Result<Opened, Error> {
        let source = config.keys.clone();
        let database = spawn_blocking(move || sqlite::open(&config, &clock))
            .await
            .map_err(|_| Error::BrokeOff)??;
        let path = database.path.clone();
        let readers = Readers::new(path.clone());
        let (writer, head) = Writer::start(database.held, database.path, database.head);
        Ok(Opened {
            store: Self {
                inner: Arc::new(Inner {
                    source,
                    ring: Ring::new(database.keys),
                    changing_keys: Mutex::default(),
                    path,
                    log_id: database.log_id,
                    removals: AtomicU64::new(0),
                    head,
                    writer,
                    readers,
                    metrics: OnceLock::new(),
                }),
            },
            created_key_file: database.created_key_file,
            restored: database.restored,
            unclean: database.unclean,
        })
    }

    /// The same, but waits for whoever holds the store to let go of it. `held` is told who that is.
    ///
    /// # Errors
    /// As [`Store::open`], but never [`Error::Locked`].
    pub async fn open_when_free(
        config: Config,
        clock: Clock,
        held: impl Fn(&str),
    ) -> Result<Opened, Error> {
        let mut known = None;
        loop {
            match Self::open(config.clone(), clock).await {
                Err(Error::Locked { path, holder }) => {
                    if known.as_ref() != Some(&holder) {
                        warn!(lock = %path.display(), holder, "the store is held by another process: not ready until that ends");
                        held(&holder);
                        known = Some(holder);
                    }
                    sleep(RETRY).await;
                }
                opened => {
                    if known.is_some() && opened.is_ok() {
                        info!("the store is free");
                    }
                    return opened;
                }
            }
        }
    }

    /// Looks the whole database over. Takes a while for a large one, and keeps nobody waiting.
    ///
    /// # Errors
    /// [`Error::Damaged`], or when it cannot be read.
    pub async fn check(&self) -> Result<(), Error> {
        // Without keys, which would be held for as long.
        self.inner.readers.run(sqlite::check).await
    }

    /// The keys in use. For one piece of work: who holds them keeps others from being retired.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        self.inner.ring.now()
    }

    /// Waits for what was asked for before, then closes the files and gives up the lock. Every
    /// later call fails with [`Error::Closed`].
    pub async fn close(&self) {
        // Readers first: the last connection tidies up the write-ahead log, which readers cannot.
        self.inner.readers.close().await;
        self.inner.writer.stop().await;
    }

    /// The progress of the writer, which owes none while nothing is to be written.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.inner.writer.pulse()
    }

    /// Whether the last transaction could be committed. Changes are told.
    #[must_use]
    pub fn writable(&self) -> watch::Receiver<bool> {
        self.inner.writer.writable()
    }

    /// Writes something of no importance, to learn whether writing works.
    ///
    /// # Errors
    /// When it does not.
    pub async fn probe(&self) -> Result<(), Error> {
        self.write(|connection| {
            connection.execute(
                "INSERT INTO meta VALUES ('probe', 0)
                 ON CONFLICT (name) DO UPDATE SET value = value + 1",
                [],
            )?;
            Ok(())
        })
        .await
    }

    /// Transactions committed since the store was opened: a measure of how well writes share them.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.inner.writer.commits()
    }

    /// Changes the database, together with others but as if alone.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let asked = Instant::now();
        let written = self.inner.writer.run(work).await;
        if let Some(metrics) = self.inner.metrics.get() {
            match &written {
                Ok(_) => metrics.wrote(asked.elapsed()),
                Err(error) => metrics.failed(error),
            }
        }
        written
    }

    /// Reads the database; the query is also given the keys.
    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection, &Arc<Keys>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let keys = self.keys();
        let read = self
            .inner
            .readers
            .run(move |connection| query(connection, &keys))
            .await;
        if let (Err(error), Some(metrics)) = (&read, self.inner.metrics.get()) {
            metrics.failed(error);
        }
        read
    }

    /// Tells from now on what happens in it. What is said a second time changes nothing.
    pub fn measured_by(&self, meter: &Meter) {
        self.inner.metrics.get_or_init(|| Metrics::new(meter));
    }

    fn seal(&self, table: &'static str, place: &[&str], plain: &[u8]) -> Result<Sealed, Error> {
        sealed_with(&self.keys(), table, place, plain)
    }
}

fn sealed_with(
    keys: &Arc<Keys>,
    table: &'static str,
    place: &[&str],
    plain: &[u8],
) -> Result<Sealed, Error> {
    Sealed::new(keys, &placed(table, place), plain).map_err(|cause| Error::Sealed { table, cause })
}

fn unseal(
    keys: &Keys,
    table: &'static str,
    place: &[&str],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    seal::unseal(keys, &placed(table, place), sealed)
        .map_err(|cause| Error::Sealed { table, cause })
}

fn placed(table: &str, place: &[&str]) -> Vec<u8> {
    let mut parts = vec![table];
    parts.extend(place);
    seal::place(&parts)
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.inner.log_id)
    }
}

#[cfg(test)]
mod tests;
