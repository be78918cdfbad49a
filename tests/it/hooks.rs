//! Events that the portal posts.

mod absence;
mod delivery;
mod forged;
mod ingress;
mod modes;
pub(crate) mod place;
mod switching;
