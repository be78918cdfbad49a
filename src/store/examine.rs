//! Looks a store over from the first to the last row, whether or not a gateway works with it.

use std::path::PathBuf;

use super::{
    Config, Error,
    backup::{Holdings, existing, holdings, look},
    restore::at_hand,
    sealed::{self, Counts, Opened},
    sqlite::{Failure, schema},
};

/// What was found.
#[derive(Debug, Clone)]
pub struct Report {
    /// The database.
    pub path: PathBuf,
    /// What it holds.
    pub holdings: Holdings,
    /// Whether it was restored and is not activated.
    pub restored: bool,
    /// What SQLite finds wrong; empty for a sound file.
    pub damage: Vec<String>,
    /// A table or index that is not as this release makes it.
    pub differs: Option<String>,
    /// Which sealed values open.
    pub sealed: Opened,
    /// How many values each key has sealed.
    pub sealed_by: Counts,
    /// The ids of the keys at hand, the bot key first, then the one that seals.
    pub keys: Vec<String>,
}

impl Report {
    /// Whether all is well.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty() && self.differs.is_none() && self.sealed.closed.is_empty()
    }
}

/// Most findings of SQLite that are told.
const FINDINGS: i64 = 20;

/// Looks a store over. Blocks.
///
/// # Errors
/// [`Error::NoStore`], keys that cannot be had or are not those of the store, a file that is no store, or
/// one so damaged that it cannot be looked over.
pub fn examine(config: &Config) -> Result<Report, Error> {
    let path = existing(&config.dir)?;
    let connection = look(&path)?;
    let keys = at_hand(config)?;
    schema::check_keys(&connection, &keys, &path, config.keys.to_string())?;
    let work = || -> Result<Report, Failure> {
        // One moment of it, whatever is written meanwhile.
        let moment = connection.unchecked_transaction()?;
        let holdings = holdings(&moment)?;
        let mut select = moment.prepare(&format!("PRAGMA integrity_check({FINDINGS})"))?;
        let mut damage: Vec<String> = select
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        damage.retain(|finding| finding != "ok");
        drop(select);
        let taken = usize::try_from(holdings.schema).unwrap_or(usize::MAX);
        Ok(Report {
            restored: schema::is_restored(&moment)?,
            differs: schema::differs(&moment, taken)?,
            sealed: sealed::open_all(&moment, &keys)?,
            sealed_by: sealed::count(&moment)?,
            keys: keys.all_ids().collect(),
            path: path.clone(),
            holdings,
            damage,
        })
    };
    work().map_err(|failure| failure.at(&path))
}
