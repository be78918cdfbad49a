//! The simulated portal, seen through a real client.
//!
//! Each module holds one section of the contract; `world` is what they share.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

mod answers;
mod batch;
mod bots;
mod callbacks;
mod chat;
mod chats;
mod commands;
mod control;
mod core;
mod delivery;
mod doubt;
mod driven;
mod edits;
mod events;
mod faults;
mod files;
mod firing;
mod fixtures;
mod garbage;
mod messages;
mod model;
mod moving;
mod oauth;
mod people_events;
mod quirks;
mod readme;
mod receiver;
mod subscriptions;
mod switches;
mod tokens;
mod user_commands;
mod world;
