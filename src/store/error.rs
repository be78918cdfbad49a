//! Why the store could not do something, told so that an operator knows what to do about it.

use std::{io, path::PathBuf, sync::Arc};

use rusqlite::ErrorCode;

use super::{keys, seal};
use crate::{
    fault::{Executed, Fault, Kind, Origin, Reason},
    ids::{BotCode, PortalId},
};

/// Why the store could not do something. Cheap to clone: one failed commit is told to many.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Another process has the store open.
    #[error("the store is held by another process ({holder}); its lock is {}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What the holder wrote about itself.
        holder: String,
    },
    /// Another process has opened the store although this one holds its lock.
    #[error(
        "another process has taken over {}: this one writes nothing any more",
        path.display()
    )]
    TakenOver {
        /// The database.
        path: PathBuf,
    },
    /// The folder lies where several machines can write.
    #[error(
        "{} is on a network file system ({kind}), whose locks cannot be trusted: `store.dir` must name a \
         folder on a disk of this machine",
        path.display()
    )]
    SharedFileSystem {
        /// The folder.
        path: PathBuf,
        /// The type of the file system.
        kind: String,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}", path.display())]
    NotWritable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Arc<io::Error>,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    NotReadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Arc<io::Error>,
    },
    /// The file is no database, or a damaged one.
    #[error("{} is not a readable store: restore it from a backup", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        cause: Arc<rusqlite::Error>,
    },
    /// A row of the store says something this release cannot understand.
    #[error("{table} holds a row that cannot be understood: {what}")]
    BadRow {
        /// Which table.
        table: &'static str,
        /// What is wrong with it. Holds nothing of its content.
        what: String,
    },
    /// The file is a database of something else.
    #[error("{} is a database of another program", path.display())]
    NotAStore {
        /// The database.
        path: PathBuf,
    },
    /// The store was written by a later release.
    #[error(
        "{} was written by a newer release: it has schema {found}, this release knows up to {known}",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema of this release.
        known: i64,
    },
    /// There is no store to work with.
    #[error("there is no store: {} does not exist", path.display())]
    NoStore {
        /// The database that should be there.
        path: PathBuf,
    },
    /// A store is already where another is to be restored.
    #[error("there is a store already: {}; name another `store.dir`, or move it away", path.display())]
    StoreExists {
        /// The database.
        path: PathBuf,
    },
    /// A file is already where a copy is to be put.
    #[error("{} exists already: --force replaces it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file is no whole copy of a store.
    #[error(
        "{} is not a whole copy: its write-ahead log lies beside it; copy with `store backup`",
        path.display()
    )]
    NotWhole {
        /// The file.
        path: PathBuf,
    },
    /// Something sealed in a copy does not open.
    #[error("{} holds {count} sealed values that do not open, in {tables}", path.display())]
    Unopened {
        /// The file.
        path: PathBuf,
        /// How many.
        count: u64,
        /// Which tables.
        tables: String,
    },
    /// No room is left.
    #[error("no room is left for {}", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        cause: Arc<rusqlite::Error>,
    },
    /// SQLite failed otherwise.
    #[error("{} could not be used", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        cause: Arc<rusqlite::Error>,
    },
    /// The keys cannot be had.
    #[error("the keys of the store cannot be used")]
    Keys(#[from] keys::Error),
    /// The keys are those of another store.
    #[error("the store {} needs the key {needed}, but {source_name} holds {given}", path.display())]
    WrongKeys {
        /// The database.
        path: PathBuf,
        /// The id of the key that is missing.
        needed: String,
        /// Where the keys came from.
        source_name: String,
        /// The ids of the keys that were given.
        given: String,
    },
    /// New keys cannot be written where the old ones come from.
    #[error(
        "the keys are given as text (`store.keys`): put `seal:` and a new key, 32 random bytes in URL-safe \
         base64 without padding, in front of the other `seal:` keys and start again; what they sealed is \
         then sealed anew by itself"
    )]
    KeysAreText,
    /// A key cannot be retired.
    #[error("{id} cannot be retired: {}", if *.seals {
        "it is the one that seals; `keys rotate` puts another in front".to_owned()
    } else {
        format!("{values} values are sealed with it; they are sealed anew within a while after `keys rotate`")
    })]
    KeyInUse {
        /// The key.
        id: String,
        /// How many values it has sealed.
        values: u64,
        /// Whether it is the one that seals.
        seals: bool,
    },
    /// A key is none of the store's.
    #[error("{id} is no sealing key of this store; `keys list` names them")]
    UnknownKey {
        /// The id.
        id: String,
    },
    /// Something sealed could not be opened.
    #[error("something sealed in {table} cannot be opened")]
    Sealed {
        /// Which table.
        table: &'static str,
        /// Why.
        #[source]
        cause: seal::Error,
    },
    /// The bot is not stored.
    #[error("bot `{code}` of portal `{portal}` is not stored")]
    UnknownBot {
        /// The portal.
        portal: PortalId,
        /// The bot.
        code: BotCode,
    },
    /// The store was closed, or is closing.
    #[error("the store is closed")]
    Closed,
    /// The work broke off, which is a fault of ours.
    #[error("work in the store broke off")]
    BrokeOff,
}

