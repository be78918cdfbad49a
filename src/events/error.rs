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
            Self::ForeignCursor => Kind::Invalid,
            Self::CursorAhead | Self::CursorExpired => Kind::OutOfRange,
            Self::Stopping => Kind::Unavailable,
            Self::Store(error) => error.kind(),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::ForeignCursor | Self::CursorAhead => Reason::ForeignCursor,
            Self::CursorExpired => Reason::CursorExpired,
            Self::Stopping => Reason::GatewayStopping,
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::ForeignCursor | Self::CursorAhead | Self::CursorExpired => Origin::Caller,
            Self::Stopping => Origin::Gateway,
            Self::Store(error) => error.origin(),
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
