//! The tables, and how an older database becomes one of this release.
//!
//! [`STEPS`] only ever grows at its end: the number of steps taken is the database's schema. Steps that
//! only add something do not lock out older releases: `user_version` is the oldest schema whose release
//! can work with this database, and `meta` holds how many steps it has taken.

mod needed;

use std::{collections::BTreeMap, path::Path};

use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

pub(in crate::store) use self::needed::{check_keys, key_ids, remember_active};
use crate::store::{Error, LogId, keys, keys::Keys};

/// Marks a database as ours: "b24g".
const APPLICATION: i32 = 0x6232_3467;

const STEPS: &[&str] = &[
    "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

    -- Every key that may have sealed something here, with a value to try it on.
    CREATE TABLE seal_keys (id TEXT PRIMARY KEY, canary BLOB NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE bots (
        portal TEXT NOT NULL,
        code TEXT NOT NULL,
        bot_id INTEGER,
        token BLOB NOT NULL,
        generation INTEGER NOT NULL,
        owner TEXT NOT NULL,
        event_mode TEXT NOT NULL,
        properties TEXT NOT NULL,
        commands TEXT NOT NULL,
        skip TEXT NOT NULL,
        state TEXT NOT NULL,
        next_offset INTEGER,
        last_polled_at INTEGER,
        created_at INTEGER NOT NULL,
        PRIMARY KEY (portal, code)
    ) STRICT, WITHOUT ROWID;

    -- Times are microseconds since 1970. An entry is an event (dedupe_key is set) or a gap.
    CREATE TABLE log (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        portal TEXT NOT NULL,
        code TEXT NOT NULL,
        bot_id INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        for_commands INTEGER NOT NULL,
        size INTEGER NOT NULL,
        dedupe_key TEXT,
        kind TEXT,
        dialog TEXT,
        happened_at INTEGER,
        trace_context TEXT,
        command_id INTEGER,
        message_id INTEGER,
        user_id INTEGER,
        typed INTEGER,
        gap_from INTEGER,
        gap_until INTEGER,
        gap_why TEXT,
        body BLOB
    ) STRICT;
    CREATE UNIQUE INDEX log_dedupe ON log (portal, dedupe_key) WHERE dedupe_key IS NOT NULL;
    CREATE INDEX log_bot ON log (portal, code);
    CREATE INDEX log_received ON log (received_at);
    CREATE INDEX log_commands ON log (seq) WHERE command_id IS NOT NULL;
    INSERT INTO meta VALUES ('log_floor', 0), ('log_bytes', 0);

    -- Answers to events: written before the call leaves, so that a crash in between is seen.
    CREATE TABLE answers (
        seq INTEGER PRIMARY KEY REFERENCES log (seq) ON DELETE CASCADE,
        answered INTEGER NOT NULL
    ) STRICT;

    -- Calls that carry a key: written before the call leaves, settled after it came back. The body
    -- holds the hash of the request and, once it is known, the outcome.
    CREATE TABLE ledger (
        key TEXT PRIMARY KEY,
        at INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ledger_at ON ledger (at);

    -- How far the limits of portals were used up.
    CREATE TABLE pacing (name TEXT PRIMARY KEY, used TEXT NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE unreadable (
        portal TEXT NOT NULL,
        dedupe_key TEXT NOT NULL,
        code TEXT NOT NULL,
        why TEXT NOT NULL,
        body BLOB NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (portal, dedupe_key)
    ) STRICT;
    CREATE INDEX unreadable_at ON unreadable (at);
",
    "
    -- Where portals have moved to.
    CREATE TABLE addresses (
        portal TEXT PRIMARY KEY,
        body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- Access and refresh tokens. The number is given once, whatever becomes of the pair.
    CREATE TABLE pairs (
        portal TEXT PRIMARY KEY,
        generation INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    -- Callers and webhooks of portals that were added while the gateway ran, and which caller may use a
    -- portal that installed itself.
    CREATE TABLE callers (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE webhooks (portal TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE grants (
        portal TEXT NOT NULL,
        caller TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (portal, caller)
    ) STRICT, WITHOUT ROWID;
",
    "
    -- Named subscriptions: everything up to number `scanned` was looked at, and what of it is not done
    -- has a delivery. `for_commands` says that it was made to answer commands, `missed` that retention
    -- took something from it.
    CREATE TABLE subscriptions (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        for_commands INTEGER NOT NULL,
        settings TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        scanned INTEGER NOT NULL,
        missed INTEGER NOT NULL DEFAULT 0,
        UNIQUE (owner, name)
    ) STRICT;

    -- Events that a subscription has looked at and that are not done. Those with an `aside`, which is the
    -- reason, are handed out no more.
    CREATE TABLE deliveries (
        subscription INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
        seq INTEGER NOT NULL REFERENCES log (seq) ON DELETE CASCADE,
        dialog TEXT,
        handouts INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        redriven INTEGER NOT NULL DEFAULT 0,
        aside TEXT,
        aside_at INTEGER,
        PRIMARY KEY (subscription, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX deliveries_seq ON deliveries (seq);
    CREATE INDEX deliveries_waiting ON deliveries (subscription, dialog, seq) WHERE aside IS NULL;
    CREATE INDEX deliveries_aside ON deliveries (subscription, aside, seq) WHERE aside IS NOT NULL;
    CREATE TRIGGER deliveries_missed BEFORE DELETE ON log BEGIN
        UPDATE subscriptions SET missed = 1 WHERE missed = 0 AND id IN
            (SELECT subscription FROM deliveries WHERE seq = OLD.seq AND aside IS NULL);
    END;
",
    "
    -- What the entries of each bot weigh, and how far they were removed: the number of the newest, and
    -- when that was received. Kept by triggers, so that it is right after an older release as well.
    CREATE TABLE log_bots (
        portal TEXT NOT NULL,
        code TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        floor INTEGER NOT NULL,
        floor_at INTEGER,
        PRIMARY KEY (portal, code)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX log_bots_bytes ON log_bots (bytes);
    CREATE INDEX log_bots_floor ON log_bots (floor);
    INSERT INTO log_bots SELECT portal, code, sum(size), 0, NULL FROM log GROUP BY portal, code;
    INSERT INTO meta SELECT 'log_floors_from', value FROM meta WHERE name = 'log_floor';

    -- Portals whose history is being erased, up to this number.
    CREATE TABLE erasing (portal TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;

    -- Bots of which somebody else seems to read the events, and when the last sign of it was seen.
    CREATE TABLE suspicions (
        portal TEXT NOT NULL,
        code TEXT NOT NULL,
        seen_at INTEGER NOT NULL,
        PRIMARY KEY (portal, code)
    ) STRICT, WITHOUT ROWID;

    CREATE TRIGGER log_added AFTER INSERT ON log BEGIN
        INSERT INTO log_bots VALUES (NEW.portal, NEW.code, NEW.size, 0, NULL)
            ON CONFLICT (portal, code) DO UPDATE SET bytes = bytes + NEW.size;
    END;
    CREATE TRIGGER log_removed AFTER DELETE ON log
    WHEN NOT EXISTS (SELECT 1 FROM erasing WHERE portal = OLD.portal AND until >= OLD.seq)
    BEGIN
        UPDATE log_bots SET bytes = bytes - OLD.size, floor = max(floor, OLD.seq),
            floor_at = max(ifnull(floor_at, OLD.received_at), OLD.received_at)
        WHERE portal = OLD.portal AND code = OLD.code;
    END;
",
    "
    -- How events of a bot are delivered beyond `event_mode`, as JSON; NULL where there is nothing to say.
    ALTER TABLE bots ADD COLUMN delivery TEXT;
",
];

/// The oldest schema whose release can work with what the steps made. Raise it with a step that such a
/// release could not live with.
const NEEDED: i64 = 2;

/// The same for a store that was restored and not activated, and for one that holds callers: a release
/// that does not know of them would call the portals, or let everybody in.
const NEEDED_TO_HOLD_BACK: i64 = 4;

/// Fills a new database: all tables, its identity, and what remembers its keys.
pub(super) fn create(connection: &mut Connection, keys: &Keys, path: &Path) -> Result<(), Error> {
    let log_id = new_log_id()?;
    let sqlite = |cause| Error::sqlite(path, cause);
    let fill = connection.transaction().map_err(sqlite)?;
    climb(&fill, 0).map_err(sqlite)?;
    fill.pragma_update(None, "application_id", APPLICATION)
        .and_then(|()| {
            fill.execute(
                "INSERT INTO meta VALUES ('log_id', ?1), ('bot_key', ?2)",
                params![log_id, keys.bot_key_id()],
            )
        })
        .map_err(sqlite)?;
    remember_active(&fill, keys, path)?;
    fill.commit().map_err(sqlite)
}

fn new_log_id() -> Result<i64, keys::Error> {
    let mut log_id = [0; 8];
    let random = SystemRandom::new().fill(&mut log_id);
    random.map_err(|_| keys::Error::NoRandom)?;
    Ok(i64::from_be_bytes(log_id))
}

/// Sees that a database is a store, of this release or an older one. Says how many steps it has taken.
pub(in crate::store) fn recognise(connection: &Connection, path: &Path) -> Result<usize, Error> {
    let sqlite = |cause| Error::sqlite(path, cause);
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get(0));
    let application: i64 = number("application_id").map_err(sqlite)?;
    let found: i64 = number("user_version").map_err(sqlite)?;
    if application != i64::from(APPLICATION) {
        return Err(Error::NotAStore {
            path: path.to_owned(),
        });
    }
    if found > known() {
        return Err(Error::Newer {
            path: path.to_owned(),
            found,
            known: known(),
        });
    }
    taken(connection, found).map_err(sqlite)
}

/// Takes the steps an older database still lacks, and makes a copy a restored store.
pub(in crate::store) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let sqlite = |cause| Error::sqlite(path, cause);
    let taken = recognise(connection, path)?;
    if taken < STEPS.len() {
        let upgrade = connection.transaction().map_err(sqlite)?;
        climb(&upgrade, taken)
            .and_then(|()| upgrade.commit())
            .map_err(sqlite)?;
    }
    // Somebody put a copy here by hand.
    if number(connection, "copied_at").map_err(sqlite)?.is_some() {
        restored(connection, path)?;
    }
    Ok(())
}

/// Makes a copy a store of its own: with a log that no cursor of the copied one fits, and held back. What
/// waits in its subscriptions may have been done since it was copied: it is not handed out.
pub(in crate::store) fn restored(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let log_id = new_log_id()?;
    let work = |connection: &mut Connection| {
        let change = connection.transaction()?;
        change.execute("DELETE FROM meta WHERE name = 'copied_at'", [])?;
        change.execute(
            "INSERT OR REPLACE INTO meta VALUES ('log_id', ?1), ('restored', 1), ('open', 0)",
            [log_id],
        )?;
        change.execute(
            "INSERT OR REPLACE INTO meta VALUES ('copied_up_to', ?1)",
            [head(&change)?.cast_signed()],
        )?;
        tell_older_releases(&change)?;
        change.commit()
    };
    work(connection).map_err(|cause| Error::sqlite(path, cause))
}

/// Whether the store was restored and is not activated.
pub(in crate::store) fn is_restored(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(number(connection, "restored")? == Some(1))
}

/// Lets what waits in the subscriptions of a restored store be handed out again.
pub(in crate::store) fn redeliver(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM meta WHERE name = 'copied_up_to'", [])?;
    Ok(())
}

/// Ends that. Says whether it was so.
pub(in crate::store) fn activate(connection: &Connection) -> rusqlite::Result<bool> {
    let ended = connection.execute("DELETE FROM meta WHERE name = 'restored'", [])?;
    tell_older_releases(connection)?;
    Ok(ended > 0)
}

/// Writes down which releases may open the store, which depends on what it holds.
pub(in crate::store) fn tell_older_releases(connection: &Connection) -> rusqlite::Result<()> {
    let callers: bool =
        connection.query_row("SELECT EXISTS (SELECT 1 FROM callers)", [], |row| {
            row.get(0)
        })?;
    let needed = if callers || is_restored(connection)? {
        NEEDED_TO_HOLD_BACK
    } else {
        NEEDED
    };
    connection.pragma_update(None, "user_version", needed)
}

/// The schema of this release.
fn known() -> i64 {
    i64::try_from(STEPS.len()).expect("the steps are counted in dozens")
}

/// How many steps a database has taken that needs at least the release of schema `needed`. A later
/// release may have taken more than we know.
fn taken(connection: &Connection, needed: i64) -> rusqlite::Result<usize> {
    let steps: Option<i64> = connection
        .query_row("SELECT value FROM meta WHERE name = 'steps'", [], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(usize::try_from(steps.unwrap_or(needed)).unwrap_or(0))
}

fn climb(transaction: &Transaction<'_>, taken: usize) -> rusqlite::Result<()> {
    for step in STEPS.iter().skip(taken) {
        transaction.execute_batch(step)?;
    }
    transaction.execute(
        "INSERT OR REPLACE INTO meta VALUES ('steps', ?1)",
        [known()],
    )?;
    tell_older_releases(transaction)
}

/// The steps that a database has taken.
pub(in crate::store) fn steps_taken(connection: &Connection) -> rusqlite::Result<i64> {
    let needed = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let taken = taken(connection, needed)?;
    Ok(i64::try_from(taken).unwrap_or(i64::MAX))
}

/// Sees that a database has the tables and indexes that its steps made. Names the first that differs.
pub(in crate::store) fn differs(
    connection: &Connection,
    taken: usize,
) -> rusqlite::Result<Option<String>> {
    let objects = |connection: &Connection| -> rusqlite::Result<BTreeMap<String, Option<String>>> {
        connection
            .prepare("SELECT name, sql FROM sqlite_schema")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    let model = Connection::open_in_memory()?;
    for step in STEPS.iter().take(taken) {
        model.execute_batch(step)?;
    }
    let found = objects(connection)?;
    let lacking = objects(&model)?.into_iter();
    Ok(lacking
        .filter(|(name, sql)| found.get(name) != Some(sql))
        .map(|(name, _)| name)
        .next())
}

/// Begins an opening: its number, and whether the one before was not ended in order.
pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<(i64, bool)> {
    let begin = connection.transaction()?;
    let open = number(&begin, "open")?;
    let epoch = begin.query_row(
        "INSERT INTO meta VALUES ('epoch', 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        [],
        |row| row.get(0),
    )?;
    begin.execute("INSERT OR REPLACE INTO meta VALUES ('open', 1)", [])?;
    begin.commit()?;
    Ok((epoch, open == Some(1)))
}

/// The number of the last opening.
pub(super) fn epoch(connection: &Connection) -> rusqlite::Result<i64> {
    number(connection, "epoch").map(Option::unwrap_or_default)
}

/// Ends an opening in order.
pub(super) fn end(connection: &Connection, epoch: i64) -> rusqlite::Result<()> {
    if self::epoch(connection)? == epoch {
        connection.execute("UPDATE meta SET value = 0 WHERE name = 'open'", [])?;
    }
    Ok(())
}

pub(in crate::store) fn number(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// A word in `meta`.
pub(in crate::store) fn text(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Which log this is, and how far it goes.
pub(in crate::store) fn identity(connection: &Connection) -> rusqlite::Result<(LogId, u64)> {
    let log_id: i64 =
        connection.query_row("SELECT value FROM meta WHERE name = 'log_id'", [], |row| {
            row.get(0)
        })?;
    Ok((LogId(log_id.cast_unsigned()), head(connection)?))
}

/// The newest number the log ever gave.
pub(in crate::store) fn head(connection: &Connection) -> rusqlite::Result<u64> {
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'log'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or(0).cast_unsigned())
}
