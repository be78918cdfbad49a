//! A real gateway process, killed without warning or stopped in order, and what its next start finds.

#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bot_token;
mod drain;
mod hooks;
mod install;
mod keeping;
mod refresh;
mod subscriptions;
mod work;

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};
use tokio::time::{sleep, timeout};

/// Longer than anything here takes; a token that may still be replaced is in doubt for 70 s.
const PATIENCE: Duration = Duration::from_secs(100);

/// Waits until something holds.
async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

/// The database of a gateway that may run.
fn database(folder: &Path, flags: OpenFlags) -> Connection {
    let database = Connection::open_with_flags(folder.join("store/store.db"), flags).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    database
}

/// Keeps everybody from writing until dropped.
fn lock(folder: &Path) -> Connection {
    let lock = database(folder, OpenFlags::SQLITE_OPEN_READ_WRITE);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    lock
}

/// A number from the environment.
fn number(name: &str) -> Option<usize> {
    text(name)?.parse().ok()
}

/// A text from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "how and where to test is not the gateway's configuration"
)]
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A port that was free a moment ago: the process must come back on the same one.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
