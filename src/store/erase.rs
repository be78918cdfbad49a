//! Erases all that belongs to a portal, because somebody there asked for it.

use std::sync::atomic::Ordering;

use rusqlite::params;

use super::{Error, Store, log};
use crate::ids::PortalId;

impl Store {
    /// Erases the tokens, address, bots and events of a portal, all or nothing. Keys of repeated calls
    /// do not tell their portal; they end by themselves within a day.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn erase_portal(&self, portal: &PortalId) -> Result<(), Error> {
        let portal = portal.clone();
        self.write(move |connection| {
            let name = portal.as_str();
            let bytes: i64 = connection
                .prepare_cached("SELECT ifnull(sum(size), 0) FROM log WHERE portal = ?1")?
                .query_row([name], |row| row.get(0))?;
            // Answers go with their events.
            for table in ["pairs", "addresses", "bots", "unreadable", "log"] {
                let delete = format!("DELETE FROM {table} WHERE portal = ?1");
                connection.prepare_cached(&delete)?.execute(params![name])?;
            }
            log::add_to_meta(connection, "log_bytes", -bytes)
        })
        .await?;
        self.inner.erasures.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How often something was erased since the store was opened: whoever keeps events elsewhere forgets
    /// them when this changes.
    #[must_use]
    pub fn erasures(&self) -> u64 {
        self.inner.erasures.load(Ordering::Relaxed)
    }
}
