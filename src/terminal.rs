//! What somebody at a terminal does with a gateway: a client of the API that knows of it only what the
//! gateway says by reflection, so it also speaks to gateways that are newer.
//!
//! `target` and `connection` lead to a gateway, `schema` is what it says of itself, `request` reads a request
//! that was typed, `session` calls, with messages by `codec`, `failure` tells why a call failed and what to try, `describe` shows an RPC,
//! `tail` follows events, which `line` words, and `screen` is where all of it appears.

mod codec;
mod connection;
mod describe;
mod failure;
mod line;
mod request;
mod schema;
mod screen;
mod session;
mod tail;
mod target;

pub use self::{
    codec::json,
    connection::{Connection, Unreached, Way},
    describe::describe,
    failure::Failure,
    request::{Unfit, read},
    schema::{Schema, UnknownRpc},
    screen::{Paint, Screen, Unwritten, escaped, shown},
    session::{Answers, Refused, Session},
    tail::{Begin, Ended, Tail, Wish},
    target::{NoTarget, Target},
};
