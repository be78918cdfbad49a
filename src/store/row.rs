//! Reads the fields of a row back into the types they were written from.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::{Row, types::FromSql};

use super::{Error, sqlite::Failure};

/// The fields of one row, by the names of their columns.
pub(super) struct Fields<'a> {
    table: &'static str,
    row: &'a Row<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(table: &'static str, row: &'a Row<'a>) -> Self {
        Self { table, row }
    }

    pub(super) fn get<T: FromSql>(&self, column: &str) -> Result<T, Failure> {
        Ok(self.row.get(column)?)
    }

    pub(super) fn text(&self, column: &str) -> Result<&'a str, Failure> {
        self.row
            .get_ref(column)?
            .as_str()
            .map_err(|_| self.bad(column))
    }

    pub(super) fn blob(&self, column: &str) -> Result<&'a [u8], Failure> {
        self.row
            .get_ref(column)?
            .as_blob()
            .map_err(|_| self.bad(column))
    }

    pub(super) fn blob_if_any(&self, column: &str) -> Result<Option<&'a [u8]>, Failure> {
        self.row
            .get_ref(column)?
            .as_blob_or_null()
            .map_err(|_| self.bad(column))
    }

    pub(super) fn name<T: FromStr>(&self, column: &str) -> Result<T, Failure> {
        self.text(column)?.parse().map_err(|_| self.bad(column))
    }

    pub(super) fn name_if_any<T: FromStr>(&self, column: &str) -> Result<Option<T>, Failure> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| text.parse().map_err(|_| self.bad(column)))
            .transpose()
    }

    pub(super) fn time(&self, column: &str) -> Result<Timestamp, Failure> {
        Timestamp::from_microsecond(self.get(column)?).map_err(|_| self.bad(column))
    }

    pub(super) fn time_if_any(&self, column: &str) -> Result<Option<Timestamp>, Failure> {
        let micros: Option<i64> = self.get(column)?;
        micros
            .map(|micros| Timestamp::from_microsecond(micros).map_err(|_| self.bad(column)))
            .transpose()
    }

    /// A number of the log, which is never negative.
    pub(super) fn seq(&self) -> Result<u64, Failure> {
        u64::try_from(self.get::<i64>("seq")?).map_err(|_| self.bad("seq"))
    }

    /// The complaint about a column.
    pub(super) fn bad(&self, column: &str) -> Failure {
        Failure::Store(Error::BadRow {
            table: self.table,
            what: format!("its `{column}`"),
        })
    }
}
