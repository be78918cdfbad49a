//! Which portals are asked for events: those that there are, as they come and go.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::{Events, intake::Intake, poller::Poller};
use crate::{ids::PortalId, lifecycle::Lifecycle, portal::Portal};

/// Fetches for every portal, until the process stops.
pub(super) async fn run(events: Events, life: Lifecycle) {
    let mut asked: BTreeMap<PortalId, (Portal, CancellationToken)> = BTreeMap::new();
    let mut changed = events.0.portals.changed();
    loop {
        changed.mark_unchanged();
        let portals = events.0.portals.list();
        asked.retain(|_, (asked, stop)| {
            let stays = portals.iter().any(|portal| portal.is(asked));
            if !stays {
                stop.cancel();
            }
            stays
        });
        for portal in portals {
            asked.entry(portal.id().clone()).or_insert_with(|| {
                let stop = life.stop().child_token();
                let poller = poller(&events, &portal);
                let name = format!("poller of {}", portal.id());
                let watched = life.health().watch(name, poller.pulse());
                let polling = poller.run(stop.clone());
                life.spawn("poller", async move {
                    polling.await;
                    drop(watched);
                });
                (portal, stop)
            });
        }
        tokio::select! {
            () = life.stop().cancelled() => return,
            // The sender lives in `events`, which we hold.
            _ = changed.changed() => {}
        }
    }
}

fn poller(events: &Events, portal: &Portal) -> Poller {
    let intake = Intake::new(events.clone(), portal.id().clone());
    let (bots, config) = (events.0.bots.clone(), events.0.config.clone());
    Poller::new(portal.clone(), bots, intake, config)
}
