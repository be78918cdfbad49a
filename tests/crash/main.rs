//! A real gateway process, killed without warning, and what its next start finds.

#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bot_token;
mod install;
mod keeping;
mod refresh;
mod work;

/// A port that was free a moment ago: the process must come back on the same one.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
