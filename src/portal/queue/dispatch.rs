//! Sends what waits, whenever something may leave.

use std::sync::{Arc, Weak};

use tokio::{sync::Notify, time::sleep_until};

use super::{Inner, UnderWay, entry::Entry};
use crate::telemetry::trace::Span;

/// Sends what waits, until the last handle of the queue is gone.
pub(super) async fn dispatch(queue: Weak<Inner>, changed: Arc<Notify>) {
    while let Some(inner) = queue.upgrade() {
        let look_again = match inner.next() {
            Ok(group) => {
                // A panic costs these calls alone.
                tokio::spawn(send(inner, group));
                continue;
            }
            Err(look_again) => look_again,
        };
        drop(inner);
        let alarm = async {
            match look_again {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed.notified() => {}
            () = alarm => {}
        }
    }
}

/// Sends calls that left the line together, and answers each.
async fn send(inner: Arc<Inner>, mut group: Vec<Entry>) {
    let _under_way = UnderWay(&inner);
    let metrics = &inner.sender.metrics;
    metrics.left(group.iter().map(Entry::calls).sum());
    for entry in &mut group {
        metrics.waited(entry.call.lane(), entry.since.elapsed());
        entry.waits = Span::default();
    }
    if let [only] = &group[..]
        && only.calls() == 1
        && let Some(entry) = group.pop()
    {
        let sending = inner.sender.send_alone(&entry.call, &entry.patience);
        let outcome = entry.place.run(sending).await;
        // The caller may have left; its call ran to its end all the same.
        let _unheard = entry.reply.send(outcome);
        return;
    }
    let passengers = group.into_iter().flat_map(Entry::passengers).collect();
    inner.sender.send_together(passengers).await;
}
