//! What is told on a terminal of something that takes long.

use std::{
    future::Future,
    io::{self, IsTerminal as _, Write},
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
    match io::stderr().is_terminal() {
        true => shown(what, work, io::stderr()).await,
        false => work.await,
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

async fn shown<T>(what: &str, work: impl Future<Output = T>, mut terminal: impl Write) -> T {
    let mut work = pin!(work);
    let began = Instant::now();
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                if told {
                    write(&mut terminal, "\r\x1b[K");
                }
                return done;
            }
            () = sleep(LONG) => {
                told = true;
                let seconds = began.elapsed().as_secs();
                write(&mut terminal, &format!("\r\x1b[K{what} ... {seconds} s"));
            }
        }
    }
}

fn write(terminal: &mut impl Write, text: &str) {
    // A terminal that has gone needs to be told nothing.
    let _written = terminal.write_all(text.as_bytes());
    let _flushed = terminal.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_told_every_second_and_wiped_away() {
        let mut terminal = Vec::new();
        let work = sleep(Duration::from_millis(2500));
        shown("copying", work, &mut terminal).await;
        let told = String::from_utf8(terminal).unwrap();
        assert_eq!(
            told,
            "\r\x1b[Kcopying ... 1 s\r\x1b[Kcopying ... 2 s\r\x1b[K"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_at_once_is_not_told() {
        let mut terminal = Vec::new();
        assert_eq!(shown("copying", async { 7 }, &mut terminal).await, 7);
        assert!(terminal.is_empty());
    }
}
