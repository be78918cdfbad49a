//! Who calls.
//!
//! Nobody is authenticated yet, so bots belong to everybody: an address would be worse than nothing as
//! an owner, because a service has another one after each restart. For taking turns it will do.

use std::sync::Arc;

use tonic::{Request, metadata::MetadataMap, transport::server::TcpConnectInfo};

/// The authenticated identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller(String);

impl Caller {
    /// The caller of any call while there is no authentication.
    pub(super) fn anybody() -> Self {
        Self(String::new())
    }

    /// The name that owns what this caller makes.
    pub(super) fn into_owner(self) -> String {
        self.0
    }
}

/// A call as it arrived.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) metadata: MetadataMap,
    /// Whose turn it takes: callers share a portal's rate evenly.
    pub(super) turn: Arc<str>,
}

impl Arrival {
    /// Takes a request apart.
    pub(super) fn of<T>(request: Request<T>) -> (Self, T) {
        let (metadata, extensions, message) = request.into_parts();
        let peer = extensions
            .get::<TcpConnectInfo>()
            .and_then(TcpConnectInfo::remote_addr);
        let turn = peer.map_or_else(|| Arc::from("unknown"), |peer| Arc::from(peer.to_string()));
        (Self { metadata, turn }, message)
    }
}
