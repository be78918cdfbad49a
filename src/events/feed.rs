//! Reads the log for one reader, from a position on and for ever.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Cursor, Error, ears::Open, entry::LogEntry, reader::Reader, tail::Tail, view::View};
use crate::store::{Removed, Store};

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
    /// The number behind which it begins. What is missing there is another question.
    pub(super) async fn place(self, store: &Store) -> Result<u64, Error> {
        let head = store.head();
        Ok(match self {
            Self::Now => head,
            Self::Earliest => store.floor().await?,
            Self::Time(time) => store
                .seq_at(time)
                .await?
                .map_or(head, |seq| seq.saturating_sub(1)),
            Self::After(cursor) if cursor.log != store.log_id() => {
                return Err(Error::ForeignCursor);
            }
            Self::After(cursor) if cursor.seq > head => return Err(Error::CursorAhead),
            Self::After(cursor) => cursor.seq,
        })
    }
}

/// What a reader gets next.
#[derive(Debug)]
pub enum Next {
    /// An entry.
    Entry(Arc<LogEntry>),
    /// Entries of a bot were removed before they could be read.
    Removed(Removed),
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
    /// What is missing, to be told before what is in the buffer.
    missing: VecDeque<Removed>,
    stop: CancellationToken,
    /// Known as open as long as this is there.
    _open: Option<Open>,
}

impl Feed {
    pub(super) async fn open(
        store: Store,
        tail: Arc<Tail>,
        view: View,
        start: Start,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let (reader, missing) = Reader::open(store.clone(), tail, view, start).await?;
        Ok(Self {
            after: reader.looked(),
            reader,
            store,
            buffer: VecDeque::new(),
            missing: missing.into(),
            stop,
            _open: None,
        })
    }

    /// The same, known as open.
    pub(super) fn heard_by(self, open: Open) -> Self {
        Self {
            _open: Some(open),
            ..self
        }
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
            if let Some(removed) = self.missing.pop_front() {
                return Ok(Next::Removed(removed));
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
                // Apart: of the streams that wait each would keep room for it.
                let stretch = Box::pin(self.reader.read()).await?;
                self.after = self.after.max(stretch.floor);
                self.missing.extend(stretch.missing);
                self.buffer.extend(stretch.entries);
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
