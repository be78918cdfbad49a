//! The newest part of the log, in memory, for all readers who are up to date.
//!
//! Whoever is first to need what was appended reads it from the store, and everybody else finds it here:
//! a thousand streams cost one read. It is bounded, and who has fallen behind it reads the store.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use super::entry::LogEntry;
use crate::store::{self, Filter, Limit, Store};

/// Kept at most.
const ENTRIES: usize = 4096;
const BYTES: usize = 4 << 20;

/// Read from the store at once.
const READ: Limit = Limit {
    rows: 500,
    bytes: 1 << 20,
};

/// Given at once.
const PAGE: usize = 100;

/// The newest part of the log.
#[derive(Debug)]
pub(super) struct Tail {
    store: Store,
    ring: Mutex<Ring>,
    /// One reads from the store.
    reading: tokio::sync::Mutex<()>,
}

/// What comes after a position.
#[derive(Debug)]
pub(super) enum Found {
    /// These, and everything up to the number was looked at.
    Page(Vec<Arc<LogEntry>>, u64),
    /// Part of it is not here any more.
    Behind,
}

/// Everything after one number and up to another.
#[derive(Debug)]
struct Ring {
    entries: VecDeque<Arc<LogEntry>>,
    bytes: usize,
    after: u64,
    until: u64,
    /// Removals that it has heard of.
    removals: u64,
}

impl Tail {
    pub(super) fn new(store: Store) -> Self {
        let head = store.head();
        let removals = store.removals();
        Self {
            store,
            ring: Mutex::new(Ring {
                entries: VecDeque::new(),
                bytes: 0,
                after: head,
                until: head,
                removals,
            }),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// What comes after a number, of all portals and bots.
    pub(super) async fn after(&self, seq: u64) -> Result<Found, store::Error> {
        if let Some(found) = self.look(seq) {
            return Ok(found);
        }
        let _alone = self.reading.lock().await;
        if let Some(found) = self.look(seq) {
            return Ok(found);
        }
        let removals = self.store.removals();
        let page = self.store.read(seq, READ, Filter::default()).await?;
        if page.floor > seq || !page.removed.is_empty() {
            return Ok(Found::Behind);
        }
        let read = page.entries.into_iter().map(LogEntry::new).map(Arc::new);
        let read: Vec<_> = read.collect();
        let mut ring = self.lock();
        ring.extend(seq, page.next_after, read, removals);
        drop(ring);
        Ok(self.look(seq).unwrap_or(Found::Behind))
    }

    /// What is here; `None` when it must be read first.
    fn look(&self, seq: u64) -> Option<Found> {
        let mut ring = self.lock();
        let removals = self.store.removals();
        if ring.removals != removals {
            let until = ring.until;
            ring.clear(until);
            ring.removals = removals;
        }
        if seq < ring.after {
            return Some(Found::Behind);
        }
        if seq >= ring.until {
            return None;
        }
        let first = ring.entries.partition_point(|entry| entry.seq <= seq);
        let mut page: Vec<_> = ring
            .entries
            .range(first..)
            .take(PAGE + 1)
            .cloned()
            .collect();
        let until = if page.len() > PAGE {
            page.pop();
            page.last().map_or(ring.until, |entry| entry.seq)
        } else {
            ring.until
        };
        Some(Found::Page(page, until))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Adds what was read after a number; what was there before goes where it does not join on.
    fn extend(&mut self, after: u64, until: u64, read: Vec<Arc<LogEntry>>, removals: u64) {
        if self.until != after || self.removals != removals {
            self.clear(after);
            self.removals = removals;
        }
        self.until = until;
        for entry in read {
            self.bytes += entry.bytes;
            self.entries.push_back(entry);
        }
        // The newest one stays, however large.
        while self.entries.len() > 1 && (self.entries.len() > ENTRIES || self.bytes > BYTES) {
            if let Some(oldest) = self.entries.pop_front() {
                self.bytes -= oldest.bytes;
                self.after = oldest.seq;
            }
        }
    }

    fn clear(&mut self, after: u64) {
        self.entries.clear();
        self.bytes = 0;
        self.after = after;
        self.until = after;
    }
}
