//! A stream's end of a subscription.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Member,
    ack_id::AckId,
    board::StreamId,
    hub::message::{Eyes, Handed, Message, Opened},
};
use crate::{
    clock::Clock,
    events::{Error, LogEntry},
    store::{Removed, Store, SubscriptionId},
};

/// A stream of deliveries. What it was given comes back when it is dropped.
#[derive(Debug)]
pub struct Deliveries {
    subscription: SubscriptionId,
    name: String,
    max_processing: Duration,
    store: Store,
    clock: Clock,
    stream: StreamId,
    inbox: mpsc::UnboundedReceiver<Handed>,
    buffered: Arc<AtomicUsize>,
    mailbox: mpsc::UnboundedSender<Message>,
    stop: CancellationToken,
}

/// What a stream gets next.
#[derive(Debug)]
pub enum Given {
    /// An event that is handed out.
    Event(Delivered),
    /// An entry of the log that nobody has to acknowledge, such as a gap.
    Entry(Arc<LogEntry>),
    /// Events are missing that were removed before anybody took them, of this bot where that is known.
    Removed(Option<Removed>),
    /// Nothing happened for the given time.
    Silence,
}

/// An event that was handed out.
#[derive(Debug)]
pub struct Delivered {
    /// The event.
    pub entry: Arc<LogEntry>,
    /// Names the handing-out.
    pub ack_id: AckId,
    /// Until when it may take.
    pub lease_until: Timestamp,
}

impl Deliveries {
    pub(super) fn new(
        member: &Member,
        (store, clock): (Store, Clock),
        opened: Opened,
        mailbox: mpsc::UnboundedSender<Message>,
        stop: CancellationToken,
    ) -> Self {
        let Opened {
            stream,
            inbox,
            buffered,
        } = opened;
        Self {
            subscription: member.id,
            name: member.name.clone(),
            max_processing: member.settings.max_processing,
            store,
            clock,
            stream,
            inbox,
            buffered,
            mailbox,
            stop,
        }
    }

    /// What comes next.
    ///
    /// # Errors
    ///
    /// [`Error::Stopping`] at the end of the process, [`Error::UnknownSubscription`] when it was
    /// deleted, or when the store cannot be read.
    pub async fn next(&mut self, silence: Duration) -> Result<Given, Error> {
        let patience = Instant::now() + silence;
        loop {
            let handed = tokio::select! {
                () = self.stop.cancelled() => return Err(Error::Stopping),
                handed = timeout_at(patience, self.inbox.recv()) => handed,
            };
            let handed = match handed {
                Err(_) => return Ok(Given::Silence),
                Ok(None) if self.stop.is_cancelled() => return Err(Error::Stopping),
                Ok(None) => return Err(Error::UnknownSubscription(self.name.clone())),
                Ok(Some(handed)) => handed,
            };
            let (seq, attempt, entry) = match handed {
                Handed::Gap(entry) => return Ok(Given::Entry(entry)),
                Handed::Removed(bot) => return Ok(Given::Removed(bot)),
                Handed::Event {
                    seq,
                    attempt,
                    entry,
                } => (seq, attempt, entry),
            };
            let entry = match entry {
                Some(entry) => {
                    self.buffered.fetch_sub(entry.bytes, Ordering::Relaxed);
                    entry
                }
                // Apart: of the streams that wait each would keep room for it.
                None => match Box::pin(self.store.find(seq)).await? {
                    Some(stored) => Arc::new(LogEntry::new(stored)),
                    // Erased a moment ago; so is the delivery.
                    None => {
                        self.cannot_show(seq, attempt);
                        continue;
                    }
                },
            };
            // What the caller does not read stays here, and takes none of its time.
            self.say(Message::Sent { seq, attempt });
            let lease_until = self.clock.now().saturating_add(self.max_processing);
            let lease_until = lease_until.unwrap_or(Timestamp::MAX);
            return Ok(Given::Event(Delivered {
                entry,
                ack_id: AckId {
                    log: self.store.log_id(),
                    subscription: self.subscription,
                    seq,
                    attempt,
                },
                lease_until,
            }));
        }
    }

    /// The caller may see something else than before.
    pub fn see(&self, eyes: Eyes) {
        self.say(Message::See(eyes));
    }

    /// Gives back what this caller may not see any more.
    pub fn cannot_show(&self, seq: u64, attempt: u32) {
        self.say(Message::Back { seq, attempt });
    }

    fn say(&self, message: Message) {
        // At the end of the process nobody listens.
        let _ = self.mailbox.send(message);
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.say(Message::Close(self.stream));
    }
}
