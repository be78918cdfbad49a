//! Which portal a call is for.
//!
//! In two steps, because the form of a name is a rule of the request, told together with every other
//! broken rule, while whether such a portal exists is another question with reasons of its own.

use super::check::Check;
use crate::{grpc::status::Refusal, ids::PortalId, portal::Portals};

/// The portal a request names.
#[derive(Debug)]
pub(in crate::grpc) enum Named {
    /// This one.
    Portal(PortalId),
    /// None: the caller's default.
    Default,
}

/// Reads the name in a request; `None` when its form is wrong, which is noted.
pub(super) fn named(check: &mut Check, text: &str) -> Option<Named> {
    if text.is_empty() {
        return Some(Named::Default);
    }
    check.parsed("portal", text).map(Named::Portal)
}

impl Named {
    /// The portal, if it is there.
    pub(super) fn find(self, portals: &Portals) -> Result<PortalId, Refusal> {
        match self {
            Self::Portal(id) if portals.get(&id).is_some() => Ok(id),
            Self::Portal(id) => Err(Refusal::UnknownPortal(id.to_string())),
            Self::Default => {
                let default = portals.default_portal().map(|portal| portal.id().clone());
                default.ok_or(Refusal::NoDefaultPortal)
            }
        }
    }
}
