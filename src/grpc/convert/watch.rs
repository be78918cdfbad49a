//! What a stream of portals is to show, and what it shows.

use std::time::Duration;

use super::{
    check::Check,
    portal::{self, Named, named},
    subscription::heartbeat,
};
use crate::{
    grpc::{caller::Arrival, status::Refusal},
    ids::PortalId,
    portal::{Change, Place},
    proto::v1 as pb,
};

/// What a stream is to show.
#[derive(Debug)]
pub(in crate::grpc) struct Watch {
    pub(in crate::grpc) portal: Option<PortalId>,
    pub(in crate::grpc) after: Option<Place>,
    pub(in crate::grpc) heartbeat: Duration,
}

pub(in crate::grpc) fn watch(
    arrival: &mut Arrival<'_>,
    request: &pb::WatchPortalsRequest,
) -> Result<Watch, Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let after = match request.after_cursor.as_str() {
        "" => None,
        text => check.parsed("after_cursor", text),
    };
    let heartbeat = heartbeat(&mut check, request.heartbeat_interval);
    // Empty means every portal the caller may see, not the default one.
    let portal = match check.done(portal)? {
        Named::Default => {
            arrival.any_portal()?;
            None
        }
        named @ Named::Portal(_) => Some(arrival.portal(named)?),
    };
    Ok(Watch {
        portal,
        after,
        heartbeat,
    })
}

/// A change, outwards.
pub(in crate::grpc) fn change(change: &Change) -> pb::PortalChange {
    let what = change.what;
    let kinds = [
        (what.installed, pb::PortalChangeKind::Installed),
        (what.state, pb::PortalChangeKind::StateChanged),
        (what.moved, pb::PortalChangeKind::Moved),
        // It may have gone since it was looked at.
        (
            what.removed || change.now.is_none(),
            pb::PortalChangeKind::Removed,
        ),
    ];
    let kinds = kinds.into_iter().filter(|(so, _)| *so);
    pb::PortalChange {
        portal: change.portal.to_string(),
        kinds: kinds.map(|(_, kind)| kind.into()).collect(),
        now: change.now.as_ref().map(portal::portal),
    }
}
