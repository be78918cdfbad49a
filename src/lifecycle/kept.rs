//! Work that its caller may leave.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;
use tokio_util::task::task_tracker::TrackedFuture;

/// Work that runs to its end, whoever awaits it; see [`Lifecycle::keep`](super::Lifecycle::keep).
#[derive(Debug)]
#[must_use = "it runs when it is awaited or dropped"]
pub struct Kept<F>(Option<Pin<Box<TrackedFuture<F>>>>)
where
    F: Future<Output: Send> + Send + 'static;

impl<F> Kept<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    pub(super) fn new(work: TrackedFuture<F>) -> Self {
        Self(Some(Box::pin(work)))
    }
}

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        sync::oneshot,
        time::{sleep, timeout},
    };

    use crate::lifecycle::Lifecycle;

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
