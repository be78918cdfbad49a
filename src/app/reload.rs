//! Follows the callers of the configuration file while the process runs.

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::LOOK;
use crate::{callers::Callers, config::Reload, lifecycle::blocking};

/// Puts changed callers in force, until the stop begins.
pub(super) async fn follow(mut reload: Reload, callers: Callers, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(LOOK) => {}
        }
        let found;
        (reload, found) = blocking(move || {
            let found = reload.look();
            (reload, found)
        })
        .await;
        match found {
            Ok(None) => {}
            // Somebody who empties the file does not mean to let everybody in.
            Ok(Some(configured)) if configured.is_empty() && only_configured(&callers) => {
                error!(
                    "the changed configuration has no callers: those before stay, to let everybody in start again"
                );
            }
            Ok(Some(configured)) => {
                let count = configured.len();
                match callers.change(|roster| roster.configured = configured) {
                    Ok(true) => info!(callers = count, "callers were changed"),
                    Ok(false) => {}
                    Err(error) => {
                        error!(%error, "the changed configuration cannot be used: the callers before stay");
                    }
                }
            }
            Err(error) => {
                error!(%error, "the changed configuration cannot be used: the callers before stay");
            }
        }
    }
}

/// Whether there are callers, and none but configured ones.
fn only_configured(callers: &Callers) -> bool {
    let roster = callers.roster();
    roster.kept.is_empty() && !roster.configured.is_empty()
}
