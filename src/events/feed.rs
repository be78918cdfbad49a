//! Reads the log for one reader, from a position on and for ever.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Cursor, Error};
use crate::{
    ids::{BotCode, PortalId},
    store::{Filter, Limit, Store, Stored},
};

/// Read at once: small, because it is what a slow reader holds.
const PAGE: Limit = Limit {
    rows: 100,
    bytes: 256 << 10,
};

/// Which part of the log a reader sees.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Only this portal.
    pub portal: Option<PortalId>,
    /// Only these bots; empty for all.
    pub bots: Vec<BotCode>,
    /// Only slash commands.
    pub commands_only: bool,
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// With the oldest entry kept.
    Earliest,
    /// With what was received at this time or later.
    Time(Timestamp),
    /// Behind a position.
    After(Cursor),
}

/// What a reader gets next.
#[derive(Debug)]
pub enum Next {
    /// An entry.
    Entry(Box<Stored>),
    /// Entries were removed before they could be read.
    Removed,
    /// Nothing happened for the given time.
    Silence,
}

/// A reader's place in the log.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    view: View,
    /// Everything up to here was handed out or is of no interest.
    after: u64,
    buffer: VecDeque<Stored>,
    /// How far the log was looked through.
    looked: u64,
    bell: watch::Receiver<u64>,
    stop: CancellationToken,
}

impl Feed {
    pub(super) async fn open(
        store: Store,
        view: View,
        start: Start,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        // The bell first: what is appended while the start is looked up rings it.
        let bell = store.head_changed();
        let head = store.head();
        let floor = store.floor().await?;
        let after = match start {
            Start::Now => head,
            Start::Earliest => floor,
            Start::Time(time) => store
                .seq_at(time)
                .await?
                .map_or(head, |seq| seq.saturating_sub(1)),
            Start::After(cursor) if cursor.log != store.log_id() => {
                return Err(Error::ForeignCursor);
            }
            Start::After(cursor) if cursor.seq > head => return Err(Error::CursorAhead),
            Start::After(cursor) if cursor.seq < floor => return Err(Error::CursorExpired),
            Start::After(cursor) => cursor.seq,
        };
        Ok(Self {
            store,
            view,
            after,
            buffer: VecDeque::new(),
            looked: after,
            bell,
            stop,
        })
    }

    /// The position behind everything handed out so far.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor {
            log: self.store.log_id(),
            seq: self.after,
        }
    }

    /// The next entry, or silence.
    ///
    /// # Errors
    ///
    /// [`Error::Stopping`] at the end of the process, or when the store cannot be read.
    pub async fn next(&mut self, silence: Duration) -> Result<Next, Error> {
        let patience = Instant::now() + silence;
        loop {
            if self.stop.is_cancelled() {
                return Err(Error::Stopping);
            }
            if let Some(entry) = self.buffer.pop_front() {
                self.after = entry.seq;
                return Ok(Next::Entry(Box::new(entry)));
            }
            self.after = self.looked;
            if *self.bell.borrow_and_update() > self.looked {
                if let Some(removed) = self.read().await? {
                    return Ok(removed);
                }
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                // Fails only when the store was closed, which the next read tells better.
                _ = self.bell.changed() => {}
                () = sleep_until(patience) => return Ok(Next::Silence),
            }
        }
    }

    async fn read(&mut self) -> Result<Option<Next>, Error> {
        let filter = Filter {
            portal: self.view.portal.clone(),
            // One bot is the store's business, several are ours.
            code: match &self.view.bots[..] {
                [only] => Some(only.clone()),
                _ => None,
            },
            commands_only: self.view.commands_only,
        };
        let page = self.store.read(self.looked, PAGE, filter).await?;
        if page.floor > self.looked {
            // Retention was faster than this reader: it is told, and goes on with what is left.
            self.looked = page.floor;
            self.after = page.floor;
            return Ok(Some(Next::Removed));
        }
        self.looked = page.next_after;
        let bots = &self.view.bots;
        let wanted = |stored: &Stored| bots.is_empty() || bots.contains(&stored.code);
        self.buffer.extend(page.entries.into_iter().filter(wanted));
        Ok(None)
    }
}
