//! Follows what lets us into portals while the process runs.

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::LOOK;
use crate::{config::Reread, portal::Portals};

/// Goes on with changed webhooks and secrets, until the stop begins.
pub(super) async fn follow(mut reread: Reread, portals: Portals, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK) => {}
        }
        let look = tokio::task::spawn_blocking(move || {
            let found = reread.look();
            (reread, found)
        });
        let found = match look.await {
            Ok((same, found)) => {
                reread = same;
                found
            }
            Err(error) => {
                error!(%error, "files of credentials are not looked at any more");
                return;
            }
        };
        match found {
            Ok(None) => {}
            Ok(Some(fresh)) => portals.renew(fresh),
            Err(error) => {
                error!(%error, "changed credentials cannot be used: those before stay");
            }
        }
    }
}
