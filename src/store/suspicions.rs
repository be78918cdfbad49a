//! Which bots somebody else seems to read the events of.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::{Append, Entry, Error, Gap, Item, Store, log, row::Fields};
use crate::ids::{BotCode, PortalId};

/// A sign that somebody else reads the events of a bot.
#[derive(Debug, Clone)]
pub struct Suspicion {
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub code: BotCode,
    /// When it was seen last.
    pub seen_at: Timestamp,
}

impl Store {
    /// Writes down that there was a sign. If the last one was seen before `stale`, or there was none, it
    /// is a new suspicion: then `gap` goes into the log with it. Says whether it is.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn suspect(
        &self,
        sign: Suspicion,
        stale: Timestamp,
        bot_id: i64,
        gap: Gap,
    ) -> Result<bool, Error> {
        let (portal, why) = (sign.portal.clone(), gap.why.clone());
        let new = self.write(move |connection| {
            let name = [sign.portal.as_str(), sign.code.as_str()];
            let before: Option<i64> = connection
                .prepare_cached("SELECT seen_at FROM suspicions WHERE portal = ?1 AND code = ?2")?
                .query_row(name, |row| row.get(0))
                .optional()?;
            connection
                .prepare_cached("INSERT OR REPLACE INTO suspicions VALUES (?1, ?2, ?3)")?
                .execute(params![name[0], name[1], sign.seen_at.as_microsecond()])?;
            if before.is_some_and(|before| before >= stale.as_microsecond()) {
                return Ok(false);
            }
            let append = Append {
                portal: sign.portal.clone(),
                code: sign.code.clone(),
                entries: vec![Entry {
                    bot_id,
                    received_at: sign.seen_at,
                    item: Item::Gap(gap),
                }],
                next_offset: None,
                polled_at: None,
            };
            log::insert(connection, &append, &[None])?;
            Ok(true)
        });
        let new = new.await?;
        if let (true, Some(metrics)) = (new, self.inner.metrics.get()) {
            metrics.gap(portal.as_str(), &why);
        }
        Ok(new)
    }

    /// Forgets the signs of a bot.
    ///
    /// # Errors
    /// When the write failed; then nothing changed.
    pub async fn trust(&self, portal: &PortalId, code: &BotCode) -> Result<(), Error> {
        let (portal, code) = (portal.clone(), code.clone());
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM suspicions WHERE portal = ?1 AND code = ?2")?
                .execute([portal.as_str(), code.as_str()])?;
            Ok(())
        })
        .await
    }

    /// All signs, of each bot the last one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn suspicions(&self) -> Result<Vec<Suspicion>, Error> {
        self.query(|connection, _| {
            let mut select =
                connection.prepare_cached("SELECT portal, code, seen_at FROM suspicions")?;
            let mut rows = select.query([])?;
            let mut suspicions = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new("suspicions", row);
                suspicions.push(Suspicion {
                    portal: row.name("portal")?,
                    code: row.name("code")?,
                    seen_at: row.time("seen_at")?,
                });
            }
            Ok(suspicions)
        })
        .await
    }
}
