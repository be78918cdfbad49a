//! Named subscriptions: what was handed out comes again until it is done, and never after.

mod answers;
mod aside;
mod attempts;
mod bounds;
mod manage;
mod order;
mod stage;
mod types;
