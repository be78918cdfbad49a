//! Reads the log.

use std::mem;

use jiff::Timestamp;
use rusqlite::{Connection, Params, ToSql, params};

use super::{
    ASIDE, Body, CommandRef, Entry, Event, Filter, Gap, Item, Limit, Page, RecentCommand, Stored,
    TABLE, Unreadable, meta, prepare, removed, sql,
};
use crate::{
    ids::{BotCode, PortalId},
    store::{
        Error, Keys, Store,
        row::Fields,
        sqlite::{self, Failure},
        unseal,
    },
};

/// Most numbers one read looks at, whatever its filter.
const STRETCH: u64 = 10_000;
const COLUMNS: &str = "seq, portal, code, bot_id, received_at, dedupe_key, kind, dialog, happened_at, \
     trace_context, command_id, message_id, user_id, typed, gap_from, gap_until, gap_why, body";

impl Store {
    /// What comes after a number. Looks at a bounded stretch of the log, so a page may be empty
    /// although more matches follow: read on from [`Page::next_after`] until it reaches the head.
    ///
    /// # Errors
    /// When it cannot be read or unsealed.
    pub async fn read(&self, after: u64, limit: Limit, filter: Filter) -> Result<Page, Error> {
        self.query(move |connection, keys| page(connection, keys, after, limit, &filter))
            .await
    }

    /// The entry with a number, if there is one (any more).
    ///
    /// # Errors
    /// When it cannot be read or unsealed.
    pub async fn find(&self, seq: u64) -> Result<Option<Stored>, Error> {
        self.query(move |connection, keys| {
            let mut select = prepare(
                connection,
                &format!("SELECT {COLUMNS} FROM log WHERE seq = ?1"),
            )?;
            let mut rows = select.query([sql(seq)])?;
            rows.next()?
                .map(|row| stored(&Fields::new(TABLE, row), keys))
                .transpose()
        })
        .await
    }

    /// Everything up to this number was removed by retention, and something that was kept longer lies
    /// behind it. What else is missing was erased, or is told by [`Store::removed`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn floor(&self) -> Result<u64, Error> {
        self.query(|connection, _| Ok(meta(connection, "log_floor")?.cast_unsigned()))
            .await
    }

    /// The first number received at or after a time; `None` when there is none yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn seq_at(&self, time: Timestamp) -> Result<Option<u64>, Error> {
        self.query(move |connection, _| {
            // All that came since are looked at, in the index alone: our clock may have jumped, so
            // the earliest of them need not have the lowest number.
            lowest(
                connection,
                "SELECT min(seq) AS seq FROM log INDEXED BY log_received WHERE received_at >= ?1",
                [time.as_microsecond()],
            )
        })
        .await
    }

    /// The newest commands that have a dialog, at most `rows`, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn recent_commands(&self, rows: usize) -> Result<Vec<RecentCommand>, Error> {
        self.query(move |connection, _| {
            let mut select = prepare(
                connection,
                "SELECT seq, portal, code, bot_id, dialog, command_id, message_id, user_id, typed,
                     happened_at, received_at
                 FROM log INDEXED BY log_commands
                 WHERE command_id IS NOT NULL AND dialog IS NOT NULL AND seq > 0
                 ORDER BY seq DESC LIMIT ?1",
            )?;
            let mut rows = select.query([sql(rows)])?;
            let mut commands = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new(TABLE, row);
                commands.push(RecentCommand {
                    seq: row.seq()?,
                    portal: row.name("portal")?,
                    code: row.name("code")?,
                    bot_id: row.get("bot_id")?,
                    dialog: row.name("dialog")?,
                    command: command(&row)?.ok_or_else(|| row.bad("command_id"))?,
                    happened_at: row.time("happened_at")?,
                    received_at: row.time("received_at")?,
                });
            }
            Ok(commands)
        })
        .await
    }

    /// What could not be read in a portal, newest first.
    ///
    /// # Errors
    /// When it cannot be read or unsealed.
    pub async fn unreadable(
        &self,
        portal: &PortalId,
        rows: usize,
    ) -> Result<Vec<Unreadable>, Error> {
        let portal = portal.clone();
        self.query(move |connection, keys| {
            let mut select = prepare(
                connection,
                "SELECT dedupe_key, code, why, body, at FROM unreadable
                 WHERE portal = ?1 ORDER BY at DESC, rowid DESC LIMIT ?2",
            )?;
            let mut rows = select.query(params![portal.as_str(), sql(rows)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let row = Fields::new(ASIDE, row);
                let dedupe_key: String = row.get("dedupe_key")?;
                let place = [portal.as_str(), dedupe_key.as_str()];
                let mut body = unseal(keys, ASIDE, &place, row.blob("body")?)?;
                found.push(Unreadable {
                    code: row.name("code")?,
                    why: row.get("why")?,
                    body: Body(mem::take(&mut body)),
                    at: row.time("at")?,
                    portal: portal.clone(),
                    dedupe_key,
                });
            }
            Ok(found)
        })
        .await
    }
}

