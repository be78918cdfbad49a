//! What a named subscription has looked at and what of it is not done.
//!
//! An event that is done has no row any more. One that waits, or is handed out, has a row; which of both
//! only the running process knows, for what was handed out comes back when it ends. What is handed out
//! no more although it is not done has a row with the reason.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    Error, Store, SubscriptionId,
    row::Fields,
    sqlite::{Failure, schema},
};

/// Why an event is handed out no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aside {
    /// It was tried as often as it may.
    AttemptsExhausted,
    /// An answer to it was sent, and nobody knows whether it was posted.
    AnswerUnknown,
    /// It was too old when its turn came.
    Expired,
    /// It waited in a store that was copied and restored.
    Restored,
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its number in the log.
    pub seq: u64,
    /// What must stay in order with it.
    pub dialog: Option<String>,
    /// How often it was handed out.
    pub handouts: u32,
    /// How many of those count.
    pub attempts: u32,
    /// It was set aside and taken up again, so age does not matter.
    pub redriven: bool,
}

/// The first event that waits of those that must stay in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The event.
    pub first: Delivery,
    /// How many wait, this one included.
    pub waiting: u64,
}

/// An event that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaidAside {
    /// Its number in the log.
    pub seq: u64,
    /// How often it was handed out.
    pub handouts: u32,
    /// Why.
    pub why: Aside,
    /// When.
    pub at: Timestamp,
}

/// What changes for a subscription in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    /// Everything up to this number was looked at.
    pub scanned: Option<u64>,
    /// Newly found events, which wait or are handed out.
    pub found: Vec<Delivery>,
    /// Known events that are handed out again, with their new counts.
    pub again: Vec<Delivery>,
    /// Events that are done.
    pub done: Vec<u64>,
    /// Known events that are handed out no more.
    pub aside: Vec<(u64, Aside)>,
    /// Newly found events that are not handed out at all.
    pub found_aside: Vec<(Delivery, Aside)>,
}

/// How a subscription is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Events that wait or are handed out.
    pub unfinished: u64,
    /// The oldest of them.
    pub oldest_received: Option<Timestamp>,
    /// Events set aside, but for their age.
    pub set_aside: u64,
    /// Events set aside for their age.
    pub expired: u64,
    /// Entries of the log not looked at.
    pub unread: u64,
}

/// Which of those that were set aside.
#[derive(Debug, Clone)]
pub enum Which {
    /// All.
    All,
    /// These numbers.
    These(Vec<u64>),
}

const TABLE: &str = "deliveries";

/// Entries of the log that are counted one by one; more are told as this many.
const COUNTED: i64 = 100_000;

impl Turn {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scanned.is_none()
            && self.found.is_empty()
            && self.again.is_empty()
            && self.done.is_empty()
            && self.aside.is_empty()
            && self.found_aside.is_empty()
    }
}

impl Store {
    /// Changes all that, or nothing. What retention has removed meanwhile is left out.
    ///
    /// # Errors
    /// When the write failed.
    pub async fn turn(&self, id: SubscriptionId, turn: Turn, now: Timestamp) -> Result<(), Error> {
        self.write(move |connection| apply(connection, id, &turn, now))
            .await
    }

