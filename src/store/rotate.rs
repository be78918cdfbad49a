//! Exchanges the sealing keys while the store works.
//!
//! A new key is on the disk, and written down here as one that may be needed, before anything is sealed
//! with it. What the old ones sealed is then sealed anew, a few rows at a time and only where nobody
//! wrote meanwhile. All of that can break off anywhere and is taken up again.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params_from_iter, types::Value};
use tokio::task::spawn_blocking;

use super::{
    Config, Error, KeySource, Store,
    backup::{existing, look},
    keys::Keys,
    restore::at_hand,
    seal,
    sealed::{self, COLUMNS, Column},
    sqlite::{Failure, schema},
};

/// Most rows that are sealed anew in one transaction, and about how many bytes.
const ROWS: usize = 64;
const BYTES: usize = 1 << 20;

/// What sealing anew came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Values that the key in use has sealed now and another had before.
    pub resealed: u64,
    /// Values that did not open, and stay as they are.
    pub unopened: u64,
}

/// A key of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id, such as `seal-0a1b2c3d`.
    pub id: String,
    /// Whether it is among the keys at hand.
    pub at_hand: bool,
    /// Whether it seals.
    pub seals: bool,
    /// Whether the store may need it.
    pub needed: bool,
    /// How many values it has sealed.
    pub values: u64,
}

