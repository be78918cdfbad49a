//! The gateway through its own door, with a simulated portal behind it.
//!
//! Gateway, portal and client share one runtime with a paused clock: ten minutes of portal time pass
//! in milliseconds, and nothing waits for luck.

mod scene;

mod answers;
mod story;
