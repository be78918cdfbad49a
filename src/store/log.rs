//! The event log: everything that happened, in one order, until its retention ends.
//!
//! Entries are numbered in the order they were committed, so a reader that has seen number `n` has
//! seen everything below it. Numbers are never given twice. Of each bot history is removed from the
//! oldest end only, and the log remembers up to where.
//!
//! Invariant: entries and the poll offset that acknowledges them are one transaction.

mod append;
mod read;
mod removed;
mod retain;

use std::fmt;

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, params};
use tokio::sync::watch;

use super::{Store, sqlite::Failure};
use crate::ids::{BotCode, DialogId, PortalId};

pub(super) use self::{append::insert, retain::STEP};

/// Tells one log from another: made at random with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub u64);

/// The content of an event. Sealed at rest, and never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Body(pub Vec<u8>);

/// What to add to the log in one transaction.
#[derive(Debug, Clone)]
pub struct Append {
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub code: BotCode,
    /// What happened, oldest first. May be empty.
    pub entries: Vec<Entry>,
    /// The offset of the bot's next poll; `None` leaves it.
    pub next_offset: Option<i64>,
    /// When the poll that brought this succeeded; `None` leaves what is known.
    pub polled_at: Option<Timestamp>,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The portal's id of the bot at that time.
    pub bot_id: i64,
    /// When we learned of it, by our clock. Kept to the microsecond, as all times here.
    pub received_at: Timestamp,
    /// What it is.
    pub item: Item,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Something happened in the portal.
    Event(Event),
    /// Something may have happened that we do not know of.
    Gap(Gap),
}

/// Something that happened in a portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Names the event within its portal: a second one with the same key is skipped.
    pub dedupe_key: String,
    /// The Bitrix24 type, verbatim.
    pub kind: String,
    /// The dialog it happened in.
    pub dialog: Option<DialogId>,
    /// When it happened, by the portal's clock.
    pub happened_at: Timestamp,
    /// The W3C `traceparent` of its arrival.
    pub trace_context: Option<String>,
    /// The ids an answer needs, when it is a command.
    pub command: Option<CommandRef>,
    /// Its content.
    pub body: Body,
}

/// The ids of a command as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandRef {
    /// The registered command.
    pub command_id: i64,
    /// The message that holds it.
    pub message_id: i64,
    /// Who typed it; 0 when that is not told.
    pub user_id: i64,
    /// Typed, not a button or a menu.
    pub typed: bool,
}

/// A stretch of time of which we may not know everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins; `None` when that is not known.
    pub from: Option<Timestamp>,
    /// Where it ends.
    pub until: Timestamp,
    /// The published name of the reason.
    pub why: String,
}

/// What became of an [`Append`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Numbers of the first and last new entry; `None` when nothing was new.
    pub seqs: Option<(u64, u64)>,
    /// How many entries were new.
    pub appended: usize,
    /// How many of them are commands.
    pub commands: usize,
    /// How many events were known already and skipped.
    pub duplicates: usize,
    /// The newest number of the log after this append.
    pub head: u64,
}

/// An event nobody could read, kept for an operator. Never streamed; sealed at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub code: BotCode,
    /// Names it within its portal: setting it aside again changes nothing.
    pub dedupe_key: String,
    /// Why it could not be read. Holds nothing of its content.
    pub why: String,
    /// The event as it came.
    pub body: Body,
    /// When it came.
    pub at: Timestamp,
}

/// An entry with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub seq: u64,
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub code: BotCode,
    /// The entry.
    pub entry: Entry,
}

/// How much one page may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Most entries.
    pub rows: usize,
    /// Most bytes of bodies; the first entry is given however large it is.
    pub bytes: usize,
}

/// Which entries a reader wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this portal.
    pub portal: Option<PortalId>,
    /// Only this bot.
    pub code: Option<BotCode>,
    /// Only commands, and gaps, in which commands may be missing.
    pub commands_only: bool,
}

/// A stretch of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What matched, in order.
    pub entries: Vec<Stored>,
    /// How far the log was looked through, even if nothing matched: where to read on. The reader
    /// has caught up when this equals `head`.
    pub next_after: u64,
    /// The newest number at the time of reading.
    pub head: u64,
    /// Everything up to this number was removed: a reader that asked for what is after a lower one has
    /// nothing more to expect up to here.
    pub floor: u64,
    /// Of which bots entries were removed behind the number that the reader asked for.
    pub removed: Vec<Removed>,
}

/// Entries of a bot that retention removed before somebody read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub code: BotCode,
    /// The number of the newest that was removed. None of the bot is left up to here.
    pub floor: u64,
    /// They were received after this; `None` when that is not known.
    pub from: Option<Timestamp>,
    /// When the newest of them was received.
    pub until: Timestamp,
}

/// What the entries of a bot weigh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotTotal {
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub code: BotCode,
    /// Bytes, about.
    pub bytes: u64,
}

/// A command typed lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentCommand {
    /// Its number in the log.
    pub seq: u64,
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub code: BotCode,
    /// The portal's id of the bot.
    pub bot_id: i64,
    /// The dialog it was typed in.
    pub dialog: DialogId,
    /// Its ids.
    pub command: CommandRef,
    /// When it was typed, by the portal's clock.
    pub happened_at: Timestamp,
    /// When we learned of it.
    pub received_at: Timestamp,
}

/// What retention removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Entries removed.
    pub entries: u64,
    /// Everything up to this number was removed, now or earlier; 0 when nothing ever was.
    pub floor: u64,
}

impl Store {
    /// Tells this log from another: a cursor of another log means nothing here.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.inner.log_id
    }

    /// The newest number of the log; 0 when nothing was ever appended.
    #[must_use]
    pub fn head(&self) -> u64 {
        *self.inner.head.borrow()
    }

    /// Rings when the log has grown; what it carries is the newest number.
    #[must_use]
    pub fn head_changed(&self) -> watch::Receiver<u64> {
        self.inner.head.clone()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

const TABLE: &str = "log";
const ASIDE: &str = "unreadable";

/// A number the log keeps about itself.
pub(super) fn meta(connection: &Connection, name: &str) -> Result<i64, Failure> {
    let mut select = prepare(connection, "SELECT value FROM meta WHERE name = ?1")?;
    Ok(select.query_row([name], |row| row.get(0))?)
}

pub(super) fn add_to_meta(connection: &Connection, name: &str, more: i64) -> Result<(), Failure> {
    prepare(
        connection,
        "UPDATE meta SET value = value + ?2 WHERE name = ?1",
    )?
    .execute(params![name, more])?;
    Ok(())
}

/// Every statement of the log is prepared here, so that a test can look at how SQLite runs them all.
pub(super) fn prepare<'a>(
    connection: &'a Connection,
    statement: &str,
) -> rusqlite::Result<CachedStatement<'a>> {
    #[cfg(test)]
    super::tests::plans::note(statement);
    connection.prepare_cached(statement)
}

/// A count as SQLite takes it; what is beyond it is as good as endless.
fn sql(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
