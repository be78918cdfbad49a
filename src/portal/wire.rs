//! The portal's language: exact in what we say, tolerant in what we hear.
//!
//! A portal is a PHP application: an empty map arrives as a list, an id as a string, a missing date
//! as `false`, and anything may be absent. So every reading goes through [`lenient`], no field but an
//! identity is required, and what nobody knows is kept or ignored but never an error.
//!
//! Nothing here knows HTTP, time or configuration: these are pure functions of what was said.

pub mod method;

pub mod answer;
pub mod batch;
pub mod entity;
pub mod envelope;
pub mod event;

pub mod callback;
pub mod oauth;

pub mod form;
pub mod lenient;

pub use entity::{Bot, Chat, Command, Message, User};
pub use envelope::{Refusal, Reply, Time};
pub use event::{Event, EventPage};
pub use lenient::Unreadable;
pub use method::Method;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod mutate;
