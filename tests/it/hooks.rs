//! Events that the portal posts.

mod absence;
mod delivery;
mod forged;
mod ingress;
mod modes;
mod place;
mod switching;
