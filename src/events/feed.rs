//! Reads the log for one reader, from a position on and for ever.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Cursor, Error};
use crate::{
    ids::{BotCode, PortalId},
    store::{Filter, Limit, Removed, Store, Stored},
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
    /// Entries of a bot were removed before they could be read.
    Removed(Removed),
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
    /// What is missing, to be told before what is in the buffer.
    missing: VecDeque<Removed>,
    /// Up to where it was told of each bot that entries are missing.
    told: HashMap<(PortalId, BotCode), u64>,
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
            Start::After(cursor) => cursor.seq,
        };
        let mut feed = Self {
            store,
            view,
            after,
            buffer: VecDeque::new(),
            missing: VecDeque::new(),
            told: HashMap::new(),
            looked: after,
            bell,
            stop,
        };
        match start {
            Start::Now => {}
            Start::Earliest => {
                // Whoever asks for what there is does not miss what there is not.
                let removed = feed.removed(0).await?;
                feed.told.extend(removed.into_iter().map(told));
            }
            Start::Time(time) => {
                let removed = feed.removed(0).await?.into_iter();
                let removed = removed.filter(|bot| bot.until >= time);
                feed.miss(removed.map(|bot| Removed {
                    from: Some(time),
                    ..bot
                }));
            }
            Start::After(_) if after < floor => feed.only_if_nothing_is_missing().await?,
            Start::After(_) => {}
        }
        Ok(feed)
    }

    /// A cursor from before everything that is kept is good only for a view in which nothing is missing.
    async fn only_if_nothing_is_missing(&self) -> Result<(), Error> {
        let known = self.store.removed_of_anybody().await? <= self.after;
        if known && self.removed(self.after).await?.is_empty() {
            return Ok(());
        }
        Err(Error::CursorExpired)
    }

    /// Bots of this view of which entries behind a number were removed.
    async fn removed(&self, after: u64) -> Result<Vec<Removed>, Error> {
        let mut removed = self.store.removed(after, self.filter()).await?;
        removed.retain(|bot| self.wants(&bot.code));
        Ok(removed)
    }

    /// Tells of what was removed, unless that was told before.
    fn miss(&mut self, removed: impl IntoIterator<Item = Removed>) {
        for bot in removed {
            let (name, floor) = told(bot.clone());
            if self.told.get(&name).is_none_or(|told| *told < floor) {
                self.told.insert(name, floor);
                self.missing.push_back(bot);
            }
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
                return Ok(Next::Entry(Box::new(entry)));
            }
            self.after = self.looked;
            if *self.bell.borrow_and_update() > self.looked {
                self.read().await?;
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

    async fn read(&mut self) -> Result<(), Error> {
        let page = self.store.read(self.looked, PAGE, self.filter()).await?;
        // Retention was faster than this reader: it is told, and goes on with what is left.
        let removed = page.removed.into_iter();
        let removed: Vec<_> = removed.filter(|bot| self.wants(&bot.code)).collect();
        self.miss(removed);
        self.after = self.after.max(page.floor.min(page.next_after));
        self.looked = page.next_after;
        self.told.retain(|_, floor| *floor > page.next_after);
        let entries = page.entries.into_iter();
        let wanted: Vec<_> = entries.filter(|stored| self.wants(&stored.code)).collect();
        self.buffer.extend(wanted);
        Ok(())
    }

    fn filter(&self) -> Filter {
        Filter {
            portal: self.view.portal.clone(),
            // One bot is the store's business, several are ours.
            code: match &self.view.bots[..] {
                [only] => Some(only.clone()),
                _ => None,
            },
            commands_only: self.view.commands_only,
        }
    }

    fn wants(&self, code: &BotCode) -> bool {
        self.view.bots.is_empty() || self.view.bots.contains(code)
    }
}

fn told(removed: Removed) -> ((PortalId, BotCode), u64) {
    ((removed.portal, removed.code), removed.floor)
}
