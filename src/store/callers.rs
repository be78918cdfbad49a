//! Callers that were added while the gateway ran, and which of them may use a portal that installed itself.
//!
//! Sealed, so that nobody who changes the file can let itself in.

use jiff::Timestamp;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{Error, Store, row::Fields, sqlite::schema, unseal};
use crate::{
    callers::{TokenHash, Written},
    ids::PortalId,
};

/// A caller of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCaller {
    /// Its name.
    pub name: String,
    /// The hash of its token; `None` once it was revoked.
    pub token: Option<TokenHash>,
    /// What it may do.
    pub written: Written,
    /// When it was added.
    pub added_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Plain {
    token: Option<String>,
    written: Written,
    added_at: Timestamp,
    revoked_at: Option<Timestamp>,
}

const CALLERS: &str = "callers";
const GRANTS: &str = "grants";

impl Store {
    /// Writes a caller down, in place of the one with its name.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn save_caller(&self, caller: &KeptCaller) -> Result<(), Error> {
        let plain = Plain {
            token: caller.token.map(|token| token.to_string()),
            written: caller.written.clone(),
            added_at: caller.added_at,
            revoked_at: caller.revoked_at,
        };
        // Texts, lists and times: nothing in it can fail to serialise.
        let plain = serde_json::json!(plain).to_string();
        let name = caller.name.clone();
        let body = self.seal(CALLERS, &[&name], plain.as_bytes())?;
        self.write(move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO callers (name, body) VALUES (?1, ?2)")?
                .execute(params![name, body])?;
            // A release that does not know of it would let everybody in.
            Ok(schema::tell_older_releases(connection)?)
        })
        .await
    }

    /// All callers, by name.
    ///
    /// # Errors
    /// When a row cannot be read or unsealed.
    pub async fn callers(&self) -> Result<Vec<KeptCaller>, Error> {
        self.query(|connection, keys| {
            let mut select =
                connection.prepare_cached("SELECT name, body FROM callers ORDER BY name")?;
            let mut rows = select.query([])?;
            let mut callers = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new(CALLERS, row);
                let name = row.text("name")?.to_owned();
                let body = unseal(keys, CALLERS, &[&name], row.blob("body")?)?;
                let plain: Plain = serde_json::from_slice(&body).map_err(|_| row.bad("body"))?;
                let token = plain.token.map(|token| token.parse());
                callers.push(KeptCaller {
                    token: token.transpose().map_err(|_| row.bad("body"))?,
                    written: plain.written,
                    added_at: plain.added_at,
                    revoked_at: plain.revoked_at,
                    name,
                });
            }
            Ok(callers)
        })
        .await
    }

    /// Lets a caller use a portal that installed itself.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn grant(&self, portal: &PortalId, caller: &str) -> Result<(), Error> {
        let (portal, caller) = (portal.clone(), caller.to_owned());
        // There is nothing to say of it but that it is ours.
        let body = self.seal(GRANTS, &[portal.as_str(), &caller], b"")?;
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO grants (portal, caller, body) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![portal.as_str(), caller, body])?;
            Ok(())
        })
        .await
    }

    /// Ends that. Says whether it was so.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn withdraw(&self, portal: &PortalId, caller: &str) -> Result<bool, Error> {
        let (portal, caller) = (portal.clone(), caller.to_owned());
        self.write(move |connection| {
            let ended = connection
                .prepare_cached("DELETE FROM grants WHERE portal = ?1 AND caller = ?2")?
                .execute(params![portal.as_str(), caller])?;
            Ok(ended > 0)
        })
        .await
    }

    /// Which caller may use which portal that installed itself.
    ///
    /// # Errors
    /// When a row cannot be read or unsealed.
    pub async fn grants(&self) -> Result<Vec<(PortalId, String)>, Error> {
        self.query(|connection, keys| {
            let mut select = connection.prepare_cached(
                "SELECT portal, caller, body FROM grants ORDER BY portal, caller",
            )?;
            let mut rows = select.query([])?;
            let mut grants = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new(GRANTS, row);
                let portal: PortalId = row.name("portal")?;
                let caller = row.text("caller")?.to_owned();
                unseal(keys, GRANTS, &[portal.as_str(), &caller], row.blob("body")?)?;
                grants.push((portal, caller));
            }
            Ok(grants)
        })
        .await
    }
}
