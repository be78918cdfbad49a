//! Which keys a database needs, and whether those at hand are they.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::store::{Error, keys::Keys, seal};

/// The ids of all keys that may be needed, the bot key first.
pub(in crate::store) fn key_ids(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let bot = connection.query_row("SELECT value FROM meta WHERE name = 'bot_key'", [], |row| {
        row.get(0)
    })?;
    let mut select = connection.prepare("SELECT id FROM seal_keys ORDER BY id")?;
    let mut ids = vec![bot];
    for id in select.query_map([], |row| row.get(0))? {
        ids.push(id?);
    }
    Ok(ids)
}

/// Sees that the keys are those of this store, every one that may be needed.
pub(in crate::store) fn check_keys(
    connection: &Connection,
    keys: &Keys,
    path: &Path,
    source_name: String,
) -> Result<(), Error> {
    let sqlite = |cause| Error::sqlite(path, cause);
    let needed = key_ids(connection).map_err(sqlite)?;
    let given: Vec<String> = keys.all_ids().collect();
    let missing: Vec<_> = needed
        .into_iter()
        .filter(|id| !given.contains(id))
        .collect();
    if !missing.is_empty() {
        return Err(Error::WrongKeys {
            path: path.to_owned(),
            needed: missing.join(", "),
            source_name,
            given: given.join(", "),
        });
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
            Err(cause) => {
                return Err(Error::Sealed {
                    table: "seal_keys",
                    cause,
                });
            }
        }
    }
    Ok(())
}

/// Writes down the key that seals from now on, so that it is asked for at every start.
pub(in crate::store) fn remember_active(
    connection: &Connection,
    keys: &Keys,
    path: &Path,
) -> Result<(), Error> {
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
