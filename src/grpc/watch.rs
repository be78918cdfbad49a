//! Streams of what becomes of portals.

use std::{collections::VecDeque, pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

use super::{
    Parts,
    caller::{Arrival, Sight},
    convert::{event, portal, watch as convert},
    status::status,
};
use crate::{
    events::{self, Events},
    ids::PortalId,
    portal::{LOOK, Place, Portal, Portals},
    proto::v1::{self as pb, watch_portals_response::Item},
};

/// A stream of changes.
pub(super) type PortalStream =
    Pin<Box<dyn Stream<Item = Result<pb::WatchPortalsResponse, Status>> + Send>>;

/// Opens a stream of changes.
pub(super) fn open(
    parts: &Parts,
    mut arrival: Arrival<'_>,
    request: &pb::WatchPortalsRequest,
) -> Result<Response<PortalStream>, Status> {
    let wish = convert::watch(&mut arrival, request)?;
    let portals = parts.portals.clone();
    let mut sight = Sight::of(&arrival);
    sight.renew()?;
    let resumed = wish.after.filter(|place| portals.knows(*place));
    let mut reader = Reader {
        place: resumed.unwrap_or_else(|| portals.place()),
        begin: None,
        snapshot: VecDeque::new(),
        changed: portals.changed(),
        portals,
        events: parts.events.clone(),
        stop: parts.life.stop().clone(),
        only: wish.portal,
        heartbeat: wish.heartbeat,
        sight,
        ended: false,
    };
    match resumed {
        Some(_) => {
            reader.begin = Some(pb::WatchBegin {
                resumed: true,
                portals: 0,
            });
        }
        None => reader.begin_anew(),
    }
    Ok(Response::new(Box::pin(stream::unfold(
        reader,
        Reader::step,
    ))))
}

/// A caller's stream.
struct Reader {
    portals: Portals,
    events: Events,
    changed: watch::Receiver<()>,
    stop: CancellationToken,
    /// Only this one.
    only: Option<PortalId>,
    heartbeat: Duration,
    sight: Sight,
    /// Everything before was told.
    place: Place,
    /// To be told first.
    begin: Option<pb::WatchBegin>,
    /// To be told as they are then.
    snapshot: VecDeque<PortalId>,
    ended: bool,
}

impl Reader {
    async fn step(mut self) -> Option<(Result<pb::WatchPortalsResponse, Status>, Self)> {
        if self.ended {
            return None;
        }
        let item = self.next().await;
        self.ended = item.is_err();
        let response = item.map(|item| pb::WatchPortalsResponse {
            // In the middle of a snapshot nobody can go on.
            cursor: if self.snapshot.is_empty() {
                self.place.to_string()
            } else {
                String::new()
            },
            item: Some(item),
        });
        Some((response, self))
    }

    async fn next(&mut self) -> Result<Item, Status> {
        let silent_until = Instant::now() + self.heartbeat;
        loop {
            if self.stop.is_cancelled() {
                return Err(status(&events::Error::Stopping, None));
            }
            // What the caller may see may be something else now.
            if self.sight.renew()? {
                self.begin_anew();
            }
            if let Some(begin) = self.begin.take() {
                return Ok(Item::Begin(begin));
            }
            if let Some(portal) = self.next_of_snapshot() {
                return Ok(portal);
            }
            self.changed.mark_unchanged();
            let (only, sight) = (self.only.as_ref(), &self.sight);
            let seen = |id: &PortalId| only.is_none_or(|only| only == id) && sight.sees_portal(id);
            if let Some(change) = self.portals.change_after(self.place, seen) {
                self.place = change.place;
                return Ok(Item::Change(Box::new(convert::change(&change))));
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                // The sender lives in `portals`, which we hold.
                _ = self.changed.changed() => {}
                () = sleep(LOOK) => {}
                () = sleep_until(silent_until) => {
                    return Ok(Item::Heartbeat(event::heartbeat(&self.events, only, |id| sight.sees_portal(id))));
                }
            }
        }
    }

    fn begin_anew(&mut self) {
        self.place = self.portals.place();
        let portals = self.portals.list();
        let seen = portals.iter().map(Portal::id).filter(|id| {
            let wanted = self.only.as_ref().is_none_or(|only| only == *id);
            wanted && self.sight.sees_portal(id)
        });
        self.snapshot = seen.cloned().collect();
        self.begin = Some(pb::WatchBegin {
            resumed: false,
            portals: i32::try_from(self.snapshot.len()).unwrap_or(i32::MAX),
        });
    }

    fn next_of_snapshot(&mut self) -> Option<Item> {
        let id = self.snapshot.pop_front()?;
        // One that went meanwhile is told once more as a change.
        let now = self.portals.get(&id);
        let kinds = match now {
            Some(_) => pb::PortalChangeKind::Present,
            None => pb::PortalChangeKind::Removed,
        };
        Some(Item::Change(Box::new(pb::PortalChange {
            portal: id.to_string(),
            kinds: vec![kinds.into()],
            now: now.as_ref().map(portal::portal),
        })))
    }
}
