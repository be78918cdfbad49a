//! The things a portal talks about: users, bots, chats, messages, commands (C14).
//!
//! Only the `id` is required; samples and events show every other field missing somewhere. The same
//! reading serves answers, fetched events and webhook bodies, in which all scalars are strings.

mod bot;
mod chat;
mod command;
mod message;
mod user;

pub use bot::Bot;
pub use chat::Chat;
pub use command::Command;
pub use message::{Forward, Message};
pub use user::User;

#[cfg(test)]
mod tests;
