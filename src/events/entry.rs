//! An entry of the log as readers share it: unsealed and read once, however many are told.

use jiff::Timestamp;

use crate::{
    ids::{BotCode, DialogId, PortalId},
    portal::wire::{self, Unreadable, event::Body},
    store::{self, Stored},
};

/// An entry of the log.
#[derive(Debug)]
pub struct LogEntry {
    /// Its number.
    pub seq: u64,
    /// The portal.
    pub portal: PortalId,
    /// The bot.
    pub code: BotCode,
    /// When we learned of it.
    pub received_at: Timestamp,
    /// What it is.
    pub item: LogItem,
    /// What it takes up, in bytes, as the portal sent it.
    pub bytes: usize,
}

/// What an entry is.
#[derive(Debug)]
pub enum LogItem {
    /// Something happened.
    Event(Box<Happened>),
    /// Something may have happened that we do not know of.
    Gap(store::Gap),
}

/// Something that happened.
#[derive(Debug)]
pub struct Happened {
    /// The Bitrix24 type, verbatim.
    pub kind: String,
    /// The dialog it happened in.
    pub dialog: Option<DialogId>,
    /// When, by the portal's clock.
    pub happened_at: Timestamp,
    /// The W3C `traceparent` of its arrival.
    pub trace_context: Option<String>,
    /// Whether it is a command.
    pub is_command: bool,
    /// What it says. It could be read when it was stored; this release may not be able to.
    pub event: Result<wire::Event, Unreadable>,
}

impl LogEntry {
    pub(super) fn new(stored: Stored) -> Self {
        let (bytes, item) = match stored.entry.item {
            store::Item::Gap(gap) => (0, LogItem::Gap(gap)),
            store::Item::Event(event) => {
                let value = serde_json::from_slice(&event.body.0).unwrap_or_default();
                let happened = Happened {
                    event: wire::Event::from_item(&value),
                    kind: event.kind,
                    dialog: event.dialog,
                    happened_at: event.happened_at,
                    trace_context: event.trace_context,
                    is_command: event.command.is_some(),
                };
                (event.body.0.len(), LogItem::Event(Box::new(happened)))
            }
        };
        Self {
            seq: stored.seq,
            portal: stored.portal,
            code: stored.code,
            received_at: stored.entry.received_at,
            item,
            bytes,
        }
    }
}

impl Happened {
    /// The name of the command that was called, without the leading `/`.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match &self.event {
            Ok(wire::Event {
                body: Body::CommandAdd { command, .. },
                ..
            }) => Some(command.name()),
            _ => None,
        }
    }
}
