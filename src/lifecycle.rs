//! Ends what was started, in order, and in bounded time.
//!
//! A stop has three steps. *Asked*: not ready, and everything goes on for a moment, so that whoever sends us
//! work notices. *Soft*: no new calls, streams end, calls in flight finish. *Hard*, after the grace or a
//! second signal: whatever still runs is left behind.
//!
//! The process works as a whole or it ends: a background task that panics begins the stop
//! ([`Lifecycle::spawn`]), and whoever started the process starts it again. What belongs to one connection
//! or one request ([`Lifecycle::serve`]) costs that one alone.

mod health;
mod kept;

use std::{
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

pub use self::{
    health::{Failing, Health, Owed, Part, Pulse, STUCK, Watched},
    kept::Kept,
};

/// How long calls in flight may take to finish. Longer than one call to a portal may last.
pub const GRACE: Duration = Duration::from_secs(75);

/// Keeps hold of tasks and tells them when to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
    whole: Whole,
}

/// What all lives within a process share.
#[derive(Debug, Clone, Default)]
struct Whole {
    asked: CancellationToken,
    /// The stop of the outermost life.
    stop: CancellationToken,
    health: Health,
    broken: Arc<OnceLock<&'static str>>,
    fault: Fault,
}

/// What is to break, in a build for tests: a background task that panics or, behind `hang `, goes on no more
/// shortly after its start; or an RPC that panics.
#[derive(Debug, Clone, Default)]
pub struct Fault(pub Option<Arc<str>>);

impl Fault {
    /// Panics here, if this is what is to break.
    #[expect(clippy::panic, reason = "it is what it is for")]
    pub fn strike(&self, name: &str) {
        if cfg!(debug_assertions) && self.0.as_deref() == Some(name) {
            panic!("chosen by a test");
        }
    }

    /// Completes when this task is to go on no more.
    async fn strikes(self, name: &str) {
        let chosen = self.0.as_deref().unwrap_or_default();
        let hangs = chosen.strip_prefix("hang ") == Some(name);
        if !cfg!(debug_assertions) || !(hangs || chosen == name) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.strike(name);
    }
}

impl Whole {
    /// Does the work of a background task, and begins the stop when it panics.
    async fn guard<F: Future>(self, name: &'static str, task: F) -> F::Output {
        let guarded = async {
            let mut task = pin!(task);
            tokio::select! {
                biased;
                output = &mut task => output,
                () = self.fault.clone().strikes(name) => std::future::pending().await,
            }
        };
        match AssertUnwindSafe(guarded).catch_unwind().await {
            Ok(output) => output,
            Err(panic) => {
                error!(task = name, "a task panicked: the gateway stops");
                // The first one is what went wrong.
                let _later = self.broken.set(name);
                self.health.fails(Part::Stop, "a part of the gateway broke");
                self.stop.cancel();
                resume_unwind(panic)
            }
        }
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::with_fault(Fault::default())
    }
}

impl Lifecycle {
    /// A life in which this task panics, in a build for tests.
    #[must_use]
    pub fn with_fault(fault: Fault) -> Self {
        let stop = CancellationToken::new();
        Self {
            stop: stop.clone(),
            tasks: TaskTracker::new(),
            whole: Whole {
                stop,
                fault,
                ..Whole::default()
            },
        }
    }

    /// Spawns a background task that is waited for at the end. When it panics the stop begins.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(self.whole.clone().guard(name, task))
    }

    /// Spawns a background task that nobody waits for. When it panics the stop begins.
    pub fn attend<F>(&self, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.whole.clone().guard(name, task))
    }

    /// Spawns what is done for one connection or one request, and is waited for at the end. A panic costs
    /// that one alone.
    pub fn serve<F>(&self, task: F) -> JoinHandle<F::Output>
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
        Kept::new(self.tasks.track_future(work))
    }

    /// A life within this one, with a stop and an end of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            whole: self.whole.clone(),
        }
    }

    /// How the process is doing.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.whole.health
    }

    /// Cancelled when it begins to stop.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Completes when the process was asked to stop.
    pub async fn asked(&self) {
        self.whole.asked.cancelled().await;
    }

    /// Asks the process to stop: from now on it is not ready.
    pub fn ask_to_stop(&self) {
        self.whole.health.fails(Part::Stop, "stopping");
        self.whole.asked.cancel();
    }

    /// Begins the stop.
    pub fn begin_stop(&self) {
        self.whole.health.fails(Part::Stop, "stopping");
        self.stop.cancel();
    }

    /// What is to break, in a build for tests.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.whole.fault
    }

    /// The task whose panic began the stop.
    #[must_use]
    pub fn broken(&self) -> Option<&'static str> {
        self.whole.broken.get().copied()
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

/// Does work that blocks. Its panic is that of whoever waits for it.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends, and with it whoever waits.
            Err(_) => std::future::pending().await,
        },
    }
}

/// SIGTERM and SIGINT from here on, none of them missed in between.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// When the process cannot listen for signals.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Completes at the next one.
    pub async fn next(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "stopping");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn background_task_that_panics_begins_the_stop_and_is_named() {
        let life = Lifecycle::default();
        let apart = life.apart();
        let first = apart.attend("first", async { panic!("on purpose") });
        first.await.unwrap_err();
        assert!(life.stop().is_cancelled() && !apart.stop().is_cancelled());
        let second = life.spawn("second", async { panic!("on purpose") });
        second.await.unwrap_err();
        assert_eq!(life.broken(), Some("first"));
        assert!(!life.health().failing().borrow().is_empty());
    }

    #[tokio::test]
    async fn what_serves_one_request_costs_that_one_alone_when_it_panics() {
        let life = Lifecycle::default();
        life.serve(async { panic!("on purpose") })
            .await
            .unwrap_err();
        assert!(!life.stop().is_cancelled());
        assert_eq!(life.broken(), None);
    }

    #[tokio::test]
    async fn panic_of_work_that_blocks_is_that_of_the_task_that_waits_for_it() {
        let life = Lifecycle::default();
        let task = life.spawn("reader", blocking(|| panic!("on purpose")));
        task.await.unwrap_err();
        assert_eq!(life.broken(), Some("reader"));
    }
}
