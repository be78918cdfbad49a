//! Where sealed values stand, for what goes over all of them.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{
    Error,
    keys::{KeyId, Keys},
    sqlite::Failure,
    unseal,
};

/// A column of sealed values.
#[derive(Debug)]
pub(super) struct Column {
    /// The table, as the seal knows it too.
    pub(super) table: &'static str,
    /// The column.
    pub(super) name: &'static str,
    /// The columns that the seal is bound to.
    pub(super) place: &'static [&'static str],
    /// The columns that tell rows apart, and their order.
    pub(super) row: &'static [&'static str],
}

const fn body(table: &'static str, place: &'static [&'static str]) -> Column {
    Column {
        table,
        name: "body",
        place,
        row: place,
    }
}

/// Every column of sealed values. What a table's own module seals stands here too, which a test holds.
pub(super) const COLUMNS: &[Column] = &[
    Column {
        table: "bots",
        name: "token",
        place: &["portal", "code"],
        row: &["portal", "code"],
    },
    Column {
        table: "log",
        name: "body",
        place: &["portal", "dedupe_key"],
        row: &["seq"],
    },
    body("ledger", &["key"]),
    body("unreadable", &["portal", "dedupe_key"]),
    body("addresses", &["portal"]),
    body("pairs", &["portal"]),
    body("callers", &["name"]),
    body("webhooks", &["portal"]),
    body("grants", &["portal", "caller"]),
];

/// What a look at every sealed value found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// How many opened, by table.
    pub opened: BTreeMap<&'static str, u64>,
    /// How many did not, by table.
    pub closed: BTreeMap<&'static str, u64>,
}

/// How many values each key has sealed, by its id such as `seal-0a1b2c3d`.
pub type Counts = BTreeMap<String, u64>;

impl Column {
    /// Whether a database has it; an older one may not.
    pub(super) fn exists(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let found = connection
            .query_row(
                "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                [self.table],
                |_| Ok(()),
            )
            .optional()?;
        Ok(found.is_some())
    }

    /// Opens the value of a row that begins with the columns of its place.
    pub(super) fn open(
        &self,
        keys: &Keys,
        row: &Row<'_>,
        sealed: &[u8],
    ) -> Result<secrecy::zeroize::Zeroizing<Vec<u8>>, Failure> {
        let place = self.place_in(row)?;
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        Ok(unseal(keys, self.table, &place, sealed)?)
    }

    /// The place of such a row.
    pub(super) fn place_in(&self, row: &Row<'_>) -> Result<Vec<String>, Failure> {
        let place = (0..self.place.len()).map(|at| row.get(at));
        Ok(place.collect::<rusqlite::Result<_>>()?)
    }
}

/// Tries every sealed value with the keys at hand.
pub(super) fn open_all(connection: &Connection, keys: &Keys) -> Result<Opened, Failure> {
    let mut found = Opened::default();
    for column in COLUMNS {
        if !column.exists(connection)? {
            continue;
        }
        let (mut opened, mut closed) = (0, 0);
        let (name, table) = (column.name, column.table);
        let select = format!(
            "SELECT {}, {name} FROM {table} WHERE {name} IS NOT NULL",
            column.place.join(", ")
        );
        let mut select = connection.prepare(&select)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let sealed = row.get_ref(column.place.len())?;
            let value = sealed.as_blob().map_err(rusqlite::Error::from)?;
            match column.open(keys, row, value) {
                Ok(_) => opened += 1,
                Err(Failure::Store(Error::Sealed { .. })) => closed += 1,
                Err(other) => return Err(other),
            }
        }
        found.opened.insert(table, opened);
        if closed > 0 {
            found.closed.insert(table, closed);
        }
    }
    Ok(found)
}

/// How many values each key has sealed.
pub(super) fn count(connection: &Connection) -> Result<Counts, Failure> {
    let mut counts = Counts::new();
    for column in COLUMNS {
        if !column.exists(connection)? {
            continue;
        }
        let (name, table) = (column.name, column.table);
        // Behind the version stands the id of the key.
        let mut select = connection.prepare(&format!(
            "SELECT substr({name}, 2, 4) AS id, count(*) FROM {table}
             WHERE {name} IS NOT NULL GROUP BY id"
        ))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let id: Vec<u8> = row.get(0)?;
            let id = id.try_into().map(KeyId);
            let id = id.map_or_else(|_| "unknown".to_owned(), |id| format!("seal-{id}"));
            *counts.entry(id).or_default() += row.get::<_, i64>(1)?.unsigned_abs();
        }
    }
    Ok(counts)
}
