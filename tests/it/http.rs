//! What comes in over HTTP.

mod authorization;
mod browser;
mod callbacks;
mod chromium;
mod door;
mod forged;
mod frame;
mod site;
