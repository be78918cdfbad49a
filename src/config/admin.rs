//! Settings of what operators reach.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Error, grpc::given, invalid};
use crate::http::ops;

/// Where operators look unless they named another place.
const LOOKOUT: &str = "127.0.0.1:9464";

/// Where commands are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSocket {
    /// The path of a Unix socket.
    pub path: PathBuf,
    /// Whether the operator named a place of its own, so that nothing goes without.
    pub asked_for: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    socket: PathBuf,
    listen: String,
}

impl RawAdmin {
    pub(super) fn socket(&self, store: &Path) -> Option<AdminSocket> {
        let given = given(&self.socket)?;
        Some(match given.strip_prefix("{store.dir}") {
            Ok(below) => AdminSocket {
                path: store.join(below),
                asked_for: false,
            },
            Err(_) => AdminSocket {
                path: given,
                asked_for: true,
            },
        })
    }

    pub(super) fn lookout(&self) -> Result<Option<ops::Config>, Error> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let listen: SocketAddr = self.listen.parse().map_err(|_| {
            let rule = format!(
                "must be an address and a port such as {LOOKOUT}, or empty, not \"{}\"",
                self.listen
            );
            invalid("admin.listen", rule)
        })?;
        Ok(Some(ops::Config {
            listen,
            asked_for: self.listen != LOOKOUT,
            named_by: "`admin.listen`",
            metrics: None,
        }))
    }
}
