//! The relay: what passes through it unchanged, what it adds, and what a caller is told when either side
//! ends.
//!
//! Behind it stands a server that speaks bare HTTP/2, so that bytes can be compared, or a whole gateway.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod backend;
mod bare;
mod dying;
mod gateway;
mod losing;
mod passing;
mod pressure;
mod proving;
mod relaying;
mod stopping;
