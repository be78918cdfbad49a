//! What retention has taken from whom.
//!
//! Of each bot its oldest entries go first, so what is gone of it is all up to one number. A trigger
//! keeps those numbers, whoever removes: a release that knows nothing of them as well.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::{BotTotal, Filter, Removed, meta, prepare};
use crate::store::{Error, Store, row::Fields, sqlite::Failure};

const BOTS: &str = "log_bots";

impl Store {
    /// Of which bots entries behind a number were removed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn removed(&self, after: u64, filter: Filter) -> Result<Vec<Removed>, Error> {
        self.query(move |connection, _| removed(connection, after, &filter))
            .await
    }

    /// The number up to which nobody knows any more of which bots entries were removed: a release that
    /// did not write it down was at work.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn removed_of_anybody(&self) -> Result<u64, Error> {
        self.query(|connection, _| Ok(meta(connection, "log_floors_from")?.cast_unsigned()))
            .await
    }

    /// What the entries of each bot weigh, the heaviest first; of bots that were forgotten as well.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn log_totals(&self) -> Result<Vec<BotTotal>, Error> {
        self.query(|connection, _| {
            let mut select = prepare(
                connection,
                "SELECT portal, code, bytes FROM log_bots WHERE bytes > 0 ORDER BY bytes DESC",
            )?;
            let mut rows = select.query([])?;
            let mut totals = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new(BOTS, row);
                totals.push(BotTotal {
                    portal: row.name("portal")?,
                    code: row.name("code")?,
                    bytes: row.get::<i64>("bytes")?.cast_unsigned(),
                });
            }
            Ok(totals)
        })
        .await
    }
}

/// Of which bots entries behind a number were removed.
pub(super) fn removed(
    connection: &Connection,
    after: u64,
    filter: &Filter,
) -> Result<Vec<Removed>, Failure> {
    let mut select = prepare(
        connection,
        "SELECT portal, code, floor, floor_at FROM log_bots WHERE floor > ?1 ORDER BY floor",
    )?;
    let mut rows = select.query([super::sql(after)])?;
    let mut removed = Vec::new();
    while let Some(row) = rows.next()? {
        let row = Fields::new(BOTS, row);
        let bot = Removed {
            portal: row.name("portal")?,
            code: row.name("code")?,
            floor: row.get::<i64>("floor")?.cast_unsigned(),
            from: None,
            until: row.time("floor_at")?,
        };
        let wanted = filter.portal.as_ref().is_none_or(|it| *it == bot.portal)
            && filter.code.as_ref().is_none_or(|it| *it == bot.code);
        if wanted {
            removed.push(bot);
        }
    }
    if !removed.is_empty() {
        let from = last_received(connection, after)?;
        removed.iter_mut().for_each(|bot| bot.from = from);
    }
    Ok(removed)
}

/// When the last entry that is kept up to a number was received: what was removed behind it came later.
fn last_received(connection: &Connection, seq: u64) -> Result<Option<Timestamp>, Failure> {
    let micros: Option<i64> = prepare(
        connection,
        "SELECT received_at FROM log WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1",
    )?
    .query_row([super::sql(seq)], |row| row.get(0))
    .optional()?;
    // A time that cannot be read is as good as none.
    Ok(micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()))
}
