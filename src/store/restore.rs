//! Makes a store of a copy.
//!
//! The copy may be of a store that a gateway works with. So the new one is *held back*: nothing leaves
//! for any portal before an operator activates it. Its log has another name, so that a cursor of the
//! copied one, which may know of later events, is never taken for one of its own.

use std::{fs::File, io, path::Path};

use rusqlite::OpenFlags;

use super::{
    Config, Error, KeySource, Store,
    backup::{Draft, Holdings, holdings},
    keys::Keys,
    sealed,
    sqlite::{self, DATABASE, Failure, beside, connect, schema},
};
use crate::clock::Clock;

/// What the new store may do at once, for no other works with what it was copied from any more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Released {
    /// Call the portals.
    pub active: bool,
    /// Hand out what waited in subscriptions when the copy was made.
    pub redeliver: bool,
}

/// Makes a store in an empty folder of a copy, or nothing. Blocks.
///
/// # Errors
/// [`Error::StoreExists`], [`Error::Locked`]; when the file is no copy, is damaged, or the keys at hand
/// do not open it, which are named; when it cannot be written.
pub fn restore(
    config: &Config,
    file: &Path,
    released: Released,
    clock: &Clock,
) -> Result<Holdings, Error> {
    let mut source = File::open(file).map_err(|cause| Error::not_readable(file, cause))?;
    let log = beside(file, "-wal");
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(Error::NotWhole {
            path: file.to_owned(),
        });
    }
    let _lock = sqlite::occupy(&config.dir, clock)?;
    let path = config.dir.join(DATABASE);
    if sqlite::present(&path)? {
        return Err(Error::StoreExists { path });
    }
    let draft = Draft::make(beside(&path, ".new"))?;
    let mut copy = File::options()
        .write(true)
        .open(draft.path())
        .map_err(|cause| Error::not_writable(draft.path(), cause))?;
    io::copy(&mut source, &mut copy).map_err(|cause| Error::not_writable(draft.path(), cause))?;
    drop(copy);
    let restored = make(config, draft.path(), released);
    // It is the copy that is wrong, not the draft that nobody knows of.
    let holdings = restored.map_err(|error| error.of(file))?;
    draft.place(&path, false)?;
    Ok(holdings)
}

fn make(config: &Config, draft: &Path, released: Released) -> Result<Holdings, Error> {
    let sqlite = |cause| Error::sqlite(draft, cause);
    let at = |failure: Failure| failure.at(draft);
    let mut connection = connect(draft, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
    schema::recognise(&connection, draft)?;
    connection
        .pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))
        .map_err(sqlite)?;
    sqlite::check(&connection).map_err(at)?;
    let keys = match &config.keys {
        KeySource::File(path) if !path.exists() => {
            let needed = schema::key_ids(&connection).map_err(sqlite)?;
            return Err(Error::WrongKeys {
                path: draft.to_owned(),
                needed: needed.join(", "),
                source_name: config.keys.to_string(),
                given: "nothing, for it does not exist".to_owned(),
            });
        }
        _ => at_hand(config)?,
    };
    schema::check_keys(&connection, &keys, draft, config.keys.to_string())?;
    let opened = sealed::open_all(&connection, &keys).map_err(at)?;
    if !opened.closed.is_empty() {
        return Err(Error::Unopened {
            path: draft.to_owned(),
            count: opened.closed.values().sum(),
            tables: opened.closed.into_keys().collect::<Vec<_>>().join(", "),
        });
    }
    let before = holdings(&connection).map_err(at)?;
    schema::migrate(&mut connection, draft)?;
    schema::restored(&mut connection, draft)?;
    if released.active {
        schema::activate(&connection).map_err(sqlite)?;
    }
    if released.redeliver {
        schema::redeliver(&connection).map_err(sqlite)?;
    }
    let after = holdings(&connection).map_err(at)?;
    connection.close().map_err(|(_, cause)| sqlite(cause))?;
    Ok(Holdings {
        copied_at: before.copied_at,
        ..after
    })
}

/// The keys of an existing store; never makes new ones.
pub(super) fn at_hand(config: &Config) -> Result<Keys, Error> {
    let (keys, _created) = sqlite::keys(config, true)?;
    Ok(keys)
}

impl Store {
    /// Lets a restored store call its portals again, from the next start on. Says whether it was held
    /// back.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn activate(&self) -> Result<bool, Error> {
        self.write(|connection| Ok(schema::activate(connection)?))
            .await
    }
}
