//! What is told on a terminal of something that takes long.

use std::{
    future::Future,
    io::{self, IsTerminal as _, Write as _},
    pin::pin,
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

/// After so long it is told that something takes long, and then again and again.
const LONG: Duration = Duration::from_secs(1);

/// Has something done; says on a terminal for how long already.
pub(super) async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if !io::stderr().is_terminal() {
        return work.await;
    }
    let began = Instant::now();
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                if told {
                    write("\r\x1b[K");
                }
                return done;
            }
            () = sleep(LONG) => {
                told = true;
                write(&format!("\r\x1b[K{what} ... {} s", began.elapsed().as_secs()));
            }
        }
    }
}

/// The same of what holds up a thread.
pub(super) async fn working<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match during(what, spawn_blocking(work)).await {
        Ok(done) => done,
        Err(broken) => std::panic::resume_unwind(broken.into_panic()),
    }
}

fn write(text: &str) {
    let mut terminal = io::stderr().lock();
    // A terminal that has gone needs to be told nothing.
    let _written = terminal.write_all(text.as_bytes());
    let _flushed = terminal.flush();
}