    /// The first of each that must stay in order, and all others that wait.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn delivery_heads(&self, id: SubscriptionId) -> Result<Vec<Head>, Error> {
        self.query(move |connection, _| {
            // The other columns are those of the row with the lowest number.
            let mut select = connection.prepare_cached(
                "SELECT min(seq) AS seq, count(*) AS waiting, dialog, handouts, attempts, redriven
                 FROM deliveries WHERE subscription = ?1 AND aside IS NULL AND dialog IS NOT NULL
                 GROUP BY dialog
                 UNION ALL
                 SELECT seq, 1, dialog, handouts, attempts, redriven
                 FROM deliveries WHERE subscription = ?1 AND aside IS NULL AND dialog IS NULL",
            )?;
            let mut rows = select.query([id.0])?;
            let mut heads = Vec::new();
            while let Some(row) = rows.next()? {
                heads.push(Head {
                    first: delivery(row)?,
                    waiting: row.get::<_, i64>("waiting")?.unsigned_abs(),
                });
            }
            Ok(heads)
        })
        .await
    }

    /// The first that waits in a dialog.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn first_in_dialog(
        &self,
        id: SubscriptionId,
        dialog: String,
    ) -> Result<Option<Delivery>, Error> {
        self.query(move |connection, _| {
            let mut select = connection.prepare_cached(
                "SELECT seq, dialog, handouts, attempts, redriven FROM deliveries
                 WHERE subscription = ?1 AND aside IS NULL AND dialog = ?2 ORDER BY seq LIMIT 1",
            )?;
            let mut rows = select.query(params![id.0, dialog])?;
            rows.next()?.map(delivery).transpose()
        })
        .await
    }

    /// What was set aside, after a number, oldest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn laid_aside(
        &self,
        id: SubscriptionId,
        why: Option<Aside>,
        after: u64,
        rows: usize,
    ) -> Result<Vec<LaidAside>, Error> {
        self.query(move |connection, _| {
            let mut select = connection.prepare_cached(
                "SELECT seq, handouts, aside, aside_at FROM deliveries
                 WHERE subscription = ?1 AND aside IS NOT NULL AND seq > ?2
                     AND (?3 IS NULL OR aside = ?3)
                 ORDER BY seq LIMIT ?4",
            )?;
            let most = i64::try_from(rows).unwrap_or(i64::MAX);
            let why = why.map(Aside::as_str);
            let mut rows = select.query(params![id.0, after.cast_signed(), why, most])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new(TABLE, row);
                found.push(LaidAside {
                    seq: row.seq()?,
                    handouts: row.get("handouts")?,
                    why: Aside::parse(row.text("aside")?).ok_or_else(|| row.bad("aside"))?,
                    at: row.time("aside_at")?,
                });
            }
            Ok(found)
        })
        .await
    }

    /// Lets events wait again that were set aside, with no attempts counted. Says how many.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn redrive(&self, id: SubscriptionId, which: Which) -> Result<usize, Error> {
        self.each(
            id,
            which,
            "UPDATE deliveries SET aside = NULL, aside_at = NULL, attempts = 0, redriven = 1
             WHERE subscription = ?1 AND aside IS NOT NULL",
        )
        .await
    }

    /// Forgets events that were set aside. Says how many.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn drop_aside(&self, id: SubscriptionId, which: Which) -> Result<usize, Error> {
        self.each(
            id,
            which,
            "DELETE FROM deliveries WHERE subscription = ?1 AND aside IS NOT NULL",
        )
        .await
    }

    async fn each(
        &self,
        id: SubscriptionId,
        which: Which,
        statement: &'static str,
    ) -> Result<usize, Error> {
        self.write(move |connection| match which {
            Which::All => Ok(connection.prepare_cached(statement)?.execute([id.0])?),
            Which::These(seqs) => {
                let mut one = connection.prepare_cached(&format!("{statement} AND seq = ?2"))?;
                let mut changed = 0;
                for seq in seqs {
                    changed += one.execute([id.0, seq.cast_signed()])?;
                }
                Ok(changed)
            }
        })
        .await
    }

    /// How a subscription is doing that has looked so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn standing(&self, id: SubscriptionId, scanned: u64) -> Result<Standing, Error> {
        self.query(move |connection, _| {
            let (unfinished, oldest): (i64, Option<i64>) = connection
                .prepare_cached(
                    "SELECT count(*), min(seq) FROM deliveries
                     WHERE subscription = ?1 AND aside IS NULL",
                )?
                .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (aside, expired): (i64, i64) = connection
                .prepare_cached(
                    "SELECT count(*), ifnull(sum(aside = ?2), 0) FROM deliveries
                     WHERE subscription = ?1 AND aside IS NOT NULL",
                )?
                .query_row(params![id.0, Aside::Expired.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let unread: i64 = connection
                .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM log WHERE seq > ?1 LIMIT ?2)")?
                .query_row([scanned.cast_signed(), COUNTED], |row| row.get(0))?;
            let oldest = match oldest {
                None => None,
                Some(seq) => connection
                    .prepare_cached("SELECT received_at FROM log WHERE seq = ?1")?
                    .query_row([seq], |row| row.get(0))
                    .optional()?,
            };
            let oldest = oldest.map(Timestamp::from_microsecond);
            Ok(Standing {
                unfinished: unfinished.unsigned_abs(),
                oldest_received: oldest.and_then(Result::ok),
                set_aside: (aside - expired).unsigned_abs(),
                expired: expired.unsigned_abs(),
                unread: unread.unsigned_abs(),
            })
        })
        .await
    }

    /// The last number of the log that came from a copy, where what waited then is not to be handed out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn copied_up_to(&self) -> Result<u64, Error> {
        self.query(|connection, _| {
            let copied = schema::number(connection, "copied_up_to")?;
            Ok(copied.unwrap_or_default().cast_unsigned())
        })
        .await
    }
}

