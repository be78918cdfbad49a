//! What comes in over HTTP.

mod authorization;
pub(crate) mod browser;
mod callbacks;
mod chromium;
pub(crate) mod door;
mod forged;
mod frame;
pub(crate) mod site;
