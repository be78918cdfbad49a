//! Removes what was kept long enough.
//!
//! By age from the oldest end, whosever it is. By weight from those that take more than their share:
//! a bot that is talked to without end does not push out the history of the others.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::{BotTotal, Expired, add_to_meta, meta, prepare, sql};
use crate::store::{Error, Store, sqlite::Failure};

/// Most entries removed in one transaction.
pub(in crate::store) const STEP: u64 = 500;

impl Store {
    /// Removes the oldest entries: those received before a time, and, of the bots that take more than
    /// their share, as many as needed for the rest to weigh at most `max_bytes`. Also what was set aside
    /// before that time.
    ///
    /// # Errors
    /// When a step failed; the steps before it stay done.
    pub async fn expire(&self, older_than: Timestamp, max_bytes: u64) -> Result<Expired, Error> {
        let mut expired = Expired::default();
        // Small steps, so that appends need not wait for a long removal.
        loop {
            let step = self
                .write(move |connection| retire_aged(connection, older_than))
                .await?;
            expired.entries += step.entries;
            expired.floor = step.floor;
            if step.entries < STEP {
                break;
            }
        }
        let totals = self.log_totals().await?;
        let share = share(&totals, max_bytes);
        for bot in totals.into_iter().filter(|bot| bot.bytes > share) {
            loop {
                let bot = bot.clone();
                let step = self
                    .write(move |connection| retire_heavy(connection, &bot, share))
                    .await?;
                expired.entries += step.entries;
                expired.floor = step.floor;
                if step.entries < STEP {
                    break;
                }
            }
        }
        if expired.entries > 0 {
            self.inner.removals.fetch_add(1, Ordering::Relaxed);
        }
        Ok(expired)
    }
}

/// What each bot may weigh so that all together weigh at most so much: what the light ones leave is
/// for the heavy ones, each the same. The heaviest comes first in `totals`.
fn share(totals: &[BotTotal], max_bytes: u64) -> u64 {
    let mut left = max_bytes;
    for (index, bot) in totals.iter().enumerate().rev() {
        let bots_left = u64::try_from(index + 1).unwrap_or(u64::MAX);
        let share = left / bots_left;
        if bot.bytes > share {
            return share;
        }
        left -= bot.bytes;
    }
    u64::MAX
}

/// One step of the removal by age.
fn retire_aged(connection: &Connection, older_than: Timestamp) -> Result<Expired, Failure> {
    let (mut entries, mut removed, mut last) = (0, 0, 0);
    {
        let mut oldest = prepare(
            connection,
            "SELECT seq, received_at, size FROM log WHERE seq > 0 ORDER BY seq LIMIT ?1",
        )?;
        let mut rows = oldest.query([sql(STEP)])?;
        while let Some(row) = rows.next()? {
            let (seq, received_at, size): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if received_at >= older_than.as_microsecond() {
                break;
            }
            last = seq;
            entries += 1;
            removed += size;
        }
    }
    if entries > 0 {
        prepare(connection, "DELETE FROM log WHERE seq <= ?1")?.execute([last])?;
    }
    prepare(connection, "DELETE FROM unreadable WHERE at < ?1")?
        .execute([older_than.as_microsecond()])?;
    settled(connection, entries, removed)
}

/// One step of the removal by weight, of one bot.
fn retire_heavy(connection: &Connection, bot: &BotTotal, share: u64) -> Result<Expired, Failure> {
    let name = [bot.portal.as_str(), bot.code.as_str()];
    let mut weighs: i64 = prepare(
        connection,
        "SELECT ifnull(sum(bytes), 0) FROM log_bots WHERE portal = ?1 AND code = ?2",
    )?
    .query_row(name, |row| row.get(0))?;
    let (mut entries, mut removed, mut last) = (0, 0, 0);
    {
        let mut oldest = prepare(
            connection,
            "SELECT seq, size FROM log INDEXED BY log_bot
             WHERE portal = ?1 AND code = ?2 ORDER BY seq LIMIT ?3",
        )?;
        let mut rows = oldest.query(params![name[0], name[1], sql(STEP)])?;
        while weighs > sql(share)
            && let Some(row) = rows.next()?
        {
            let size: i64 = row.get(1)?;
            last = row.get(0)?;
            entries += 1;
            removed += size;
            weighs -= size;
        }
    }
    if entries > 0 {
        prepare(
            connection,
            "DELETE FROM log INDEXED BY log_bot WHERE portal = ?1 AND code = ?2 AND seq <= ?3",
        )?
        .execute(params![name[0], name[1], last])?;
    }
    settled(connection, entries, removed)
}

/// Books what a step removed, and tells up to where nothing of anybody is left.
fn settled(connection: &Connection, entries: u64, removed: i64) -> Result<Expired, Failure> {
    if entries > 0 {
        add_to_meta(connection, "log_bytes", -removed)?;
        let oldest: Option<i64> =
            prepare(connection, "SELECT min(seq) FROM log")?.query_row([], |row| row.get(0))?;
        let floor: Option<i64> = prepare(
            connection,
            "SELECT max(floor) FROM log_bots WHERE floor < ?1",
        )?
        .query_row([oldest.unwrap_or(i64::MAX)], |row| row.get(0))?;
        prepare(
            connection,
            "UPDATE meta SET value = max(value, ?1) WHERE name = 'log_floor'",
        )?
        .execute([floor.unwrap_or(0)])?;
    }
    Ok(Expired {
        entries,
        floor: meta(connection, "log_floor")?.cast_unsigned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::PortalId;

    fn totals(bytes: &[u64]) -> Vec<BotTotal> {
        let bot = |bytes: &u64| BotTotal {
            portal: PortalId::default_portal(),
            code: "ada".parse().unwrap(),
            bytes: *bytes,
        };
        bytes.iter().map(bot).collect()
    }

    #[test]
    fn what_light_bots_leave_is_shared_by_the_heavy_ones() {
        assert_eq!(share(&totals(&[]), 100), u64::MAX);
        assert_eq!(share(&totals(&[60, 40]), 100), u64::MAX);
        assert_eq!(share(&totals(&[61, 40]), 100), 60);
        assert_eq!(share(&totals(&[500, 400, 10]), 100), 45);
        assert_eq!(share(&totals(&[500, 400, 300]), 0), 0);
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_limit_and_nobody_below_the_even_one_loses(
            mut bytes in prop::collection::vec(0u64..1000, 1..20), max in 0u64..5000,
        ) {
            bytes.sort_unstable_by(|a, b| b.cmp(a));
            let share = share(&totals(&bytes), max);
            let kept: u64 = bytes.iter().map(|bytes| (*bytes).min(share)).sum();
            let bots = u64::try_from(bytes.len()).unwrap();
            prop_assert!(kept <= max);
            prop_assert!(share >= max / bots);
            if bytes.iter().sum::<u64>() > max {
                prop_assert!(kept + bots > max, "as much is kept as fits");
            } else {
                prop_assert_eq!(share, u64::MAX);
            }
        }
    }
}
