//! Why events cannot be read.

use crate::{
    fault::{Executed, Fault, Kind, Origin, Reason},
    store,
};

/// Why events cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cursor was given by another log.
    #[error(
        "the cursor belongs to another event log, perhaps of a gateway whose store was replaced"
    )]
    ForeignCursor,
    /// The cursor lies beyond the end of the log.
    #[error(
        "the cursor lies beyond the end of the event log, perhaps because its store was restored"
    )]
    CursorAhead,
    /// Events after the cursor are no longer kept.
    #[error("events after the cursor are no longer kept: begin with the earliest kept instead")]
    CursorExpired,
    /// The delivery was handed out by another log.
    #[error(
        "the ack id belongs to another event log, perhaps of a gateway whose store was replaced"
    )]
    ForeignAckId,
    /// The handing-out that an ack id names is over.
    #[error("the delivery is over: the event is done, or was handed to somebody else")]
    AckIdExpired,
    /// The caller has no such subscription.
    #[error("there is no subscription `{0}` of this caller")]
    UnknownSubscription(String),
    /// The subscription is for something else.
    #[error("subscription `{name}` was made with other values of: {}", fields.join(", "))]
    SubscriptionDiffers {
        /// The subscription.
        name: String,
        /// What differs.
        fields: Vec<&'static str>,
    },
    /// The caller has as many subscriptions as it may.
    #[error("this caller has {0} subscriptions, which is all it may: delete some")]
    TooManySubscriptions(usize),
    /// The gateway is shutting down.
    #[error("the gateway is stopping: subscribe again after the last cursor")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::ForeignCursor | Self::ForeignAckId => Kind::Invalid,
            Self::AckIdExpired | Self::SubscriptionDiffers { .. } => Kind::Unready,
            Self::UnknownSubscription(_) => Kind::Missing,
            Self::TooManySubscriptions(_) => Kind::Exhausted,
            Self::CursorAhead | Self::CursorExpired => Kind::OutOfRange,
            Self::Stopping => Kind::Unavailable,
            Self::Store(error) => error.kind(),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::ForeignCursor | Self::ForeignAckId | Self::CursorAhead => Reason::ForeignCursor,
            Self::AckIdExpired => Reason::AckIdExpired,
            Self::UnknownSubscription(_) => Reason::UnknownSubscription,
            Self::SubscriptionDiffers { .. } => Reason::SubscriptionDiffers,
            Self::TooManySubscriptions(_) => Reason::QuotaExceeded,
            Self::CursorExpired => Reason::CursorExpired,
            Self::Stopping => Reason::GatewayStopping,
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Stopping => Origin::Gateway,
            Self::Store(error) => error.origin(),
            _ => Origin::Caller,
        }
    }

    fn executed(&self) -> Executed {
        Executed::No
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Stopping => Some(std::time::Duration::from_secs(1)),
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}
