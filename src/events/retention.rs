//! Removes what was kept long enough: events, and the keys of calls.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Events;

/// How often to look.
const EVERY: Duration = Duration::from_secs(600);

pub(super) async fn run(events: Events, stop: CancellationToken) {
    let inner = &events.0;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = inner.store.finish_erasing().await {
            error!(error = %crate::fault::Chain(&error), "what was left of an erased portal cannot be erased");
        }
        let now = inner.clock.now();
        match inner.store.expire_calls(now).await {
            Ok(0) => {}
            Ok(calls) => info!(calls, "outcomes of old calls forgotten"),
            Err(error) => {
                error!(error = %crate::fault::Chain(&error), "old calls cannot be forgotten")
            }
        }
        let Ok(oldest) = now.checked_sub(inner.config.retention) else {
            continue;
        };
        match inner
            .store
            .expire(oldest, inner.config.retention_bytes)
            .await
        {
            Ok(expired) if expired.entries > 0 => {
                info!(entries = expired.entries, "old events removed")
            }
            Ok(_) => {}
            Err(error) => {
                error!(error = %crate::fault::Chain(&error), "old events cannot be removed")
            }
        }
    }
}
