//! The database under the store: one file, one writer, several readers, one process.
//!
//! A new database is made under another name and renamed when it is whole, so a file that is empty
//! or half made is never taken for a new store: it is damage, and says so.
//!
//! Invariant: nothing is opened before the lock is held and the keys were seen to fit.

mod lock;
mod mounts;
mod reader;
pub(super) mod schema;
mod writer;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf, absolute},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, ffi};
use secrecy::ExposeSecret as _;

pub(super) use self::lock::Lock;
pub(super) use self::{reader::Readers, schema::head, writer::Writer};
use super::{Config, Error, KeySource, LogId, keys, keys::Keys};
use crate::clock::Clock;

/// The name of the database in its folder.
pub(super) const DATABASE: &str = "store.db";

/// Why work inside the database failed, before the path is known.
#[derive(Debug)]
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Store(Error),
}

impl Failure {
    /// Says which database it was.
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Sqlite(cause) => Error::sqlite(path, cause),
            Self::Store(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(cause: rusqlite::Error) -> Self {
        Self::Sqlite(cause)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// The one connection that writes. The lock goes last.
pub(super) struct Held {
    connection: Connection,
    /// The number of this opening: whoever opens the store later writes a larger one.
    epoch: i64,
    _lock: Lock,
}

/// A database that is open and fits its keys.
pub(super) struct Database {
    pub(super) path: PathBuf,
    pub(super) held: Held,
    pub(super) keys: Keys,
    pub(super) created_key_file: Option<PathBuf>,
    pub(super) log_id: LogId,
    pub(super) head: u64,
    /// Whether it was restored and is not activated.
    pub(super) restored: bool,
    /// Whether the process before ended without closing it.
    pub(super) unclean: bool,
}

/// Opens or makes the database of a folder. Blocks.
pub(super) fn open(config: &Config, clock: &Clock) -> Result<Database, Error> {
    let lock = occupy(&config.dir, clock)?;
    let path = config.dir.join(DATABASE);
    let exists = present(&path)?;
    let (keys, created_key_file) = keys(config, exists)?;
    if !exists {
        make(&path, &keys)?;
    }
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok(connection)
        })
        .map_err(|cause| Error::sqlite(&path, cause))?;
    schema::migrate(&mut connection, &path)?;
    schema::check_keys(&connection, &keys, &path, config.keys.to_string())?;
    schema::remember_active(&connection, &keys, &path)?;
    let restored = schema::is_restored(&connection).map_err(|cause| Error::sqlite(&path, cause))?;
    let (log_id, head) =
        schema::identity(&connection).map_err(|cause| Error::sqlite(&path, cause))?;
    let (epoch, unclean) =
        schema::begin(&mut connection).map_err(|cause| Error::sqlite(&path, cause))?;
    Ok(Database {
        held: Held {
            connection,
            epoch,
            _lock: lock,
        },
        path,
        keys,
        created_key_file,
        log_id,
        head,
        restored,
        unclean,
    })
}

/// Makes the folder of a store, unless it is there, and takes its lock.
pub(super) fn occupy(dir: &Path, clock: &Clock) -> Result<Lock, Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|cause| Error::not_writable(dir, cause))?;
    mounts::check(dir)?;
    Lock::take(dir, clock.now())
}

/// Looks a database over.
pub(super) fn check(connection: &Connection) -> Result<(), Failure> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    let corrupt = ffi::Error::new(ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(corrupt, Some(found)).into())
}

/// A connection to an existing database. A path is never taken for a URI.
pub(super) fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Whether there is a database. What only looks like one is an error.
pub(super) fn present(path: &Path) -> Result<bool, Error> {
    let damaged = |what: &str| Error::Damaged {
        path: path.to_owned(),
        cause: Arc::new(rusqlite::Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_CORRUPT),
            Some(what.to_owned()),
        )),
    };
    match fs::metadata(path) {
        Ok(file) if file.len() == 0 => Err(damaged("the file is empty")),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A new database beside the log of an old one would take that log for its own.
            if beside(path, "-wal").exists() {
                return Err(damaged("its write-ahead log is there, the file is not"));
            }
            Ok(false)
        }
        Err(cause) => Err(Error::not_writable(path, cause)),
    }
}

pub(super) fn keys(config: &Config, store_exists: bool) -> Result<(Keys, Option<PathBuf>), Error> {
    let file = match &config.keys {
        KeySource::Text(text) => return Ok((Keys::parse(text.expose_secret())?, None)),
        KeySource::File(file) => file,
    };
    let real = |path: &Path| fs::canonicalize(path).or_else(|_| absolute(path));
    let inside = match (absolute(file), real(&config.dir)) {
        (Ok(file), Ok(dir)) => file
            .parent()
            .and_then(|parent| real(parent).ok())
            .is_some_and(|parent| parent.starts_with(dir)),
        _ => false,
    };
    if inside {
        return Err(Error::Keys(keys::Error::InsideStore { path: file.clone() }));
    }
    let (keys, created) = Keys::load_or_create(file, store_exists)?;
    Ok((keys, created.then(|| file.clone())))
}

/// Makes a whole new database, or nothing.
fn make(path: &Path, keys: &Keys) -> Result<(), Error> {
    let draft = beside(path, ".new");
    let io = |cause| Error::not_writable(&draft, cause);
    for leftover in [draft.clone(), beside(&draft, "-journal")] {
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    // SQLite gives the files it makes beside a database the mode of the database.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(io)?;
    let mut connection = connect(&draft, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|cause| Error::sqlite(&draft, cause))?;
    schema::create(&mut connection, keys, &draft)?;
    connection
        .close()
        .map_err(|(_, cause)| Error::sqlite(&draft, cause))?;
    fs::rename(&draft, path).map_err(io)?;
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        .map_err(io)
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
