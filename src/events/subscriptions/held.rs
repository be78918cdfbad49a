//! Keeps events from being handed to somebody else while they are answered.

use tokio::sync::{mpsc, oneshot};

use super::{AckId, Subscriptions, hub::Message};
use crate::{events::Error, store::SubscriptionId};

/// An event that is being answered. Until this is dropped nobody else is handed it in the subscriptions
/// concerned.
#[derive(Debug)]
pub struct Held {
    seq: u64,
    held: Vec<(SubscriptionId, mpsc::UnboundedSender<Message>)>,
    over: bool,
    /// Whether the handing-out that was named goes on.
    pub is_current: bool,
}

impl Subscriptions {
    /// Holds the event of a delivery.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignAckId`] or [`Error::UnknownSubscription`].
    pub async fn hold(&self, owner: &str, ack: &AckId) -> Result<Held, Error> {
        let member = self.owning(owner, ack)?;
        let mailbox = self.mailbox(&member);
        let (reply, told) = oneshot::channel();
        let hold = Message::Hold {
            seq: ack.seq,
            attempt: Some(ack.attempt),
            reply,
        };
        // Where the process stops nobody is handed anything.
        let _ = mailbox.send(hold);
        Ok(Held {
            seq: ack.seq,
            held: vec![(member.id, mailbox)],
            over: false,
            is_current: told.await.unwrap_or(true),
        })
    }

    /// Holds an event in those subscriptions of a caller that were made to answer commands and have it
    /// handed out.
    pub async fn hold_event(&self, owner: &str, seq: u64) -> Held {
        let mut held = Vec::new();
        for member in self.of(owner) {
            let Some(mailbox) = Self::running(&member).filter(|_| member.for_commands) else {
                continue;
            };
            let (reply, told) = oneshot::channel();
            let hold = Message::Hold {
                seq,
                attempt: None,
                reply,
            };
            if mailbox.send(hold).is_ok() && told.await == Ok(true) {
                held.push((member.id, mailbox));
            }
        }
        Held {
            seq,
            held,
            over: false,
            is_current: true,
        }
    }
}

impl Held {
    /// The subscriptions concerned.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<SubscriptionId> {
        self.held.iter().map(|(id, _)| *id).collect()
    }

    /// The event is done, which the store is still to learn. Where it cannot, the event comes again.
    pub async fn is_done(self) {
        for (_, mailbox) in &self.held {
            let (reply, stored) = oneshot::channel();
            let seqs = vec![self.seq];
            if mailbox.send(Message::Done { seqs, reply }).is_ok() {
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
        let (seq, over) = (self.seq, self.over);
        for (_, mailbox) in &self.held {
            // Where the process stops nobody is handed anything.
            let _ = mailbox.send(Message::LetGo { seq, over });
        }
    }
}
