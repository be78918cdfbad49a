//! Removes what was kept long enough.

use jiff::Timestamp;
use rusqlite::Connection;

use super::{Expired, add_to_meta, meta, sql};
use crate::store::{Error, Store, sqlite::Failure};

/// Most entries removed in one transaction.
const STEP: u64 = 500;

impl Store {
    /// Removes the oldest entries: those received before a time, and as many as needed for the rest
    /// to weigh at most `max_bytes`. Also what was set aside before that time.
    ///
    /// # Errors
    /// When a step failed; the steps before it stay done.
    pub async fn expire(&self, older_than: Timestamp, max_bytes: u64) -> Result<Expired, Error> {
        let mut expired = Expired::default();
        loop {
            // Small steps, so that appends need not wait for a long removal.
            let step = self
                .write(move |connection| retire(connection, older_than, max_bytes))
                .await?;
            expired.entries += step.entries;
            expired.floor = step.floor;
            if step.entries < STEP {
                return Ok(expired);
            }
        }
    }
}

/// One step of retention.
fn retire(
    connection: &Connection,
    older_than: Timestamp,
    max_bytes: u64,
) -> Result<Expired, Failure> {
    let mut bytes = meta(connection, "log_bytes")?;
    let (mut entries, mut removed, mut floor) = (0, 0, meta(connection, "log_floor")?);
    {
        let mut oldest = connection
            .prepare_cached("SELECT seq, received_at, size FROM log ORDER BY seq LIMIT ?1")?;
        let mut rows = oldest.query([sql(STEP)])?;
        while let Some(row) = rows.next()? {
            let (seq, received_at, size): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if received_at >= older_than.as_microsecond() && bytes <= sql(max_bytes) {
                break;
            }
            floor = seq;
            entries += 1;
            bytes -= size;
            removed += size;
        }
    }
    if entries > 0 {
        connection
            .prepare_cached("DELETE FROM log WHERE seq <= ?1")?
            .execute([floor])?;
        add_to_meta(connection, "log_bytes", -removed)?;
        connection
            .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'log_floor'")?
            .execute([floor])?;
    }
    connection
        .prepare_cached("DELETE FROM unreadable WHERE at < ?1")?
        .execute([older_than.as_microsecond()])?;
    Ok(Expired {
        entries,
        floor: floor.cast_unsigned(),
    })
}
