//! Adds to the log.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use tokio::time::Instant;

use super::{ASIDE, Append, Appended, Item, TABLE, Unreadable, add_to_meta, prepare, sql};
use crate::{
    ids::DialogId,
    store::{
        Error, Store,
        seal::Sealed,
        sqlite::{self, Failure},
    },
};

/// What an entry weighs beside its body, about.
const ROW_BYTES: usize = 256;

impl Store {
    /// Adds entries and moves the bot's offset, both or neither. Runs to its end even if the caller
    /// stops waiting.
    ///
    /// # Errors
    /// [`Error::UnknownBot`] when an offset or a poll time is given for a bot that is not stored;
    /// otherwise when the write failed. Nothing is stored then.
    pub async fn append(&self, append: Append) -> Result<Appended, Error> {
        let bodies = append
            .entries
            .iter()
            .map(|entry| match &entry.item {
                Item::Event(event) => {
                    let place = [append.portal.as_str(), event.dedupe_key.as_str()];
                    self.seal(TABLE, &place, &event.body.0).map(Some)
                }
                Item::Gap(_) => Ok(None),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let asked = Instant::now();
        let append = Arc::new(append);
        let told = Arc::clone(&append);
        let appended = self
            .write(move |connection| insert(connection, &append, &bodies))
            .await?;
        if let Some(metrics) = self.inner.metrics.get() {
            metrics.appended(&told, &appended, asked.elapsed());
        }
        Ok(appended)
    }

    /// Keeps an event that could not be read. Doing it again changes nothing.
    ///
    /// # Errors
    /// When the write failed.
    pub async fn set_aside(&self, unreadable: Unreadable) -> Result<(), Error> {
        if let Some(metrics) = self.inner.metrics.get() {
            metrics.unreadable(unreadable.portal.as_str());
        }
        let place = [unreadable.portal.as_str(), &unreadable.dedupe_key];
        let body = self.seal(ASIDE, &place, &unreadable.body.0)?;
        self.write(move |connection| {
            prepare(
                connection,
                "INSERT INTO unreadable (portal, dedupe_key, code, why, body, at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                unreadable.portal.as_str(),
                unreadable.dedupe_key,
                unreadable.code.as_str(),
                unreadable.why,
                body,
                unreadable.at.as_microsecond(),
            ])?;
            Ok(())
        })
        .await
    }
}

pub(in crate::store) fn insert(
    connection: &Connection,
    append: &Append,
    bodies: &[Option<Sealed>],
) -> Result<Appended, Failure> {
    // Asked first, not left to the unique index: an insert that is refused still takes a number.
    let mut insert = prepare(
        connection,
        "INSERT INTO log (portal, code, bot_id, received_at, for_commands, size, dedupe_key, kind,
             dialog, happened_at, trace_context, command_id, message_id, user_id, typed,
             gap_from, gap_until, gap_why, body)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19
         WHERE NOT EXISTS (SELECT 1 FROM log WHERE portal = ?1 AND dedupe_key = ?7)",
    )?;
    let mut seqs: Option<(u64, u64)> = None;
    let (mut appended, mut commands, mut bytes) = (0, 0, 0);
    for (entry, body) in append.entries.iter().zip(bodies) {
        let (event, gap) = match &entry.item {
            Item::Event(event) => (Some(event), None),
            Item::Gap(gap) => (None, Some(gap)),
        };
        let command = event.and_then(|event| event.command);
        let size = sql(body.as_ref().map_or(0, |body| body.bytes().len()) + ROW_BYTES);
        let new = insert.execute(params![
            append.portal.as_str(),
            append.code.as_str(),
            entry.bot_id,
            entry.received_at.as_microsecond(),
            gap.is_some() || command.is_some(),
            size,
            event.map(|event| &event.dedupe_key),
            event.map(|event| &event.kind),
            event.and_then(|event| event.dialog.as_ref().map(DialogId::as_str)),
            event.map(|event| event.happened_at.as_microsecond()),
            event.and_then(|event| event.trace_context.as_ref()),
            command.map(|command| command.command_id),
            command.map(|command| command.message_id),
            command.map(|command| command.user_id),
            command.map(|command| command.typed),
            gap.and_then(|gap| gap.from.map(Timestamp::as_microsecond)),
            gap.map(|gap| gap.until.as_microsecond()),
            gap.map(|gap| &gap.why),
            body,
        ])?;
        if new == 1 {
            let seq = connection.last_insert_rowid().cast_unsigned();
            seqs = Some((seqs.map_or(seq, |(first, _)| first), seq));
            appended += 1;
            commands += usize::from(command.is_some());
            bytes += size;
        }
    }
    if bytes > 0 {
        add_to_meta(connection, "log_bytes", bytes)?;
    }
    if append.next_offset.is_some() || append.polled_at.is_some() {
        let bots = prepare(
            connection,
            "UPDATE bots SET next_offset = ifnull(?3, next_offset),
                     last_polled_at = ifnull(?4, last_polled_at)
                 WHERE portal = ?1 AND code = ?2",
        )?
        .execute(params![
            append.portal.as_str(),
            append.code.as_str(),
            append.next_offset,
            append.polled_at.map(Timestamp::as_microsecond),
        ])?;
        if bots == 0 {
            return Err(Failure::Store(Error::UnknownBot {
                portal: append.portal.clone(),
                code: append.code.clone(),
            }));
        }
    }
    Ok(Appended {
        seqs,
        appended,
        commands,
        duplicates: append.entries.len() - appended,
        head: sqlite::head(connection)?,
    })
}
