//! How every subscription is doing, as of now.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tokio::sync::{Mutex, oneshot};

use super::{
    Member, Subscriptions,
    hub::message::{Counted, Message},
};
use crate::{
    events::View,
    store::{self, SubscriptionId},
};

/// How a subscription is doing.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// The caller it belongs to; empty where callers are not told apart.
    pub caller: String,
    /// Its name.
    pub name: String,
    /// What it wants to see.
    pub view: View,
    /// Streams that are open.
    pub streams: usize,
    /// Events that are handed out.
    pub outstanding: usize,
    /// Events that wait or are handed out.
    pub unfinished: u64,
    /// Entries of the log that it did not look at, from the first that may be for it on.
    pub unread: u64,
    /// When the oldest event was received that is not done.
    pub oldest: Option<Timestamp>,
    /// Events that were set aside, by their reason.
    pub aside: BTreeMap<&'static str, u64>,
}

/// How far each was looked for what it did not look at itself, so that the log is passed once.
pub(super) type Surveyed = Mutex<HashMap<SubscriptionId, Unread>>;

/// The first event that a subscription did not look at.
#[derive(Default, Clone, Copy)]
pub(super) struct Unread {
    looked: u64,
    first: Option<(u64, Timestamp)>,
}

impl Subscriptions {
    /// How all are doing, by caller and name.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn survey(&self) -> Result<Vec<Survey>, store::Error> {
        let mut unread = self.0.surveyed.lock().await;
        let store = &self.0.store;
        let mut backlogs = store.backlogs().await?;
        let members: Vec<_> = self.lock().by_name.values().cloned().collect();
        unread.retain(|id, _| members.iter().any(|member| member.id == *id));
        let mut all = Vec::with_capacity(members.len());
        for member in members {
            let counted = Self::counted(&member).await;
            let scanned = counted.map_or(member.scanned, |counted| counted.scanned);
            let backlog = backlogs.remove(&member.id).unwrap_or_default();
            let first = unread.entry(member.id).or_default();
            let first = self.first_unread(&member, scanned, first).await?;
            let behind = first.map_or(0, |(seq, _)| (store.head() + 1).saturating_sub(seq));
            let oldest = backlog.oldest.into_iter();
            let count = counted.map(|counted| counted.count).unwrap_or_default();
            all.push(Survey {
                caller: member.owner.clone(),
                name: member.name.clone(),
                view: member.settings.view.clone(),
                streams: count.streams,
                outstanding: count.outstanding,
                unfinished: backlog.unfinished,
                unread: behind,
                oldest: oldest.chain(first.map(|(_, at)| at)).min(),
                aside: backlog.aside,
            });
        }
        Ok(all)
    }

    async fn counted(member: &Member) -> Option<Counted> {
        let mailbox = Self::running(member)?;
        let (reply, counted) = oneshot::channel();
        mailbox.send(Message::Count(reply)).ok()?;
        counted.await.ok()
    }

    /// The first event that a subscription did not look at and that is for it, as far as the store can
    /// judge. Goes on where it ended the last time.
    async fn first_unread(
        &self,
        member: &Member,
        scanned: u64,
        known: &mut Unread,
    ) -> Result<Option<(u64, Timestamp)>, store::Error> {
        if known.first.is_some_and(|(seq, _)| seq > scanned) {
            return Ok(known.first);
        }
        let after = known.looked.max(scanned);
        let filter = member.settings.view.filter();
        let first = self.0.store.first_after(after, filter).await?;
        (known.looked, known.first) = (first.looked, first.found);
        Ok(first.found)
    }
}
