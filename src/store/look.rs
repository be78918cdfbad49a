//! What whoever measures asks now and then: how much is kept, and what waits in subscriptions.

use std::{collections::BTreeMap, fs};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Aside, Error, Filter, Store, SubscriptionId,
    row::Fields,
    sqlite::{Failure, schema},
};
use crate::ids::{BotCode, PortalId};

/// Numbers that one look for an event passes at most.
const STRETCH: u64 = 10_000;

/// Newest commands of the log among which the last one of each bot is looked for.
const COMMANDS: i64 = 5_000;

/// How much is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Events and gaps weigh so much, bytes, about.
    pub log_bytes: u64,
    /// What all that is kept takes on the disk, bytes.
    pub file_bytes: u64,
}

/// What a subscription has looked at and is not done with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events that wait or are handed out.
    pub unfinished: u64,
    /// When the oldest of them was received.
    pub oldest: Option<Timestamp>,
    /// Events that were set aside, by their reason.
    pub aside: BTreeMap<&'static str, u64>,
}

/// The first event after a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct First {
    /// Its number and when it was received, if there is one in the stretch looked at.
    pub found: Option<(u64, Timestamp)>,
    /// How far the log was looked through.
    pub looked: u64,
}

/// What came for a bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub code: BotCode,
    /// When a fetch last succeeded.
    pub last_polled_at: Option<Timestamp>,
    /// When the newest event of it was received that is kept.
    pub last_event: Option<Timestamp>,
    /// The newest command, if it is among the newest of all bots.
    pub last_command: Option<LastCommand>,
}

/// The newest command of a bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastCommand {
    /// When it was received.
    pub received_at: Timestamp,
    /// Whether it was answered; `None` when nobody tried, or surely in vain.
    pub answered: Option<bool>,
}

impl Store {
    /// What came for each of our bots, by portal and code.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn arrivals(&self) -> Result<Vec<Arrivals>, Error> {
        self.query(|connection, _| {
            let mut commands = last_commands(connection)?;
            let mut select = connection.prepare_cached(
                "SELECT portal, code, last_polled_at,
                     (SELECT received_at FROM log
                      WHERE log.portal = bots.portal AND log.code = bots.code AND gap_why IS NULL
                      ORDER BY seq DESC LIMIT 1) AS last_event
                 FROM bots ORDER BY portal, code",
            )?;
            let mut rows = select.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new("bots", row);
                let portal: PortalId = row.name("portal")?;
                let code: BotCode = row.name("code")?;
                let name = (portal.to_string(), code.to_string());
                all.push(Arrivals {
                    last_polled_at: row.time_if_any("last_polled_at")?,
                    last_event: row.time_if_any("last_event")?,
                    last_command: commands.remove(&name),
                    portal,
                    code,
                });
            }
            Ok(all)
        })
        .await
    }

    /// How much is kept.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn size(&self) -> Result<Size, Error> {
        let path = self.inner.path.clone();
        self.query(move |connection, _| {
            let bytes = |path| fs::metadata(path).map_or(0, |file| file.len());
            let mut ahead = path.clone().into_os_string();
            ahead.push("-wal");
            let log = schema::number(connection, "log_bytes")?;
            Ok(Size {
                log_bytes: log.unwrap_or_default().unsigned_abs(),
                file_bytes: bytes(path.into_os_string()) + bytes(ahead),
            })
        })
        .await
    }

    /// How many entries the log has. Takes longer the more there are: some milliseconds for a million.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn entries(&self) -> Result<u64, Error> {
        self.query(|connection, _| {
            let mut count = connection.prepare_cached("SELECT count(*) FROM log")?;
            Ok(count
                .query_row([], |row| row.get::<_, i64>(0))?
                .unsigned_abs())
        })
        .await
    }

    /// What every subscription has looked at and is not done with; those that are done with all are left
    /// out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn backlogs(&self) -> Result<BTreeMap<SubscriptionId, Backlog>, Error> {
        self.query(|connection, _| backlogs(connection)).await
    }

    /// The first event after a number that a filter lets through. Looks at a bounded stretch of the log: go
    /// on from [`First::looked`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn first_after(&self, after: u64, filter: Filter) -> Result<First, Error> {
        let until = after.saturating_add(STRETCH).min(self.head());
        self.query(move |connection, _| {
            let found: Option<(i64, i64)> = connection
                .prepare_cached(
                    "SELECT seq, received_at FROM log
                     WHERE seq > ?1 AND seq <= ?2 AND gap_why IS NULL
                         AND (?3 IS NULL OR portal = ?3) AND (?4 IS NULL OR code = ?4)
                         AND (NOT ?5 OR command_id IS NOT NULL)
                     ORDER BY seq LIMIT 1",
                )?
                .query_row(
                    params![
                        after.cast_signed(),
                        until.cast_signed(),
                        filter.portal.as_ref().map(|portal| portal.as_str()),
                        filter.code.as_ref().map(|code| code.as_str()),
                        filter.commands_only,
                    ],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let found = found.and_then(|(seq, micros)| {
                let at = Timestamp::from_microsecond(micros).ok()?;
                Some((seq.cast_unsigned(), at))
            });
            let looked = found.map_or(until, |(seq, _)| seq - 1);
            Ok(First { found, looked })
        })
        .await
    }
}

/// The newest command of each bot that has one among the newest of all.
fn last_commands(
    connection: &Connection,
) -> Result<BTreeMap<(String, String), LastCommand>, Failure> {
    let mut select = connection.prepare_cached(
        "SELECT portal, code, received_at,
             (SELECT answered FROM answers WHERE answers.seq = last.seq) AS answered
         FROM (SELECT portal, code, max(seq) AS seq, received_at
               FROM (SELECT seq, portal, code, received_at FROM log
                     WHERE command_id IS NOT NULL ORDER BY seq DESC LIMIT ?1)
               GROUP BY portal, code) AS last",
    )?;
    let mut rows = select.query([COMMANDS])?;
    let mut all = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let row = Fields::new("log", row);
        let last = LastCommand {
            received_at: row.time("received_at")?,
            answered: row.get("answered")?,
        };
        all.insert((row.get("portal")?, row.get("code")?), last);
    }
    Ok(all)
}

fn backlogs(connection: &Connection) -> Result<BTreeMap<SubscriptionId, Backlog>, Failure> {
    let mut all: BTreeMap<SubscriptionId, Backlog> = BTreeMap::new();
    let mut select = connection.prepare_cached(
        "SELECT subscription, unfinished,
             (SELECT received_at FROM log WHERE log.seq = oldest)
         FROM (SELECT subscription, count(*) AS unfinished, min(seq) AS oldest
               FROM deliveries WHERE aside IS NULL GROUP BY subscription)",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let backlog = all.entry(SubscriptionId(row.get(0)?)).or_default();
        backlog.unfinished = row.get::<_, i64>(1)?.unsigned_abs();
        let oldest: Option<i64> = row.get(2)?;
        backlog.oldest = oldest.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    }
    let mut select = connection.prepare_cached(
        "SELECT subscription, aside, count(*) FROM deliveries
         WHERE aside IS NOT NULL GROUP BY subscription, aside",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let why: String = row.get(1)?;
        // A reason of a newer release is counted with those of none.
        let why = Aside::parse(&why).map_or("OTHER", Aside::as_str);
        let backlog = all.entry(SubscriptionId(row.get(0)?)).or_default();
        *backlog.aside.entry(why).or_default() += row.get::<_, i64>(2)?.unsigned_abs();
    }
    Ok(all)
}
