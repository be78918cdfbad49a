//! How we call a portal, and how what it says is understood.
//!
//! [`wire`] reads and writes the portal's language and knows no network; [`transport`] carries bytes
//! and knows no meaning; [`error`] turns either one's failure into an answer to "did it run, and what
//! now?".

pub mod error;
pub mod transport;
pub mod wire;

pub use error::Error;
