//! The tables, and how an older database becomes one of this release.
//!
//! [`STEPS`] only ever grows at its end: the number of steps taken is the database's schema. Steps that
//! only add something do not lock out older releases: `user_version` is the oldest schema whose release
//! can work with this database, and `meta` holds how many steps it has taken.

use std::path::Path;

use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::store::{Error, LogId, keys, keys::Keys, seal};

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
];

/// The oldest schema whose release can work with what the steps made. Raise it with a step that such a
/// release could not live with.
const NEEDED: i64 = 2;

/// Fills a new database: all tables, its identity, and what remembers its keys.
pub(super) fn create(connection: &mut Connection, keys: &Keys, path: &Path) -> Result<(), Error> {
    let mut log_id = [0; 8];
    SystemRandom::new()
        .fill(&mut log_id)
        .map_err(|_| keys::Error::NoRandom)?;
    let sqlite = |cause| Error::sqlite(path, cause);
    let fill = connection.transaction().map_err(sqlite)?;
    climb(&fill, 0).map_err(sqlite)?;
    fill.pragma_update(None, "application_id", APPLICATION)
        .and_then(|()| {
            fill.execute(
                "INSERT INTO meta VALUES ('log_id', ?1), ('bot_key', ?2)",
                params![i64::from_be_bytes(log_id), keys.bot_key_id()],
            )
        })
        .map_err(sqlite)?;
    remember_active(&fill, keys, path)?;
    fill.commit().map_err(sqlite)
}

/// Takes the steps an older database still lacks.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
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
    let taken = taken(connection, found).map_err(sqlite)?;
    if taken < STEPS.len() {
        let upgrade = connection.transaction().map_err(sqlite)?;
        climb(&upgrade, taken)
            .and_then(|()| upgrade.commit())
            .map_err(sqlite)?;
    }
    Ok(())
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
    transaction.pragma_update(None, "user_version", NEEDED)
}

/// Sees that the keys are those of this store, every one that may be needed.
pub(super) fn check_keys(
    connection: &Connection,
    keys: &Keys,
    path: &Path,
    source_name: String,
) -> Result<(), Error> {
    let sqlite = |cause| Error::sqlite(path, cause);
    let wrong = |needed| Error::WrongKeys {
        path: path.to_owned(),
        needed,
        source_name: source_name.clone(),
        given: keys.ids(),
    };
    let bot_key: String = connection
        .query_row("SELECT value FROM meta WHERE name = 'bot_key'", [], |row| {
            row.get(0)
        })
        .map_err(sqlite)?;
    if bot_key != keys.bot_key_id() {
        return Err(wrong(bot_key));
    }
    let canaries: Vec<(String, Vec<u8>)> = connection
        .prepare("SELECT id, canary FROM seal_keys")
        .and_then(|mut select| {
            select
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
        .map_err(sqlite)?;
    for (id, canary) in canaries {
        match seal::unseal(keys, &canary_place(&id), &canary) {
            Ok(_) => {}
            Err(seal::Error::UnknownKey(_)) => return Err(wrong(id)),
            Err(cause) => {
                return Err(Error::Sealed {
                    table: "seal_keys",
                    cause,
                });
            }
        }
    }
    remember_active(connection, keys, path)
}

/// Writes down the key that seals from now on, so that it is asked for at every start.
fn remember_active(connection: &Connection, keys: &Keys, path: &Path) -> Result<(), Error> {
    let sqlite = |cause| Error::sqlite(path, cause);
    let id = format!("seal-{}", keys.active().id);
    let known = connection
        .query_row("SELECT 1 FROM seal_keys WHERE id = ?1", [&id], |_| Ok(()))
        .optional()
        .map_err(sqlite)?;
    if known.is_none() {
        let canary =
            seal::seal(keys, &canary_place(&id), b"canary").map_err(|cause| Error::Sealed {
                table: "seal_keys",
                cause,
            })?;
        connection
            .execute("INSERT INTO seal_keys VALUES (?1, ?2)", params![id, canary])
            .map_err(sqlite)?;
    }
    Ok(())
}

fn canary_place(id: &str) -> Vec<u8> {
    seal::place(&["seal_keys", id])
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

fn number(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Which log this is, and how far it goes.
pub(super) fn identity(connection: &Connection) -> rusqlite::Result<(LogId, u64)> {
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
