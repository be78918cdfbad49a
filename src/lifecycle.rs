//! Ends what was started, in order, and in bounded time.
//!
//! A stop has two steps. *Soft*: not ready, no new calls, streams end, calls in flight finish.
//! *Hard*, after the grace or a second signal: whatever still runs is left behind.

use std::{future::Future, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// How long calls in flight may take to finish. Longer than one call to a portal may last.
pub const GRACE: Duration = Duration::from_secs(75);

/// Keeps hold of tasks and tells them when to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Spawns a task that is waited for at the end.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Cancelled when the process begins to stop.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Begins the stop.
    pub fn begin_stop(&self) {
        self.stop.cancel();
    }

    /// Waits until every task ended, at most for the grace. Says whether all did.
    pub async fn finished(&self, grace: Duration) -> bool {
        self.tasks.close();
        let finished = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        if !finished {
            warn!(
                tasks = self.tasks.len(),
                "tasks did not finish in time and are left behind"
            );
        }
        finished
    }
}

/// Completes at the next SIGTERM or SIGINT.
///
/// # Errors
///
/// When the process cannot listen for signals.
pub async fn signalled() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(signal = name, "stopping");
    Ok(())
}