fn apply(
    connection: &Connection,
    id: SubscriptionId,
    turn: &Turn,
    now: Timestamp,
) -> Result<(), Failure> {
    // What is gone from the log cannot be referred to.
    let mut insert = connection.prepare_cached(
        "INSERT INTO deliveries (subscription, seq, dialog, handouts, attempts, aside, aside_at)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM log WHERE seq = ?2)
         ON CONFLICT DO NOTHING",
    )?;
    let mut gone = false;
    let found = turn.found.iter().map(|found| (found, None));
    let found_aside = turn
        .found_aside
        .iter()
        .map(|(found, why)| (found, Some(*why)));
    for (found, why) in found.chain(found_aside) {
        let new = insert.execute(params![
            id.0,
            found.seq.cast_signed(),
            found.dialog,
            found.handouts,
            found.attempts,
            why.map(Aside::as_str),
            why.map(|_| now.as_microsecond()),
        ])?;
        gone |= new == 0;
    }
    let mut again = connection.prepare_cached(
        "UPDATE deliveries SET handouts = ?3, attempts = ?4 WHERE subscription = ?1 AND seq = ?2",
    )?;
    for again_out in &turn.again {
        again.execute(params![
            id.0,
            again_out.seq.cast_signed(),
            again_out.handouts,
            again_out.attempts,
        ])?;
    }
    for seq in &turn.done {
        done(connection, id, *seq)?;
    }
    for (seq, why) in &turn.aside {
        set_aside(connection, id, *seq, *why, now)?;
    }
    if turn.scanned.is_some() || gone {
        connection
            .prepare_cached(
                "UPDATE subscriptions SET scanned = ifnull(?2, scanned), missed = missed OR ?3
                 WHERE id = ?1",
            )?
            .execute(params![id.0, turn.scanned.map(u64::cast_signed), gone])?;
    }
    Ok(())
}

/// An event is done.
pub(super) fn done(connection: &Connection, id: SubscriptionId, seq: u64) -> Result<(), Failure> {
    connection
        .prepare_cached("DELETE FROM deliveries WHERE subscription = ?1 AND seq = ?2")?
        .execute([id.0, seq.cast_signed()])?;
    Ok(())
}

/// An event is handed out no more.
pub(super) fn set_aside(
    connection: &Connection,
    id: SubscriptionId,
    seq: u64,
    why: Aside,
    now: Timestamp,
) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "UPDATE deliveries SET aside = ?3, aside_at = ?4
             WHERE subscription = ?1 AND seq = ?2 AND aside IS NULL",
        )?
        .execute(params![
            id.0,
            seq.cast_signed(),
            why.as_str(),
            now.as_microsecond()
        ])?;
    Ok(())
}

fn delivery(row: &Row<'_>) -> Result<Delivery, Failure> {
    let row = Fields::new(TABLE, row);
    Ok(Delivery {
        seq: row.seq()?,
        dialog: row.get("dialog")?,
        handouts: row.get("handouts")?,
        attempts: row.get("attempts")?,
        redriven: row.get("redriven")?,
    })
}

impl Aside {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::AttemptsExhausted,
        Self::AnswerUnknown,
        Self::Expired,
        Self::Restored,
    ];

    /// Its published name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "ATTEMPTS_EXHAUSTED",
            Self::AnswerUnknown => "ANSWER_OUTCOME_UNKNOWN",
            Self::Expired => "EXPIRED",
            Self::Restored => "RESTORED",
        }
    }

    /// The reason of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == name)
    }
}
