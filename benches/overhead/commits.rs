//! What a store writes, by the books of SQLite.

use std::{fs, path::Path};

use crate::common::Outcome;

/// Transactions a store committed, of which each is one `fsync` of the write-ahead log.
///
/// SQLite counts them in the index that its processes share: `iChange`, the third word of the file
/// (<https://sqlite.org/walformat.html>).
pub(crate) fn commits(store: &Path) -> Outcome<u32> {
    let index = fs::read(store.join("store.db-shm"))?;
    let word = index.get(8..12).ok_or("a short index")?;
    Ok(u32::from_ne_bytes(word.try_into()?))
}
