//! Where portals have moved to.
//!
//! An address holds for the configured one it was told for; who configures another is obeyed. It is
//! sealed, so that nobody who changes the file can send our calls elsewhere.

use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::{Error, Store, row::Fields, unseal};
use crate::ids::PortalId;

/// Where a portal has moved to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// A hash of the configured address that led there.
    pub configured: [u8; 32],
    /// Scheme, host and port of the new one.
    pub origin: String,
}

const TABLE: &str = "addresses";

impl Store {
    /// Writes down where a portal has moved to.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn save_address(&self, portal: &PortalId, address: &Address) -> Result<(), Error> {
        // A list of numbers and a text: nothing in it can fail to serialise.
        let plain = serde_json::json!(address).to_string();
        let body = self.seal(TABLE, &[portal.as_str()], plain.as_bytes())?;
        let portal = portal.clone();
        self.write(move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO addresses (portal, body) VALUES (?1, ?2)")?
                .execute(params![portal.as_str(), body])?;
            Ok(())
        })
        .await
    }

    /// Where each portal has moved to, of those that have.
    ///
    /// # Errors
    /// When a row cannot be read or unsealed.
    pub async fn addresses(&self) -> Result<Vec<(PortalId, Address)>, Error> {
        self.query(|connection, keys| {
            let mut select = connection.prepare_cached("SELECT portal, body FROM addresses")?;
            let mut rows = select.query([])?;
            let mut addresses = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new(TABLE, row);
                let portal: PortalId = row.name("portal")?;
                let plain = unseal(keys, TABLE, &[portal.as_str()], row.blob("body")?)?;
                let address = serde_json::from_slice(&plain).map_err(|_| row.bad("body"))?;
                addresses.push((portal, address));
            }
            Ok(addresses)
        })
        .await
    }

    /// Forgets where a portal has moved to.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn forget_address(&self, portal: &PortalId) -> Result<(), Error> {
        let portal = portal.clone();
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM addresses WHERE portal = ?1")?
                .execute([portal.as_str()])?;
            Ok(())
        })
        .await
    }
}