/// The keys of a store, whether or not a gateway works with it: the bot key first, then those at hand in
/// their order, then those that are missing. Blocks.
///
/// # Errors
/// [`Error::NoStore`], or when store or keys cannot be read.
pub fn list(config: &Config) -> Result<Vec<Key>, Error> {
    let path = existing(&config.dir)?;
    let connection = look(&path)?;
    let keys = at_hand(config)?;
    let sqlite = |cause| Error::sqlite(&path, cause);
    let needed = schema::key_ids(&connection).map_err(sqlite)?;
    let counts = sealed::count(&connection).map_err(|failure| failure.at(&path))?;
    let active = format!("seal-{}", keys.active().id);
    let mut ids: Vec<String> = keys.all_ids().collect();
    let given = ids.len();
    for id in needed.iter().chain(counts.keys()) {
        if !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    let keys = ids.into_iter().enumerate().map(|(at, id)| Key {
        at_hand: at < given,
        seals: id == active,
        needed: needed.contains(&id),
        values: counts.get(&id).copied().unwrap_or_default(),
        id,
    });
    Ok(keys.collect())
}

impl Store {
    /// The file that the keys come from, if they come from one.
    #[must_use]
    pub fn key_file(&self) -> Option<&Path> {
        match &self.inner.source {
            KeySource::File(path) => Some(path),
            KeySource::Text(_) => None,
        }
    }

    /// Puts a new sealing key into the key file and uses it. Tells its id. What the others sealed is
    /// sealed anew by [`Store::reseal`].
    ///
    /// # Errors
    /// [`Error::KeysAreText`]; when the file or the store cannot be written. What is in the file then is
    /// used sooner or later, and nothing that was there is gone.
    pub async fn rotate(&self) -> Result<String, Error> {
        let path = self.writable_key_file()?;
        let _alone = self.inner.changing_keys.lock().await;
        let keys = off_the_runtime(move || Keys::put_new_in_front(&path)).await?;
        let id = format!("seal-{}", keys.active().id);
        self.adopt(keys).await?;
        Ok(id)
    }

    /// Reads the key file again and uses what it holds now. Tells the ids if they are others.
    ///
    /// # Errors
    /// When the file cannot be read, or lacks a key that the store may need. The keys before stay.
    pub async fn reread_keys(&self) -> Result<Option<String>, Error> {
        let Some(path) = self.key_file().map(Path::to_owned) else {
            return Ok(None);
        };
        let _alone = self.inner.changing_keys.lock().await;
        let read = move || Keys::load_or_create(&path, true).map(|(keys, _created)| keys);
        let keys = off_the_runtime(read).await?;
        if keys.ids() == self.keys().ids() {
            return Ok(None);
        }
        let ids = keys.ids();
        self.adopt(keys).await?;
        Ok(Some(ids))
    }

    /// Completes when the keys were changed, once for all changes since it did before. For one who waits.
    pub async fn keys_changed(&self) {
        self.inner.ring.changed().await;
    }

    async fn adopt(&self, keys: Keys) -> Result<(), Error> {
        let ring = &self.inner.ring;
        let source = self.inner.source.to_string();
        let path = self.inner.path.clone();
        let wanted = keys.clone();
        let fits = move |connection: &Connection| {
            Ok(schema::check_keys(connection, &wanted, &path, source)?)
        };
        self.inner.readers.run(fits).await?;
        // First everybody can open with them.
        ring.put(keys.sealing_as(&self.keys()));
        let path = self.inner.path.clone();
        let wanted = keys.clone();
        self.write(move |connection| Ok(schema::remember_active(connection, &wanted, &path)?))
            .await?;
        ring.settled().await;
        ring.put(keys);
        Ok(())
    }

    /// Whether there may be values that another key has sealed than the one in use.
    ///
    /// # Errors
    /// When that cannot be read.
    pub async fn wants_resealing(&self) -> Result<bool, Error> {
        self.query(|connection, keys| {
            let active = format!("seal-{}", keys.active().id);
            let others: bool = connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM seal_keys WHERE id <> ?1)")?
                .query_row([&active], |row| row.get(0))?;
            Ok(others && schema::text(connection, "resealed")? != Some(active))
        })
        .await
    }

    /// Seals everything with the key in use that another one has sealed, a little at a time.
    ///
    /// # Errors
    /// When the store cannot be read or written. What was done until then stays.
    pub async fn reseal(&self) -> Result<Resealed, Error> {
        // Nobody seals with an older key from here on.
        self.inner.ring.settled().await;
        let active = self.keys().active().id;
        let mut done = Resealed::default();
        for column in COLUMNS {
            let mut after = None;
            loop {
                let at = after.take();
                let batch = self
                    .query(move |connection, keys| batch(connection, keys, column, at))
                    .await?;
                done.unopened += batch.unopened;
                let Some(last) = batch.last else { break };
                after = Some(last);
                let rows = batch.rows;
                if !rows.is_empty() {
                    done.resealed += self
                        .write(move |connection| exchange(connection, column, &rows))
                        .await?;
                }
            }
        }
        if done.unopened == 0 && active.0 == self.keys().active().id.0 {
            let id = format!("seal-{active}");
            self.write(move |connection| {
                let say = "INSERT OR REPLACE INTO meta VALUES ('resealed', ?1)";
                connection.execute(say, [id])?;
                Ok(())
            })
            .await?;
        }
        Ok(done)
    }

    /// Forgets a sealing key that has sealed nothing that is still here, and takes it out of the key file.
    ///
    /// # Errors
    /// [`Error::KeyInUse`], [`Error::UnknownKey`]; when file or store cannot be written. Then the key may
    /// be gone from the store and not from the file, which does no harm.
    pub async fn retire(&self, id: &str) -> Result<(), Error> {
        let _alone = self.inner.changing_keys.lock().await;
        // Nobody seals with an older key from here on.
        self.inner.ring.settled().await;
        let wanted = id.to_owned();
        let (known, values, seals) = self
            .query(move |connection, keys| {
                let needed = schema::key_ids(connection)?;
                // The bot key is no sealing key.
                let sealing = |id: &&String| id.starts_with("seal-");
                let known = needed.iter().filter(sealing).any(|known| *known == wanted)
                    || keys
                        .all_ids()
                        .filter(|id| sealing(&id))
                        .any(|id| id == wanted);
                let values = sealed::count(connection)?;
                let values = values.get(&wanted).copied().unwrap_or_default();
                Ok((
                    known,
                    values,
                    format!("seal-{}", keys.active().id) == wanted,
                ))
            })
            .await?;
        if !known {
            return Err(Error::UnknownKey { id: id.to_owned() });
        }
        if seals || values > 0 {
            return Err(Error::KeyInUse {
                id: id.to_owned(),
                values,
                seals,
            });
        }
        let gone = id.to_owned();
        // Here first: a store that needs a key which is not in the file would not open.
        self.write(move |connection| {
            connection.execute("DELETE FROM seal_keys WHERE id = ?1", [gone])?;
            Ok(())
        })
        .await?;
        if let Some(path) = self.key_file().map(Path::to_owned) {
            let id = id.to_owned();
            let keys = off_the_runtime(move || Keys::take_out(&path, &id)).await?;
            self.inner.ring.put(keys);
        }
        Ok(())
    }

    fn writable_key_file(&self) -> Result<PathBuf, Error> {
        let path = self.key_file().map(Path::to_owned);
        path.ok_or(Error::KeysAreText)
    }
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, super::keys::Error> + Send + 'static,
) -> Result<T, Error> {
    Ok(spawn_blocking(work).await.map_err(|_| Error::BrokeOff)??)
}

