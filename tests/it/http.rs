//! What comes in over HTTP.

mod authorization;
pub(crate) mod browser;
mod callbacks;
mod chromium;
mod chromium_ops;
pub(crate) mod door;
mod forged;
mod frame;
mod ops;
pub(crate) mod site;
