//! How far portals' limits were used up, so that a restart does not begin at nothing.
//!
//! What stands here is for the limits alone to read: a name, and what they wrote.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{Error, Store};

impl Store {
    /// Everything that was kept, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn pacing(&self) -> Result<BTreeMap<String, String>, Error> {
        self.query(|connection, _| {
            let mut select = connection.prepare_cached("SELECT name, used FROM pacing")?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Keeps these; the others stay as they are.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn keep_pacing(&self, used: BTreeMap<String, String>) -> Result<(), Error> {
        self.write(move |connection| {
            let mut replace = connection
                .prepare_cached("INSERT OR REPLACE INTO pacing (name, used) VALUES (?1, ?2)")?;
            for (name, used) in &used {
                replace.execute(params![name, used])?;
            }
            Ok(())
        })
        .await
    }
}