fn page(
    connection: &Connection,
    keys: &Keys,
    after: u64,
    limit: Limit,
    filter: &Filter,
) -> Result<Page, Failure> {
    // Head, floor and entries must be those of one moment.
    let moment = connection.unchecked_transaction()?;
    let head = sqlite::head(&moment)?;
    let floor = meta(&moment, "log_floor")?.cast_unsigned();
    let until = after.max(floor).saturating_add(STRETCH).min(head);
    let mut page = Page {
        entries: Vec::new(),
        next_after: until.max(after),
        head,
        floor,
        removed: removed::removed(&moment, after, filter)?,
    };
    let (after, until) = (sql(after), sql(until));
    let mut wanted: Vec<&dyn ToSql> = vec![&after, &until];
    let portal = filter.portal.as_ref().map(PortalId::as_str);
    let code = filter.code.as_ref().map(BotCode::as_str);
    wanted.extend(portal.iter().map(|name| name as &dyn ToSql));
    wanted.extend(code.iter().map(|name| name as &dyn ToSql));
    let mut select = prepare(&moment, &query(filter))?;
    let mut rows = select.query(wanted.as_slice())?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let row = Fields::new(TABLE, row);
        bytes += row.blob_if_any("body")?.map_or(0, <[u8]>::len);
        let full = page.entries.len() >= limit.rows.max(1) || bytes > limit.bytes;
        if let Some(last) = page.entries.last().filter(|_| full) {
            page.next_after = last.seq;
            break;
        }
        page.entries.push(stored(&row, keys)?);
    }
    Ok(page)
}

/// The query of a filter: always in order, and never beyond a stretch.
fn query(filter: &Filter) -> String {
    let mut query = format!("SELECT {COLUMNS} FROM log ");
    query += match (&filter.portal, &filter.code) {
        (Some(_), Some(_)) => "INDEXED BY log_bot",
        _ => "NOT INDEXED",
    };
    query += " WHERE seq > ? AND seq <= ?";
    if filter.portal.is_some() {
        query += " AND portal = ?";
    }
    if filter.code.is_some() {
        query += " AND code = ?";
    }
    if filter.commands_only {
        query += " AND for_commands";
    }
    query + " ORDER BY seq"
}

fn stored(row: &Fields<'_>, keys: &Keys) -> Result<Stored, Failure> {
    let portal: PortalId = row.name("portal")?;
    let dedupe_key: Option<String> = row.get("dedupe_key")?;
    let item = match dedupe_key {
        Some(dedupe_key) => {
            let place = [portal.as_str(), dedupe_key.as_str()];
            let mut body = unseal(keys, TABLE, &place, row.blob("body")?)?;
            Item::Event(Event {
                kind: row.get("kind")?,
                dialog: row.name_if_any("dialog")?,
                happened_at: row.time("happened_at")?,
                trace_context: row.get("trace_context")?,
                command: command(row)?,
                body: Body(mem::take(&mut body)),
                dedupe_key,
            })
        }
        None => Item::Gap(Gap {
            from: row.time_if_any("gap_from")?,
            until: row.time("gap_until")?,
            why: row.get("gap_why")?,
        }),
    };
    Ok(Stored {
        seq: row.seq()?,
        code: row.name("code")?,
        entry: Entry {
            bot_id: row.get("bot_id")?,
            received_at: row.time("received_at")?,
            item,
        },
        portal,
    })
}

fn command(row: &Fields<'_>) -> Result<Option<CommandRef>, Failure> {
    let command_id: Option<i64> = row.get("command_id")?;
    command_id
        .map(|command_id| {
            Ok(CommandRef {
                command_id,
                message_id: row.get("message_id")?,
                user_id: row.get("user_id")?,
                typed: row.get("typed")?,
            })
        })
        .transpose()
}

/// The one number a query finds, which may be none.
fn lowest(
    connection: &Connection,
    query: &str,
    params: impl Params,
) -> Result<Option<u64>, Failure> {
    let mut select = prepare(connection, query)?;
    let seq: Option<i64> = select.query_row(params, |row| row.get(0))?;
    Ok(seq.map(i64::cast_unsigned))
}
