//! Follows what lets us into portals while the process runs.

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::LOOK;
use crate::{config::Reread, lifecycle::blocking, portal::Portals};

/// Goes on with changed webhooks and secrets, until the stop begins.
pub(super) async fn follow(mut reread: Reread, portals: Portals, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK) => {}
        }
        let found;
        (reread, found) = blocking(move || {
            let found = reread.look();
            (reread, found)
        })
        .await;
        match found {
            Ok(None) => {}
            Ok(Some(fresh)) => portals.renew(fresh),
            Err(error) => {
                error!(%error, "changed credentials cannot be used: those before stay");
            }
        }
    }
}