impl Error {
    /// Sorts what SQLite says by what can be done about it.
    pub(super) fn sqlite(path: &std::path::Path, cause: rusqlite::Error) -> Self {
        let code = cause.sqlite_error_code();
        let path = path.to_owned();
        let shared = Arc::new(cause);
        match code {
            Some(ErrorCode::DiskFull) => Self::DiskFull {
                path,
                cause: shared,
            },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged {
                path,
                cause: shared,
            },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::NotWritable {
                    path,
                    cause: Arc::new(io::Error::other(shared)),
                }
            }
            _ => Self::Sqlite {
                path,
                cause: shared,
            },
        }
    }

    /// The same of another file, of which this one was copied.
    pub(super) fn of(mut self, file: &std::path::Path) -> Self {
        match &mut self {
            Self::Damaged { path, .. }
            | Self::NotAStore { path }
            | Self::Newer { path, .. }
            | Self::WrongKeys { path, .. }
            | Self::Unopened { path, .. } => file.clone_into(path),
            _ => {}
        }
        self
    }

    pub(super) fn not_readable(path: &std::path::Path, cause: io::Error) -> Self {
        Self::NotReadable {
            path: path.to_owned(),
            cause: Arc::new(cause),
        }
    }

    pub(super) fn not_writable(path: &std::path::Path, cause: io::Error) -> Self {
        Self::NotWritable {
            path: path.to_owned(),
            cause: Arc::new(cause),
        }
    }
}

impl Error {
    /// What is wrong with the store, in a word; `None` when it only does not have what was asked for.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownBot { .. } => return None,
            Self::DiskFull { .. } => "disk_full",
            Self::Damaged { .. } | Self::BadRow { .. } | Self::Sealed { .. } => "damaged",
            Self::NotWritable { .. } => "not_writable",
            Self::NotReadable { .. } => "not_readable",
            Self::TakenOver { .. } | Self::Locked { .. } => "taken_over",
            Self::Closed => "closed",
            _ => "other",
        })
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Locked { .. }
            | Self::TakenOver { .. }
            | Self::NotWritable { .. }
            | Self::NotReadable { .. }
            | Self::DiskFull { .. }
            | Self::Sqlite { .. }
            | Self::Closed => Kind::Unavailable,
            Self::Keys(_)
            | Self::WrongKeys { .. }
            | Self::KeysAreText
            | Self::KeyInUse { .. }
            | Self::UnknownKey { .. }
            | Self::SharedFileSystem { .. }
            | Self::NotAStore { .. }
            | Self::NoStore { .. }
            | Self::StoreExists { .. }
            | Self::Exists { .. }
            | Self::NotWhole { .. }
            | Self::Unopened { .. }
            | Self::Newer { .. }
            | Self::Damaged { .. } => Kind::Unready,
            Self::UnknownBot { .. } => Kind::Missing,
            Self::BadRow { .. } | Self::Sealed { .. } | Self::BrokeOff => Kind::Internal,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::UnknownBot { .. } => Reason::UnknownBot,
            _ => Reason::StoreUnavailable,
        }
    }

    fn origin(&self) -> Origin {
        Origin::Gateway
    }

    fn executed(&self) -> Executed {
        Executed::No
    }

    fn portal(&self) -> Option<&str> {
        match self {
            Self::UnknownBot { portal, .. } => Some(portal.as_str()),
            _ => None,
        }
    }
}
