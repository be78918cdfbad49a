//! Reads the log from a position on: near its end from what all readers share, else from the store.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    entry::LogEntry,
    tail::{Found, Tail},
    view::View,
};
use crate::store::{self, Limit, Store};

/// Read at once from the store: small, because it is what a slow reader holds.
const PAGE: Limit = Limit {
    rows: 100,
    bytes: 256 << 10,
};

/// A place in the log.
#[derive(Debug)]
pub(super) struct Reader {
    store: Store,
    tail: Arc<Tail>,
    view: View,
    /// Everything up to here was looked at.
    looked: u64,
    bell: watch::Receiver<u64>,
}

/// What was read.
#[derive(Debug)]
pub(super) enum Read {
    /// What the view wants of a stretch of the log.
    Entries(Vec<Arc<LogEntry>>),
    /// Entries were removed before they could be read. Reading goes on behind them.
    Removed,
}

impl Reader {
    /// The bell should be as old as what `looked` was made of, so that nothing in between is missed.
    pub(super) fn new(
        store: Store,
        tail: Arc<Tail>,
        view: View,
        looked: u64,
        bell: watch::Receiver<u64>,
    ) -> Self {
        Self {
            store,
            tail,
            view,
            looked,
            bell,
        }
    }

    /// Everything up to here was looked at.
    pub(super) fn looked(&self) -> u64 {
        self.looked
    }

    /// Looks again at what comes after a number.
    pub(super) fn go_back(&mut self, seq: u64) {
        self.looked = seq;
    }

    /// Whether there is something to read.
    pub(super) fn is_behind(&mut self) -> bool {
        *self.bell.borrow_and_update() > self.looked
    }

    /// Waits until the log grows.
    pub(super) async fn grown(&mut self) {
        // Fails only when the store was closed, which the next read tells better.
        let _closed = self.bell.changed().await;
    }

    /// Reads a stretch.
    pub(super) async fn read(&mut self) -> Result<Read, store::Error> {
        if let Found::Page(entries, until) = self.tail.after(self.looked).await? {
            self.looked = until;
            let wanted = entries.into_iter().filter(|entry| self.view.wants(entry));
            return Ok(Read::Entries(wanted.collect()));
        }
        let page = self
            .store
            .read(self.looked, PAGE, self.view.filter())
            .await?;
        if page.floor > self.looked {
            // Retention was faster than this reader: it is told, and goes on with what is left.
            self.looked = page.floor;
            return Ok(Read::Removed);
        }
        self.looked = page.next_after;
        let entries = page.entries.into_iter().map(LogEntry::new).map(Arc::new);
        let wanted = entries.filter(|entry| self.view.wants(entry));
        Ok(Read::Entries(wanted.collect()))
    }
}
