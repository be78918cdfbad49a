//! Reads the log from a position on: near its end from what all readers share, else from the store.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::watch;

use super::{
    Error, Start,
    entry::LogEntry,
    tail::{Found, Tail},
    view::View,
};
use crate::{
    ids::{BotCode, PortalId},
    store::{self, Limit, Removed, Store},
};

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
    /// Up to where it was told of each bot that entries are missing.
    told: HashMap<(PortalId, BotCode), u64>,
    bell: watch::Receiver<u64>,
}

/// A stretch of the log.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// Bots of which entries were removed before they could be read, and that was not told before.
    pub(super) missing: Vec<Removed>,
    /// What the view wants.
    pub(super) entries: Vec<Arc<LogEntry>>,
    /// Nothing of anybody is left up to here.
    pub(super) floor: u64,
}

impl Reader {
    /// A reader that has looked at everything up to a number.
    pub(super) fn new(store: Store, tail: Arc<Tail>, view: View, looked: u64) -> Self {
        let bell = store.head_changed();
        Self {
            store,
            tail,
            view,
            looked,
            told: HashMap::new(),
            bell,
        }
    }

    /// A reader from a start on, and what is missing there already.
    pub(super) async fn open(
        store: Store,
        tail: Arc<Tail>,
        view: View,
        start: Start,
    ) -> Result<(Self, Vec<Removed>), Error> {
        let after = start.place(&store).await?;
        let mut reader = Self::new(store, tail, view, after);
        let missing = match start {
            Start::Now => Vec::new(),
            Start::Earliest => {
                // Whoever asks for what there is does not miss what there is not.
                let removed = reader.removed(0).await?;
                reader.told.extend(removed.into_iter().map(told));
                Vec::new()
            }
            Start::Time(time) => {
                let removed = reader.removed(0).await?.into_iter();
                let removed = removed.filter(|bot| bot.until >= time);
                let removed = removed.map(|bot| Removed {
                    from: Some(time),
                    ..bot
                });
                let removed = removed.collect();
                reader.untold(removed)
            }
            Start::After(_) => {
                if after < reader.store.floor().await? {
                    reader.only_if_nothing_is_missing().await?;
                }
                Vec::new()
            }
        };
        Ok((reader, missing))
    }

    /// A cursor from before everything that is kept is good only for a view in which nothing is missing.
    async fn only_if_nothing_is_missing(&self) -> Result<(), Error> {
        let known = self.store.removed_of_anybody().await? <= self.looked;
        if known && self.removed(self.looked).await?.is_empty() {
            return Ok(());
        }
        Err(Error::CursorExpired)
    }

    /// Bots of this view of which entries behind a number were removed.
    async fn removed(&self, after: u64) -> Result<Vec<Removed>, store::Error> {
        let mut removed = self.store.removed(after, self.view.filter()).await?;
        removed.retain(|bot| self.view.shows_bot(&bot.code));
        Ok(removed)
    }

    /// What of this was not told before.
    fn untold(&mut self, removed: Vec<Removed>) -> Vec<Removed> {
        let mut untold = Vec::new();
        for bot in removed {
            let (name, floor) = told(bot.clone());
            if self.told.get(&name).is_none_or(|told| *told < floor) {
                self.told.insert(name, floor);
                untold.push(bot);
            }
        }
        untold
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
    pub(super) async fn read(&mut self) -> Result<Stretch, store::Error> {
        if let Found::Page(entries, until) = self.tail.after(self.looked).await? {
            self.looked = until;
            let wanted = entries.into_iter().filter(|entry| self.view.wants(entry));
            return Ok(Stretch {
                entries: wanted.collect(),
                ..Stretch::default()
            });
        }
        let page = self
            .store
            .read(self.looked, PAGE, self.view.filter())
            .await?;
        // Retention was faster than this reader: it is told, and goes on with what is left.
        let removed = page.removed.into_iter();
        let removed = removed.filter(|bot| self.view.shows_bot(&bot.code));
        let removed = removed.collect();
        let missing = self.untold(removed);
        self.looked = page.next_after;
        self.told.retain(|_, floor| *floor > page.next_after);
        let entries = page.entries.into_iter().map(LogEntry::new).map(Arc::new);
        let wanted = entries.filter(|entry| self.view.wants(entry));
        Ok(Stretch {
            missing,
            entries: wanted.collect(),
            floor: page.floor.min(page.next_after),
        })
    }
}

fn told(removed: Removed) -> ((PortalId, BotCode), u64) {
    ((removed.portal, removed.code), removed.floor)
}
