//! Keeps the sealing keys those of the key file, and everything sealed with the one in front.

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::LOOK;
use crate::{fault::Chain, store::Store};

/// Looks whether the key file was changed, and seals anew what older keys have sealed, until the stop
/// begins.
pub(super) async fn keep(store: Store, stop: CancellationToken) {
    let mut sealing = Sealing {
        store,
        told: None,
        hopeless: None,
    };
    let mut next_look = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(next_look) => {}
            () = sealing.store.keys_changed() => {}
        }
        next_look = Instant::now() + LOOK;
        let work = async {
            sealing.look().await;
            sealing.seal_anew().await;
        };
        // What is done stays, and the next process goes on.
        tokio::select! {
            () = stop.cancelled() => return,
            () = work => {}
        }
    }
}

struct Sealing {
    store: Store,
    /// The trouble that was told of, so that it is told once.
    told: Option<String>,
    /// The keys with which some values were found not to open: going over them again is of no use.
    hopeless: Option<String>,
}

impl Sealing {
    async fn look(&mut self) {
        match self.store.reread_keys().await {
            Ok(None) => self.told = None,
            Ok(Some(ids)) => {
                self.told = None;
                info!(keys = %ids, "the keys were changed");
            }
            Err(error) => {
                let trouble = Chain(&error).to_string();
                if self.told.as_ref() != Some(&trouble) {
                    error!(error = %trouble, "the key file cannot be used as it is now: the keys before stay");
                }
                self.told = Some(trouble);
            }
        }
    }

    async fn seal_anew(&mut self) {
        let keys = self.store.keys().ids();
        if self.hopeless.as_ref() == Some(&keys) {
            return;
        }
        match self.store.wants_resealing().await {
            Ok(true) => {}
            Ok(false) => return,
            // The next look tries again; whether the store works is told elsewhere.
            Err(_) => return,
        }
        match self.store.reseal().await {
            Ok(done) => {
                info!(values = done.resealed, "sealed anew with the key in front");
                if done.unopened > 0 {
                    warn!(
                        values = done.unopened,
                        "values do not open and stay as they are: `store check` tells where"
                    );
                    self.hopeless = Some(keys);
                }
            }
            Err(error) => {
                warn!(error = %Chain(&error), "sealing anew broke off and will be taken up again");
            }
        }
    }
}
