//! The gateway through its own door, with a simulated portal behind it.
//!
//! Gateway, portal and client share one runtime with a paused clock: ten minutes of portal time pass
//! in milliseconds, and nothing waits for luck.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod leaks;
mod living;
mod log;
mod scene;

mod story;

mod answers;
mod assumptions;
mod bad_input;
mod bot_tokens;
mod callers;
mod clock_set;
mod commands;
mod deadlines;
mod diagnosis;
mod event_faults;
mod floods;
mod foreign_readers;
mod hooks;
mod http;
mod intake;
mod ledger;
mod measurements;
mod messages;
mod metrics;
mod moving;
mod oauth;
mod polls;
mod portal_faults;
mod portals;
mod pressure;
mod probing;
mod proof;
mod proxy;
mod quirks;
mod registration;
mod requests;
mod restart;
mod restored;
mod retention;
mod secrets;
mod server;
mod streams;
mod subscriptions;
mod traces;
mod watching;
mod webhooks;
