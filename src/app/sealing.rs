//! Keeps the sealing keys those of the key file, and everything sealed with the one in front.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
};

use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::LOOK;
use crate::{fault::Chain, store::Store};

/// Takes changes of the key file up, and seals anew what older keys have sealed, until the stop begins.
pub(super) async fn keep(store: Store, stop: CancellationToken) {
    let watched = store.key_file().map(|path| Watch::start(path.to_owned()));
    let mut sealing = Sealing {
        store,
        told: None,
        hopeless: None,
        again: false,
    };
    loop {
        let work = async {
            sealing.look().await;
            sealing.seal_anew().await;
        };
        // What is done stays, and the next process goes on.
        tokio::select! {
            () = stop.cancelled() => return,
            () = work => {}
        }
        let changed = async {
            match &watched {
                Some(Ok(watch)) => watch.changed.notified().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed => {}
            () = sealing.store.keys_changed() => {}
            () = sleep(LOOK), if sealing.again => {}
        }
    }
}

/// Looks at a file, whether it was changed. People change files in their own time and not by our clock, so
/// this is a thread of its own; it ends when this is dropped.
struct Watch {
    changed: Arc<Notify>,
    _end: mpsc::Sender<()>,
}

impl Watch {
    fn start(path: PathBuf) -> io::Result<Self> {
        let changed = Arc::new(Notify::new());
        let (end, ended) = mpsc::channel();
        let tell = Arc::clone(&changed);
        let mut known = stamp(&path);
        let watch = move || {
            let mut again = false;
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(LOOK) {
                let found = stamp(&path);
                let differs = found != known;
                // A second change may come so close that it bears the same time.
                if differs || again {
                    tell.notify_one();
                }
                again = differs;
                known = found;
            }
        };
        let name = "key-file".to_owned();
        thread::Builder::new().name(name).spawn(watch).inspect_err(|error| {
            error!(%error, "the key file is not looked at: changes of it count from the next start on");
        })?;
        Ok(Self { changed, _end: end })
    }
}

/// What every change of a file changes.
fn stamp(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.ctime(), file.ctime_nsec()))
}

struct Sealing {
    store: Store,
    /// The trouble that was told of, so that it is told once.
    told: Option<String>,
    /// The keys with which some values were found not to open: going over them again is of no use.
    hopeless: Option<String>,
    /// Whether something failed that may work a little later.
    again: bool,
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
        self.again = false;
        let keys = self.store.keys().ids();
        if self.hopeless.as_ref() == Some(&keys) {
            return;
        }
        match self.store.wants_resealing().await {
            Ok(true) => {}
            Ok(false) => return,
            // Whether the store works is told elsewhere.
            Err(_) => {
                self.again = true;
                return;
            }
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
                self.again = true;
                warn!(error = %Chain(&error), "sealing anew broke off and will be taken up again");
            }
        }
    }
}
