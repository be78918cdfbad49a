//! Keeps events from being handed to somebody else while they are answered.

use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};

use super::{AckId, Subscriptions, board::HoldId, hub::message::Message};
use crate::{events::Error, store::SubscriptionId};

/// An event that is being answered. Until this is dropped nobody else is handed it in the subscriptions
/// concerned.
#[derive(Debug)]
pub struct Held {
    seq: u64,
    hold: HoldId,
    told: Vec<Told>,
    over: bool,
    /// Whether the handing-out that was named goes on.
    pub is_current: bool,
}

/// A subscription that was told.
#[derive(Debug)]
struct Told {
    id: SubscriptionId,
    mailbox: mpsc::UnboundedSender<Message>,
    /// The event is done there with its answer.
    settles: bool,
}

impl Subscriptions {
    /// Holds the event of a delivery.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignAckId`] or [`Error::UnknownSubscription`].
    pub async fn hold(&self, owner: &str, ack: &AckId) -> Result<Held, Error> {
        let member = self.owning(owner, ack)?;
        let mut held = self.held(ack.seq);
        let told = Told {
            id: member.id,
            mailbox: self.mailbox(&member),
            settles: true,
        };
        held.is_current = held.tell(told, Some(ack.attempt)).await.unwrap_or(true);
        Ok(held)
    }

    /// Holds an event in those subscriptions of a caller that were made to answer commands and have it
    /// handed out.
    pub async fn hold_event(&self, owner: &str, seq: u64) -> Held {
        let mut held = self.held(seq);
        for member in self.of(owner) {
            let Some(mailbox) = Self::running(&member).filter(|_| member.for_commands) else {
                continue;
            };
            let told = Told {
                id: member.id,
                mailbox,
                settles: false,
            };
            let is_out = held.tell(told, None).await;
            if let Some(last) = held.told.last_mut() {
                last.settles = is_out == Some(true);
            }
        }
        held
    }

    fn held(&self, seq: u64) -> Held {
        Held {
            seq,
            hold: HoldId(self.0.holds.fetch_add(1, Ordering::Relaxed)),
            told: Vec::new(),
            over: false,
            is_current: true,
        }
    }
}

impl Held {
    /// The subscriptions in which the event is done with its answer.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<SubscriptionId> {
        self.settling().map(|told| told.id).collect()
    }

    /// Tells a hub, and hears whether the event is handed out; nothing where the process stops. Whoever
    /// stops waiting for that lets go as well.
    async fn tell(&mut self, told: Told, attempt: Option<u32>) -> Option<bool> {
        let (reply, answer) = oneshot::channel();
        let hold = Message::Hold {
            seq: self.seq,
            hold: self.hold,
            attempt,
            reply,
        };
        let said = told.mailbox.send(hold);
        self.told.push(told);
        said.ok()?;
        answer.await.ok()
    }

    fn settling(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|told| told.settles)
    }

    /// The event is done, which the store is still to learn. Where it cannot, the event comes again.
    pub async fn is_done(self) {
        for told in self.settling() {
            let (reply, stored) = oneshot::channel();
            let seqs = vec![self.seq];
            if told.mailbox.send(Message::Done { seqs, reply }).is_ok() {
                // Told where it failed.
                let _ = stored.await;
            }
        }
    }

    /// The store knows that the event is not to be handed out again.
    pub fn is_over(mut self) {
        self.over = true;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (seq, hold) = (self.seq, self.hold);
        for told in &self.told {
            let over = self.over && told.settles;
            // Where the process stops nobody is handed anything.
            let _ = told.mailbox.send(Message::LetGo { seq, hold, over });
        }
    }
}
