//! What the relay itself tells a caller.

use std::time::Duration;

use crate::fault::{Executed, Fault, Kind, Origin, Reason};

/// How long a caller does well to wait when nothing better is known.
const SOON: Duration = Duration::from_millis(200);

/// Why a call ends at the relay.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// There is no connection to the gateway, and none could be made.
    #[error("the relay cannot reach the gateway: {why}")]
    Unreachable {
        /// What the last attempt ended with.
        why: Box<str>,
        /// When the next one is made.
        wait: Duration,
    },
    /// The gateway took the connection, but not this call.
    #[error("the gateway behind the relay did not take the call")]
    NotTaken,
    /// The connection ended with the call under way.
    #[error("the relay lost the gateway with the call under way: it may have run")]
    Lost,
    /// The relay ends, and with it a stream.
    #[error("the relay is stopping")]
    Stopping,
}

impl Fault for Refused {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Stopping => Reason::GatewayStopping,
            _ => Reason::UpstreamUnreachable,
        }
    }

    fn origin(&self) -> Origin {
        Origin::Gateway
    }

    fn executed(&self) -> Executed {
        match self {
            Self::Lost => Executed::Unknown,
            _ => Executed::No,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        Some(match self {
            Self::Unreachable { wait, .. } => *wait,
            Self::Stopping => Duration::from_secs(1),
            Self::NotTaken | Self::Lost => SOON,
        })
    }
}