/// Rows to seal anew.
struct Batch {
    rows: Vec<Row>,
    unopened: u64,
    /// What the next batch comes after; `None` at the end.
    last: Option<Vec<Value>>,
}

struct Row {
    /// What tells it apart.
    row: Vec<Value>,
    old: Vec<u8>,
    new: seal::Sealed,
}

fn batch(
    connection: &Connection,
    keys: &std::sync::Arc<Keys>,
    column: &Column,
    after: Option<Vec<Value>>,
) -> Result<Batch, Failure> {
    let (name, table, row) = (column.name, column.table, column.row.join(", "));
    let mut arguments = vec![Value::Blob(keys.active().id.0.to_vec())];
    let behind = match after {
        Some(last) => {
            let marks: Vec<_> = (0..last.len()).map(|at| format!("?{}", at + 2)).collect();
            arguments.extend(last);
            format!("AND ({row}) > ({})", marks.join(", "))
        }
        None => String::new(),
    };
    let mut select = connection.prepare_cached(&format!(
        "SELECT {}, {row}, {name} FROM {table}
         WHERE {name} IS NOT NULL AND substr({name}, 2, 4) <> ?1 {behind}
         ORDER BY {row} LIMIT {ROWS}",
        column.place.join(", ")
    ))?;
    let mut found = select.query(params_from_iter(arguments))?;
    let mut batch = Batch {
        rows: Vec::new(),
        unopened: 0,
        last: None,
    };
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        let place = column.place.len();
        let tells = (place..place + column.row.len()).map(|at| row.get(at));
        let tells = tells.collect::<rusqlite::Result<Vec<Value>>>()?;
        let old: Vec<u8> = row.get(place + column.row.len())?;
        batch.last = Some(tells.clone());
        let plain = match column.open(keys, row, &old) {
            Ok(plain) => plain,
            Err(Failure::Store(Error::Sealed { .. })) => {
                batch.unopened += 1;
                continue;
            }
            Err(other) => return Err(other),
        };
        bytes += old.len();
        let place = column.place_in(row)?;
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        let new = super::sealed_with(keys, table, &place, &plain)?;
        batch.rows.push(Row {
            row: tells,
            old,
            new,
        });
        if bytes >= BYTES {
            break;
        }
    }
    Ok(batch)
}

/// Writes rows that are as they were when they were read. Says how many were.
fn exchange(connection: &Connection, column: &Column, rows: &[Row]) -> Result<u64, Failure> {
    let is: Vec<_> = column
        .row
        .iter()
        .enumerate()
        .map(|(at, name)| format!("{name} = ?{}", at + 3))
        .collect();
    let mut update = connection.prepare_cached(&format!(
        "UPDATE {} SET {name} = ?1 WHERE {name} = ?2 AND {}",
        column.table,
        is.join(" AND "),
        name = column.name,
    ))?;
    let mut changed = 0;
    for row in rows {
        let bytes = [row.new.bytes().to_vec(), row.old.clone()].map(Value::Blob);
        let arguments = bytes.into_iter().chain(row.row.iter().cloned());
        changed += update.execute(params_from_iter(arguments))?;
    }
    Ok(changed as u64)
}
