//! What comes in over HTTP.

mod browser;
mod door;
