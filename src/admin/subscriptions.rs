//! Named subscriptions: what they hold, and what an operator does about it.

use super::{AsideLine, Done, Error, Keeper, SubscriptionLine, keeper::refused};
use crate::{
    events::cursor::{Cursor, EventId},
    store::{
        Item, Subscription,
        deliveries::{Standing, Which},
    },
};

/// Most events told at once.
const TOLD: usize = 1000;

impl Keeper {
    pub(super) async fn list_subscriptions(&self) -> Result<Done, Error> {
        let mut kept = self.store.subscriptions().await?;
        kept.sort_by(|a, b| (&a.owner, &a.name).cmp(&(&b.owner, &b.name)));
        let mut subscriptions = Vec::new();
        for subscription in kept {
            subscriptions.push(self.subscription_line(subscription).await?);
        }
        Ok(Done::Subscriptions { subscriptions })
    }

    async fn subscription_line(&self, kept: Subscription) -> Result<SubscriptionLine, Error> {
        let live = match &self.live {
            None => None,
            Some(live) => live
                .subscriptions
                .details(&kept.owner, &kept.name)
                .await
                .ok(),
        };
        let standing = match &live {
            Some(details) => details.standing,
            None => self.store.standing(kept.id, kept.scanned).await?,
        };
        let Standing {
            unfinished,
            oldest_received,
            set_aside,
            expired,
            unread,
        } = standing;
        Ok(SubscriptionLine {
            caller: kept.owner,
            name: kept.name,
            streams: live.as_ref().map(|details| details.streams),
            outstanding: live.as_ref().map(|details| details.outstanding),
            unfinished,
            oldest_received,
            set_aside,
            expired,
            unread,
        })
    }

    pub(super) async fn list_aside(&self, caller: &str, name: &str) -> Result<Done, Error> {
        let kept = self.kept(caller, name).await?;
        let log = self.store.log_id();
        let mut events = Vec::new();
        for row in self.store.laid_aside(kept.id, None, 0, TOLD).await? {
            let stored = self.store.find(row.seq).await?;
            let kind = stored.as_ref().and_then(|stored| match &stored.entry.item {
                Item::Event(event) => Some(event.kind.clone()),
                Item::Gap(_) => None,
            });
            let at = Cursor { log, seq: row.seq };
            events.push(AsideLine {
                event_id: EventId(at).to_string(),
                portal: stored.as_ref().map(|stored| stored.portal.to_string()),
                bot: stored.as_ref().map(|stored| stored.code.to_string()),
                kind,
                why: row.why.as_str().to_owned(),
                attempts: row.handouts,
                at: row.at,
            });
        }
        Ok(Done::SetAside { events })
    }

    pub(super) async fn delete_subscription(
        &self,
        caller: &str,
        name: &str,
    ) -> Result<Done, Error> {
        let kept = self.kept(caller, name).await?;
        match &self.live {
            Some(live) => {
                let deleted = live.subscriptions.delete(caller, name).await;
                deleted.map(drop).map_err(refused)?;
            }
            None => self.store.forget_subscription(kept.id).await?,
        }
        Ok(Done::SubscriptionDeleted {})
    }

    pub(super) async fn redrive(
        &self,
        caller: &str,
        name: &str,
        events: &[String],
    ) -> Result<Done, Error> {
        let kept = self.kept(caller, name).await?;
        let which = self.which(events)?;
        let count = match &self.live {
            Some(live) => {
                let redriven = live.subscriptions.redrive(caller, name, which).await;
                redriven.map_err(refused)?
            }
            None => self.store.redrive(kept.id, which).await?,
        };
        Ok(Done::EventsRedriven { count })
    }

    pub(super) async fn drop_events(
        &self,
        caller: &str,
        name: &str,
        events: &[String],
    ) -> Result<Done, Error> {
        let kept = self.kept(caller, name).await?;
        let which = self.which(events)?;
        let count = self.store.drop_aside(kept.id, which).await?;
        Ok(Done::EventsDropped { count })
    }

    async fn kept(&self, caller: &str, name: &str) -> Result<Subscription, Error> {
        let mut all = self.store.subscriptions().await?.into_iter();
        let found = all.find(|it| it.owner == caller && it.name == name);
        found.ok_or_else(|| {
            let whose = if caller.is_empty() {
                "that belongs to no caller (--caller names one)".to_owned()
            } else {
                format!("of caller `{caller}`")
            };
            refused(format!("there is no subscription `{name}` {whose}"))
        })
    }

    /// These events, or all.
    fn which(&self, events: &[String]) -> Result<Which, Error> {
        if events.is_empty() {
            return Ok(Which::All);
        }
        let seq = |text: &String| match text.parse::<EventId>() {
            Ok(EventId(at)) if at.log == self.store.log_id() => Ok(at.seq),
            Ok(_) => Err(refused(format!("`{text}` belongs to another event log"))),
            Err(rule) => Err(refused(format!("`{text}` {rule}"))),
        };
        let seqs = events.iter().map(seq).collect::<Result<_, _>>()?;
        Ok(Which::These(seqs))
    }
}
