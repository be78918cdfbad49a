//! Erases all that belongs to a portal, because somebody there asked for it.
//!
//! What it can be called with goes at once, its history in small steps, so that nobody's events wait
//! for a long removal. How far that is to go is written down first: a crash in between ends nothing.

use std::sync::atomic::Ordering;

use rusqlite::{Connection, params};

use super::{
    Error, Store,
    log::{self, STEP, prepare},
    sqlite::{self, Failure},
};
use crate::ids::PortalId;

impl Store {
    /// Erases the tokens, address and bots of a portal, all or nothing, and then its events. Keys of
    /// repeated calls do not tell their portal; they end by themselves within a day.
    ///
    /// # Errors
    /// When a write failed. If it was the first one, nothing changed; else what is left of the events
    /// goes with [`Store::finish_erasing`].
    pub async fn erase_portal(&self, portal: &PortalId) -> Result<(), Error> {
        let name = portal.clone();
        self.write(move |connection| {
            let name = name.as_str();
            for table in ["pairs", "addresses", "bots", "log_bots", "suspicions"] {
                let delete = format!("DELETE FROM {table} WHERE portal = ?1");
                connection.prepare_cached(&delete)?.execute([name])?;
            }
            let head = sqlite::head(connection)?.cast_signed();
            prepare(
                connection,
                "INSERT INTO erasing VALUES (?1, ?2)
                 ON CONFLICT (portal) DO UPDATE SET until = excluded.until",
            )?
            .execute(params![name, head])?;
            Ok(())
        })
        .await?;
        self.inner.removals.fetch_add(1, Ordering::Relaxed);
        self.erase_history(portal).await
    }

    /// How often entries of the log were removed since the store was opened, because they were erased or
    /// kept long enough: whoever keeps events elsewhere forgets them when this changes.
    #[must_use]
    pub fn removals(&self) -> u64 {
        self.inner.removals.load(Ordering::Relaxed)
    }

    /// Erases what an erasure that was broken off has left.
    ///
    /// # Errors
    /// When it cannot be read or written; what is left can be erased later.
    pub async fn finish_erasing(&self) -> Result<(), Error> {
        let portals = self.query(|connection, _| {
            let mut select = connection.prepare_cached("SELECT portal FROM erasing")?;
            let names = select.query_map([], |row| row.get::<_, String>(0))?;
            Ok(names.collect::<Result<Vec<_>, _>>()?)
        });
        for name in portals.await? {
            let portal = name.parse().map_err(|_| Error::BadRow {
                table: "erasing",
                what: "its `portal`".to_owned(),
            })?;
            self.erase_history(&portal).await?;
        }
        Ok(())
    }

    async fn erase_history(&self, portal: &PortalId) -> Result<(), Error> {
        loop {
            let portal = portal.clone();
            let more = self
                .write(move |connection| step(connection, portal.as_str()))
                .await?;
            // What was read meanwhile is forgotten as well.
            self.inner.removals.fetch_add(1, Ordering::Relaxed);
            if !more {
                return Ok(());
            }
        }
    }
}

/// Erases a bounded part of the history. Says whether there may be more. Answers go with their events.
fn step(connection: &Connection, portal: &str) -> Result<bool, Failure> {
    let (mut entries, mut bytes) = (0, 0);
    {
        let mut delete = prepare(
            connection,
            "DELETE FROM log WHERE seq IN (
                 SELECT log.seq FROM erasing CROSS JOIN log INDEXED BY log_bot
                     ON log.portal = erasing.portal AND log.seq <= erasing.until
                 WHERE erasing.portal = ?1 LIMIT ?2)
             RETURNING size",
        )?;
        let mut rows = delete.query(params![portal, STEP.cast_signed()])?;
        while let Some(row) = rows.next()? {
            bytes += row.get::<_, i64>(0)?;
            entries += 1;
        }
    }
    log::add_to_meta(connection, "log_bytes", -bytes)?;
    let aside = prepare(
        connection,
        "DELETE FROM unreadable WHERE rowid IN (
             SELECT rowid FROM unreadable WHERE portal = ?1 LIMIT ?2)",
    )?
    .execute(params![portal, STEP.cast_signed()])?;
    let more = entries >= STEP || aside as u64 >= STEP;
    if !more {
        prepare(connection, "DELETE FROM erasing WHERE portal = ?1")?.execute([portal])?;
    }
    Ok(more)
}
