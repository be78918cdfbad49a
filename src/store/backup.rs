//! Copies of a store: made while the gateway runs, and what can be told of one.
//!
//! A copy is one file, whole as of one moment, and holds no keys. It says of itself that it is one, so
//! whoever puts it in a store's place by hand does not wake a second gateway up that works with the same
//! portals: see [`restore`](super::restore).

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags};

use super::{
    Error, LogId,
    sqlite::{self, DATABASE, Failure, beside, connect, schema},
};

/// What a store or a copy of one holds, as far as that can be told without keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    /// When the copy was made; `None` for a store that is no copy.
    pub copied_at: Option<Timestamp>,
    /// The log, whose cursors clients hold.
    pub log_id: LogId,
    /// The steps its schema has taken.
    pub schema: i64,
    /// The ids of all keys it may need, the bot key first.
    pub keys: Vec<String>,
    /// How many rows there are, by table.
    pub rows: Vec<(String, u64)>,
}

/// Copies the store of a folder into a file, whether or not a gateway works with it. Blocks.
///
/// # Errors
/// [`Error::Exists`] unless `replace`, [`Error::NoStore`], and when it cannot be read or the copy not
/// be written; then nothing is left of it.
pub fn backup(dir: &Path, file: &Path, replace: bool, now: Timestamp) -> Result<Holdings, Error> {
    let path = existing(dir)?;
    if !replace && file.symlink_metadata().is_ok() {
        return Err(Error::Exists {
            path: file.to_owned(),
        });
    }
    let draft = Draft::make(beside(file, ".part"))?;
    copy(&path, &draft.path)?;
    let holdings = mark(&draft.path, now)?;
    draft.place(file, replace)?;
    Ok(holdings)
}

/// Sees that there is a store.
///
/// # Errors
/// [`Error::NoStore`], or one that is damaged.
pub fn expect(dir: &Path) -> Result<(), Error> {
    existing(dir).map(drop)
}

/// The database of a folder, which must be there.
pub(super) fn existing(dir: &Path) -> Result<PathBuf, Error> {
    let path = dir.join(DATABASE);
    if sqlite::present(&path)? {
        return Ok(path);
    }
    Err(Error::NoStore { path })
}

/// Opens a database to look at it, whoever else works with it.
pub(super) fn look(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let connection = connection.map_err(|cause| Error::sqlite(path, cause))?;
    schema::recognise(&connection, path)?;
    Ok(connection)
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let source = look(from)?;
    // One read transaction: whole as of one moment, and nobody who writes waits for it.
    let target = to.to_str().ok_or_else(|| {
        let rule = "the name of the file is not UTF-8";
        Error::not_writable(to, io::Error::new(io::ErrorKind::InvalidInput, rule))
    })?;
    source
        .execute("VACUUM INTO ?1", [target])
        .map(drop)
        .map_err(|cause| Error::sqlite(to, cause))
}

/// Writes into a copy that it is one, and looks it over.
fn mark(copy: &Path, now: Timestamp) -> Result<Holdings, Error> {
    let work = |connection: &Connection| -> Result<Holdings, Failure> {
        // What is half written is thrown away as a whole.
        connection.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
        connection.execute(
            "INSERT OR REPLACE INTO meta VALUES ('copied_at', ?1)",
            [now.as_microsecond()],
        )?;
        sqlite::check(connection)?;
        holdings(connection)
    };
    let connection = connect(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(|cause| Error::sqlite(copy, cause))?;
    work(&connection).map_err(|failure| failure.at(copy))
}

/// What a database holds.
pub(super) fn holdings(connection: &Connection) -> Result<Holdings, Failure> {
    let (log_id, _head) = schema::identity(connection)?;
    let copied_at = schema::number(connection, "copied_at")?;
    let mut select = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
         AND name NOT IN ('meta', 'seal_keys') ORDER BY name",
    )?;
    let tables: Vec<String> = select
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for table in tables {
        let count = format!("SELECT count(*) FROM \"{table}\"");
        let count: i64 = connection.query_row(&count, [], |row| row.get(0))?;
        rows.push((table, count.unsigned_abs()));
    }
    Ok(Holdings {
        copied_at: copied_at.and_then(|at| Timestamp::from_microsecond(at).ok()),
        log_id,
        schema: schema::steps_taken(connection)?,
        keys: schema::key_ids(connection)?,
        rows,
    })
}

/// A file that is being written beside the one it becomes; gone when dropped before that.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    /// Whoever writes holds it, so that two do not write into each other.
    held: File,
    placed: bool,
}

impl Draft {
    /// An empty one, for its owner alone. What a process left behind that was killed is replaced.
    pub(super) fn make(path: PathBuf) -> Result<Self, Error> {
        let io = |cause| Error::not_writable(&path, cause);
        let held = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io(io::Error::other("another process is writing it")));
            }
            Err(TryLockError::Error(cause)) => return Err(io(cause)),
        }
        let draft = Self {
            held,
            placed: false,
            path,
        };
        // Who held it before may just have given it its name, or removed it.
        let ours = draft.held.metadata().map(|file| file.ino());
        let there = fs::symlink_metadata(&draft.path).map(|file| file.ino());
        if ours.ok() != there.ok() {
            let path = draft.path.clone();
            draft.forget();
            return Err(Error::not_writable(
                &path,
                io::Error::other("another process was writing it"),
            ));
        }
        let emptied = draft.held.set_len(0).and_then(|()| {
            draft
                .held
                .set_permissions(fs::Permissions::from_mode(0o600))
        });
        emptied.map_err(|cause| Error::not_writable(&draft.path, cause))?;
        Ok(draft)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, durably.
    pub(super) fn place(mut self, name: &Path, replace: bool) -> Result<(), Error> {
        let placed = self.held.sync_all().and_then(|()| {
            if replace {
                return fs::rename(&self.path, name);
            }
            // Unlike a rename this never replaces what somebody else has put there meanwhile.
            fs::hard_link(&self.path, name)?;
            fs::remove_file(&self.path)
        });
        match placed {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Exists {
                    path: name.to_owned(),
                });
            }
            placed => placed.map_err(|cause| Error::not_writable(name, cause))?,
        }
        self.placed = true;
        File::open(folder_of(name))
            .and_then(|folder| folder.sync_all())
            .map_err(|cause| Error::not_writable(name, cause))
    }

    /// Leaves a file alone that is not ours.
    fn forget(mut self) {
        self.placed = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.placed {
            return;
        }
        for leftover in [beside(&self.path, "-journal"), self.path.clone()] {
            // The failure that led here is the one to tell.
            let _removed = fs::remove_file(leftover);
        }
    }
}

/// The folder that a file is in.
pub(super) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
