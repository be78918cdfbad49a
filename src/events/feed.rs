//! Reads the log for one reader, from a position on and for ever.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Cursor, Error,
    entry::LogEntry,
    reader::{Read, Reader},
    tail::Tail,
    view::View,
};
use crate::store::Store;

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

impl Start {
    /// The number behind which it begins.
    pub(super) async fn place(self, store: &Store) -> Result<u64, Error> {
        let head = store.head();
        let floor = store.floor().await?;
        Ok(match self {
            Self::Now => head,
            Self::Earliest => floor,
            Self::Time(time) => store
                .seq_at(time)
                .await?
                .map_or(head, |seq| seq.saturating_sub(1)),
            Self::After(cursor) if cursor.log != store.log_id() => {
                return Err(Error::ForeignCursor);
            }
            Self::After(cursor) if cursor.seq > head => return Err(Error::CursorAhead),
            Self::After(cursor) if cursor.seq < floor => return Err(Error::CursorExpired),
            Self::After(cursor) => cursor.seq,
        })
    }
}

/// What a reader gets next.
#[derive(Debug)]
pub enum Next {
    /// An entry.
    Entry(Arc<LogEntry>),
    /// Entries were removed before they could be read.
    Removed,
    /// Nothing happened for the given time.
    Silence,
}

/// A reader's place in the log.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    reader: Reader,
    /// Everything up to here was handed out or is of no interest.
    after: u64,
    buffer: VecDeque<Arc<LogEntry>>,
    stop: CancellationToken,
}

impl Feed {
    pub(super) async fn open(
        store: Store,
        tail: Arc<Tail>,
        view: View,
        start: Start,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        // The bell first: what is appended while the start is looked up rings it.
        let bell = store.head_changed();
        let after = start.place(&store).await?;
        Ok(Self {
            reader: Reader::new(store.clone(), tail, view, after, bell),
            store,
            after,
            buffer: VecDeque::new(),
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
                if self.buffer.is_empty() {
                    // An idle stream holds nothing.
                    self.buffer = VecDeque::new();
                }
                return Ok(Next::Entry(entry));
            }
            self.after = self.reader.looked();
            if self.reader.is_behind() {
                match self.reader.read().await? {
                    Read::Entries(entries) => self.buffer.extend(entries),
                    Read::Removed => {
                        self.after = self.reader.looked();
                        return Ok(Next::Removed);
                    }
                }
                continue;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.reader.grown() => {}
                () = sleep_until(patience) => return Ok(Next::Silence),
            }
        }
    }
}
