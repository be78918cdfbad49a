//! Named subscriptions: whose they are, what they are for, and how far each has looked.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{Error, Store, row::Fields, sqlite::Failure};

/// Tells a subscription for good; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub i64);

/// A named subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// What tells it for good.
    pub id: SubscriptionId,
    /// The caller it belongs to.
    pub owner: String,
    /// Its name among those of its owner.
    pub name: String,
    /// Whether it was made to answer commands.
    pub for_commands: bool,
    /// What it is fixed to.
    pub settings: serde_json::Value,
    /// When it was made.
    pub created_at: Timestamp,
    /// Everything up to this number was looked at.
    pub scanned: u64,
}

const TABLE: &str = "subscriptions";
const COLUMNS: &str = "id, owner, name, for_commands, settings, created_at, scanned";

impl Store {
    /// Makes a subscription, unless there is one of this owner and name. Gives the one there is then; the
    /// id that is passed in means nothing.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn make_subscription(&self, wish: Subscription) -> Result<Subscription, Error> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO subscriptions (owner, name, for_commands, settings, created_at, scanned)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (owner, name) DO NOTHING",
                )?
                .execute(params![
                    wish.owner,
                    wish.name,
                    wish.for_commands,
                    wish.settings.to_string(),
                    wish.created_at.as_microsecond(),
                    wish.scanned.cast_signed(),
                ])?;
            let mut select = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM subscriptions WHERE owner = ?1 AND name = ?2"
            ))?;
            let mut rows = select.query([&wish.owner, &wish.name])?;
            match rows.next()? {
                Some(row) => subscription(row),
                // It was just written.
                None => Err(Failure::Store(Error::BrokeOff)),
            }
        })
        .await
    }

    /// All subscriptions.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, Error> {
        self.query(|connection, _| {
            let mut select =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM subscriptions"))?;
            let mut rows = select.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(subscription(row)?);
            }
            Ok(found)
        })
        .await
    }

    /// Forgets a subscription with all its deliveries. Forgetting an unknown one is no error.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn forget_subscription(&self, id: SubscriptionId) -> Result<(), Error> {
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM subscriptions WHERE id = ?1")?
                .execute([id.0])?;
            Ok(())
        })
        .await
    }

    /// Whether retention took something from a subscription since this was asked last.
    ///
    /// # Errors
    /// When the write failed; then it will be told again.
    pub async fn was_missed(&self, id: SubscriptionId) -> Result<bool, Error> {
        let missed = self.query(move |connection, _| {
            Ok(connection
                .prepare_cached("SELECT missed FROM subscriptions WHERE id = ?1")?
                .query_row([id.0], |row| row.get::<_, bool>(0))
                .optional()?
                .unwrap_or_default())
        });
        if !missed.await? {
            return Ok(false);
        }
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE subscriptions SET missed = 0 WHERE id = ?1")?
                .execute([id.0])?;
            Ok(true)
        })
        .await
    }
}

fn subscription(row: &Row<'_>) -> Result<Subscription, Failure> {
    let row = Fields::new(TABLE, row);
    Ok(Subscription {
        id: SubscriptionId(row.get("id")?),
        owner: row.get("owner")?,
        name: row.get("name")?,
        for_commands: row.get("for_commands")?,
        settings: serde_json::from_str(row.text("settings")?).map_err(|_| row.bad("settings"))?,
        created_at: row.time("created_at")?,
        scanned: row.get::<i64>("scanned")?.cast_unsigned(),
    })
}
