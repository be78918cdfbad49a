//! What became of the calls that carry a key, so that a repeat is told and does not run again.
//!
//! Made like [`answers`](super::answers): the intent is durable before the call leaves and the
//! outcome after it came, so an intent without an outcome is of a call whose end nobody saw. Apart
//! from them, because an answer lives as long as its event and is the same whatever was said, while a
//! key lives for [`KEPT`] and belongs to one request.
//!
//! A row is sealed as a whole: even the hash of a short text would give it away.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::{Error, Store, sqlite::Failure, unseal};

/// How long a key is remembered, from its intent and again from its outcome.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Most rows removed in one transaction.
const STEP: u32 = 500;

const TABLE: &str = "ledger";

/// The hash of a request.
pub type RequestHash = [u8; 32];

/// What is known of a key before a call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallBegun {
    /// Nothing; the intent is written down.
    New,
    /// The call ended like this.
    Settled(Vec<u8>),
    /// The same call was begun, and nobody saw its end.
    Unknown,
    /// The key was used for another request.
    OtherRequest,
}

impl Store {
    /// Writes down that a call is about to be made, unless its key is known. Callers see to it that
    /// nobody else does so for the same key at the same time.
    ///
    /// # Errors
    /// When the write failed, or what is known cannot be read; then nothing may be sent.
    pub async fn begin_call(
        &self,
        key: &str,
        request: RequestHash,
        now: Timestamp,
    ) -> Result<CallBegun, Error> {
        let intent = self.seal(TABLE, &[key], &request)?;
        let keys = self.keys();
        let key = key.to_owned();
        let oldest = oldest(now);
        self.write(move |connection| {
            let found: Option<Vec<u8>> = connection
                .prepare_cached("SELECT body FROM ledger WHERE key = ?1 AND at > ?2")?
                .query_row(params![key, oldest], |row| row.get(0))
                .optional()?;
            if let Some(sealed) = found {
                let body = unseal(&keys, TABLE, &[&key], &sealed)?;
                return known(&body, &request);
            }
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO ledger (key, at, body) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![key, now.as_microsecond(), intent])?;
            Ok(CallBegun::New)
        })
        .await
    }

    /// The call ended, and its repeats are to be told how.
    ///
    /// # Errors
    /// When the write failed; then the outcome stays unknown.
    pub async fn settle_call(
        &self,
        key: &str,
        request: RequestHash,
        outcome: &[u8],
        now: Timestamp,
    ) -> Result<(), Error> {
        let body = self.seal(TABLE, &[key], &[&request, outcome].concat())?;
        let key = key.to_owned();
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO ledger (key, at, body) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![key, now.as_microsecond(), body])?;
            Ok(())
        })
        .await
    }

    /// The call surely did not run, so its key is free again.
    ///
    /// # Errors
    /// When the write failed; then the outcome stays unknown.
    pub async fn release_call(&self, key: &str) -> Result<(), Error> {
        let key = key.to_owned();
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM ledger WHERE key = ?1")?
                .execute([key])?;
            Ok(())
        })
        .await
    }

    /// Removes the keys that were kept long enough. Says how many.
    ///
    /// # Errors
    /// When a step failed; the steps before it stay done.
    pub async fn expire_calls(&self, now: Timestamp) -> Result<usize, Error> {
        let oldest = oldest(now);
        let mut removed = 0;
        loop {
            // Small steps, so that calls need not wait for a long removal.
            let step = self
                .write(move |connection| {
                    Ok(connection
                        .prepare_cached(
                            "DELETE FROM ledger WHERE key IN
                             (SELECT key FROM ledger WHERE at <= ?1 LIMIT ?2)",
                        )?
                        .execute(params![oldest, STEP])?)
                })
                .await?;
            removed += step;
            if step < STEP as usize {
                return Ok(removed);
            }
        }
    }
}

/// Keys of this time and before are forgotten.
fn oldest(now: Timestamp) -> i64 {
    now.saturating_sub(KEPT)
        .unwrap_or(Timestamp::MIN)
        .as_microsecond()
}

/// What a row says of a request: its hash, and how it ended if it did.
fn known(body: &[u8], request: &RequestHash) -> Result<CallBegun, Failure> {
    let Some((first, outcome)) = body.split_first_chunk::<32>() else {
        return Err(Failure::Store(Error::BadRow {
            table: TABLE,
            what: "its `body`".to_owned(),
        }));
    };
    Ok(if first != request {
        CallBegun::OtherRequest
    } else if outcome.is_empty() {
        CallBegun::Unknown
    } else {
        CallBegun::Settled(outcome.to_vec())
    })
}
