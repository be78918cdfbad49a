//! Looks at subscriptions and changes what they keep.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tracing::info;

use super::{Member, Settings, Subscriptions, hub::message::Message};
use crate::{
    events::{Error, LogEntry},
    store::{
        Aside,
        deliveries::{Standing, Which},
    },
};

/// A subscription and how it is doing.
#[derive(Debug, Clone)]
pub struct Details {
    /// The caller it belongs to.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// What it is fixed to.
    pub settings: Settings,
    /// When it was made.
    pub created_at: Timestamp,
    /// Streams that are open.
    pub streams: usize,
    /// Events that are handed out.
    pub outstanding: usize,
    /// What the store knows of it.
    pub standing: Standing,
}

/// An event that was set aside.
#[derive(Debug)]
pub struct LaidAside {
    /// Its number in the log.
    pub seq: u64,
    /// The event; none when it was erased a moment ago.
    pub entry: Option<LogEntry>,
    /// How often it was handed out.
    pub handouts: u32,
    /// Why.
    pub why: Aside,
    /// When.
    pub at: Timestamp,
}

impl Subscriptions {
    /// The names of a caller's subscriptions, in order.
    #[must_use]
    pub fn names(&self, owner: &str) -> Vec<String> {
        let own = self.of(owner).into_iter();
        own.map(|member| member.name.clone()).collect()
    }

    /// The names of all subscriptions with their owners, in order.
    #[must_use]
    pub fn all(&self) -> Vec<(String, String)> {
        self.lock().by_name.keys().cloned().collect()
    }

    /// A subscription and how it is doing.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSubscription`], or when the store fails.
    pub async fn details(&self, owner: &str, name: &str) -> Result<Details, Error> {
        let member = self.named(owner, name)?;
        let counted = match Self::running(&member) {
            None => None,
            Some(mailbox) => {
                let (reply, counted) = oneshot::channel();
                // Nobody answers where the process stops.
                let _ = mailbox.send(Message::Count(reply));
                counted.await.ok()
            }
        };
        let scanned = counted.map_or(member.scanned, |counted| counted.scanned);
        let standing = self.0.store.standing(member.id, scanned).await?;
        let count = counted.map(|counted| counted.count).unwrap_or_default();
        Ok(Details {
            owner: member.owner.clone(),
            name: member.name.clone(),
            settings: member.settings.clone(),
            created_at: member.created_at,
            streams: count.streams,
            outstanding: count.outstanding,
            standing,
        })
    }

    /// Forgets a subscription; its streams end. Says whether there was one.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delete(&self, owner: &str, name: &str) -> Result<bool, Error> {
        let _alone = self.0.changing.lock().await;
        let Ok(member) = self.named(owner, name) else {
            return Ok(false);
        };
        self.0.store.forget_subscription(member.id).await?;
        self.lock().remove(&member);
        if let Some(mailbox) = Self::running(&member) {
            // It may have ended.
            let _ = mailbox.send(Message::End);
        }
        info!(
            caller = owner,
            subscription = name,
            "subscription is deleted"
        );
        Ok(true)
    }

    /// What was set aside, after a number, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSubscription`], or when the store fails.
    pub async fn laid_aside(
        &self,
        owner: &str,
        name: &str,
        why: Option<Aside>,
        (after, rows): (u64, usize),
    ) -> Result<Vec<LaidAside>, Error> {
        let member = self.named(owner, name)?;
        let store = &self.0.store;
        let mut found = Vec::new();
        for row in store.laid_aside(member.id, why, after, rows).await? {
            found.push(LaidAside {
                seq: row.seq,
                entry: store.find(row.seq).await?.map(LogEntry::new),
                handouts: row.handouts,
                why: row.why,
                at: row.at,
            });
        }
        Ok(found)
    }

    /// Hands out again what was set aside. Says how many.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSubscription`], or when the store fails.
    pub async fn redrive(&self, owner: &str, name: &str, which: Which) -> Result<usize, Error> {
        let member = self.named(owner, name)?;
        let redriven = self.0.store.redrive(member.id, which).await?;
        Self::reload(&member);
        Ok(redriven)
    }

    /// Forgets what was set aside. Says how many.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSubscription`], or when the store fails.
    pub async fn drop_aside(&self, owner: &str, name: &str, which: Which) -> Result<usize, Error> {
        let member = self.named(owner, name)?;
        Ok(self.0.store.drop_aside(member.id, which).await?)
    }

    fn reload(member: &Arc<Member>) {
        if let Some(mailbox) = Self::running(member) {
            // Where it has ended, its successor reads the store anyway.
            let _ = mailbox.send(Message::Reload);
        }
    }
}
