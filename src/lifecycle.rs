//! Ends what was started, in order, and in bounded time.
//!
//! A stop has two steps. *Soft*: not ready, no new calls, streams end, calls in flight finish.
//! *Hard*, after the grace or a second signal: whatever still runs is left behind.

mod health;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TrackedFuture},
};
use tracing::{info, warn};

pub use self::health::{Failing, Health, Part, Pulse, STUCK, Watched};

/// How long calls in flight may take to finish. Longer than one call to a portal may last.
pub const GRACE: Duration = Duration::from_secs(75);

/// Keeps hold of tasks and tells them when to stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
    health: Health,
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

    /// Runs work where it is awaited, and in a task of its own once nobody awaits it any more. Most
    /// work never needs the task, and handing it from one to another costs more than much of it.
    pub fn keep<F>(&self, work: F) -> Kept<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        Kept(Some(Box::pin(self.tasks.track_future(work))))
    }

    /// A life within this one, with a stop and an end of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            health: self.health.clone(),
            ..Self::default()
        }
    }

    /// How the process is doing.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Cancelled when the process begins to stop.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Begins the stop.
    pub fn begin_stop(&self) {
        self.health.fails(Part::Stop, "stopping");
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

/// Work that runs to its end, whoever awaits it; see [`Lifecycle::keep`].
#[derive(Debug)]
#[must_use = "it runs when it is awaited or dropped"]
pub struct Kept<F>(Option<Pin<Box<TrackedFuture<F>>>>)
where
    F: Future<Output: Send> + Send + 'static;

impl<F> Future for Kept<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Taken while it is polled: work that panics is not polled again.
        let Some(mut work) = self.0.take() else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<F> Drop for Kept<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        // Without a runtime the process ends, and with it every task.
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
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

#[cfg(test)]
mod tests {
    use tokio::{
        sync::oneshot,
        time::{sleep, timeout},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn kept_work_goes_on_when_nobody_awaits_it_and_is_waited_for() {
        let life = Lifecycle::default();
        let (done, mut seen) = oneshot::channel();
        let work = life.keep(async move {
            sleep(Duration::from_secs(10)).await;
            done.send(()).unwrap();
        });
        assert!(timeout(Duration::from_secs(1), work).await.is_err());
        assert!(seen.try_recv().is_err());
        assert!(life.finished(Duration::from_secs(60)).await);
        assert!(seen.try_recv().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn kept_work_that_was_never_awaited_runs_all_the_same() {
        let life = Lifecycle::default();
        let (done, mut seen) = oneshot::channel();
        drop(life.keep(async move { done.send(()).unwrap() }));
        assert!(life.finished(Duration::from_secs(60)).await);
        assert!(seen.try_recv().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn kept_work_under_way_holds_up_the_end() {
        let life = Lifecycle::default();
        let work = life.keep(std::future::pending::<()>());
        assert!(!life.finished(Duration::from_secs(1)).await);
        drop(work);
    }
}
