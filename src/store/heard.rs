//! Until when we surely listened to what portals post.

use jiff::Timestamp;
use rusqlite::params;

use super::{
    Error, Store,
    sqlite::{Failure, schema},
};

/// Its name in `meta`, where it stands in microseconds.
const NAME: &str = "heard_at";

impl Store {
    /// Until when we surely listened, by our clock; `None` when nobody ever did.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn heard_until(&self) -> Result<Option<Timestamp>, Error> {
        self.query(|connection, _| {
            let micros = schema::number(connection, NAME)?;
            let time = micros.map(Timestamp::from_microsecond).transpose();
            time.map_err(|_| {
                Failure::Store(Error::BadRow {
                    table: "meta",
                    what: format!("its `{NAME}`"),
                })
            })
        })
        .await
    }

    /// We listened until then.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn note_heard(&self, until: Timestamp) -> Result<(), Error> {
        self.write(move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?
                .execute(params![NAME, until.as_microsecond()])?;
            Ok(())
        })
        .await
    }
}
