//! Incoming webhooks of portals that were added while the gateway ran.

use rusqlite::params;
use secrecy::{ExposeSecret as _, SecretString};

use super::{Error, Store, row::Fields, unseal};
use crate::ids::PortalId;

const TABLE: &str = "webhooks";

impl Store {
    /// Writes down the webhook of a portal, in place of the one it had.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn save_webhook(&self, portal: &PortalId, url: &SecretString) -> Result<(), Error> {
        let body = self.seal(TABLE, &[portal.as_str()], url.expose_secret().as_bytes())?;
        let portal = portal.clone();
        self.write(move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO webhooks (portal, body) VALUES (?1, ?2)")?
                .execute(params![portal.as_str(), body])?;
            Ok(())
        })
        .await
    }

    /// All webhooks, by portal.
    ///
    /// # Errors
    /// When a row cannot be read or unsealed.
    pub async fn webhooks(&self) -> Result<Vec<(PortalId, SecretString)>, Error> {
        self.query(|connection, keys| {
            let mut select =
                connection.prepare_cached("SELECT portal, body FROM webhooks ORDER BY portal")?;
            let mut rows = select.query([])?;
            let mut webhooks = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new(TABLE, row);
                let portal: PortalId = row.name("portal")?;
                let body = unseal(keys, TABLE, &[portal.as_str()], row.blob("body")?)?;
                let url = str::from_utf8(&body).map_err(|_| row.bad("body"))?;
                webhooks.push((portal, url.into()));
            }
            Ok(webhooks)
        })
        .await
    }

    /// Erases the webhook of a portal. Says whether there was one.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn erase_webhook(&self, portal: &PortalId) -> Result<bool, Error> {
        let portal = portal.clone();
        self.write(move |connection| {
            let erased = connection
                .prepare_cached("DELETE FROM webhooks WHERE portal = ?1")?
                .execute([portal.as_str()])?;
            Ok(erased > 0)
        })
        .await
    }
}
