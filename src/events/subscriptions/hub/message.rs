//! What is said to a hub, and what it gives to streams.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    events::{
        LogEntry,
        subscriptions::board::{Count, HoldId, Room, StreamId},
    },
    ids::{BotCode, PortalId},
    store,
};

/// Says whether the caller may see what happened to a bot.
pub type Eyes = Arc<dyn Fn(&PortalId, &BotCode) -> bool + Send + Sync>;

/// What is said to a hub.
pub(in crate::events::subscriptions) enum Message {
    /// A stream begins.
    Open {
        room: Room,
        eyes: Eyes,
        reply: oneshot::Sender<Opened>,
    },
    /// A stream is over.
    Close(StreamId),
    /// The caller may see something else than before.
    See(Eyes),
    /// Events are done.
    Done {
        seqs: Vec<u64>,
        reply: oneshot::Sender<Result<(), store::Error>>,
    },
    /// Handings-out may take as long from now, by event and attempt. Those that are over are told.
    Extend {
        wanted: Vec<(u64, u32)>,
        by: Duration,
        reply: oneshot::Sender<Vec<(u64, u32)>>,
    },
    /// A handing-out is on its way to the caller.
    Sent { seq: u64, attempt: u32 },
    /// An event cannot be shown to the stream that has it.
    Back { seq: u64, attempt: u32 },
    /// An answer is under way. Tells whether the event is handed out (this time).
    Hold {
        seq: u64,
        hold: HoldId,
        attempt: Option<u32>,
        reply: oneshot::Sender<bool>,
    },
    /// It is not any more; `over` when the store knows that the event is not to be handed out again.
    LetGo { seq: u64, hold: HoldId, over: bool },
    /// The store was changed.
    Reload,
    /// How many are where?
    Count(oneshot::Sender<Counted>),
    /// The subscription is gone.
    End,
}

/// What a new stream gets.
pub(in crate::events::subscriptions) struct Opened {
    pub(in crate::events::subscriptions) stream: StreamId,
    pub(in crate::events::subscriptions) inbox: mpsc::UnboundedReceiver<Handed>,
    pub(in crate::events::subscriptions) buffered: Arc<AtomicUsize>,
}

/// How a subscription is doing.
#[derive(Debug, Clone, Copy)]
pub(in crate::events::subscriptions) struct Counted {
    pub(in crate::events::subscriptions) count: Count,
    pub(in crate::events::subscriptions) scanned: u64,
}

/// What a stream is given.
pub(in crate::events::subscriptions) enum Handed {
    Event {
        seq: u64,
        attempt: u32,
        /// Where it is not, the stream reads it from the store.
        entry: Option<Arc<LogEntry>>,
    },
    /// Events may be missing.
    Gap(Arc<LogEntry>),
    /// Events are missing that were removed before anybody took them, of this bot where that is known.
    Removed(Option<store::Removed>),
}

/// Whoever said that events are done.
pub(in crate::events::subscriptions) type Reply = oneshot::Sender<Result<(), store::Error>>;
