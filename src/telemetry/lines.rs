//! Log lines on their way to standard error.
//!
//! A line that comes alone is written at once. What follows within a few milliseconds is collected and
//! written together, because a system call for each line of a busy gateway costs more than the line.
//! Warnings and errors never wait, and take what waits along.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The longest that a line waits for others.
const PAUSE: Duration = Duration::from_millis(5);

/// More than this is not collected, bytes.
const MOST: usize = 64 << 10;

static LINES: OnceLock<Lines> = OnceLock::new();

/// Lines on their way to one place. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    collected: Condvar,
}

struct Waiting {
    /// Where they go.
    out: Box<dyn Write + Send>,
    /// Whole lines.
    bytes: Vec<u8>,
    /// Somebody writes what is collected.
    collects: bool,
    written_at: Option<Instant>,
}

/// Writes one line.
#[derive(Debug)]
pub(super) struct Pen<'a> {
    shared: &'a Shared,
    urgent: bool,
}

impl Lines {
    /// Written one by one as long as nobody writes what was collected.
    fn to(out: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Shared {
            waiting: Mutex::new(Waiting {
                out,
                bytes: Vec::new(),
                collects: false,
                written_at: None,
            }),
            collected: Condvar::new(),
        }))
    }

    /// Those of this process, with the thread that writes what was collected.
    pub(super) fn of_process() -> Self {
        let lines = LINES.get_or_init(|| {
            let lines = Self::to(Box::new(io::stderr()));
            let writer = lines.clone();
            let thread = thread::Builder::new().name("log".to_owned());
            let started = thread.spawn(move || writer.0.write_collected());
            lines.0.waiting().collects = started.is_ok();
            lines
        });
        lines.clone()
    }
}

/// Writes what was collected, for whoever writes past the log or ends the process.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.0.waiting().write();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_collected(&self) {
        loop {
            let idle = |waiting: &mut Waiting| waiting.bytes.is_empty();
            let waiting = self.collected.wait_while(self.waiting(), idle);
            drop(waiting);
            thread::sleep(PAUSE);
            self.waiting().write();
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiting({} bytes)", self.bytes.len())
    }
}

impl Waiting {
    fn write(&mut self) {
        // Nobody is left to be told when this fails.
        let _written = self.out.write_all(&self.bytes);
        self.bytes.clear();
        self.written_at = Some(Instant::now());
    }
}

impl Write for Pen<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.shared.waiting();
        let first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        let alone = first && waiting.written_at.is_none_or(|at| at.elapsed() >= PAUSE);
        if alone || self.urgent || !waiting.collects || waiting.bytes.len() >= MOST {
            waiting.write();
        } else if first {
            self.shared.collected.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Pen<'a>;

    fn make_writer(&'a self) -> Pen<'a> {
        Pen {
            shared: &self.0,
            urgent: true,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Pen<'a> {
        Pen {
            shared: &self.0,
            urgent: *metadata.level() <= Level::WARN,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// What was written, each write by itself.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            self.0.lock().unwrap().push(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    fn lines() -> (Lines, Written) {
        let written = Written::default();
        let lines = Lines::to(Box::new(written.clone()));
        // The part of the thread is played by the test.
        lines.0.waiting().collects = true;
        (lines, written)
    }

    fn tell(lines: &Lines, urgent: bool, line: &str) {
        let shared = &*lines.0;
        Pen { shared, urgent }.write_all(line.as_bytes()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn line_that_comes_alone_is_written_at_once() {
        let (lines, written) = lines();
        tell(&lines, false, "one\n");
        assert_eq!(written.take(), ["one\n"]);
        advance(PAUSE).await;
        tell(&lines, false, "two\n");
        assert_eq!(written.take(), ["two\n"]);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_close_together_are_written_together() {
        let (lines, written) = lines();
        for line in ["one\n", "two\n", "three\n"] {
            tell(&lines, false, line);
        }
        assert_eq!(written.take(), ["one\n"]);
        lines.0.waiting().write();
        assert_eq!(written.take(), ["two\nthree\n"]);
    }

    #[tokio::test(start_paused = true)]
    async fn warning_does_not_wait_and_takes_along_what_came_before_it() {
        let (lines, written) = lines();
        tell(&lines, false, "one\n");
        tell(&lines, false, "two\n");
        tell(&lines, true, "warning\n");
        assert_eq!(written.take(), ["one\n", "two\nwarning\n"]);
    }

    #[tokio::test(start_paused = true)]
    async fn much_is_not_held_back() {
        let (lines, written) = lines();
        tell(&lines, false, "one\n");
        tell(&lines, false, &"x".repeat(MOST));
        assert_eq!(written.take().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_thread_every_line_is_written_at_once() {
        let (lines, written) = lines();
        lines.0.waiting().collects = false;
        tell(&lines, false, "one\n");
        tell(&lines, false, "two\n");
        assert_eq!(written.take(), ["one\n", "two\n"]);
    }

    #[test]
    fn thread_writes_what_was_collected() {
        let (lines, written) = lines();
        tell(&lines, false, "one\n");
        tell(&lines, false, "two\n");
        let writer = lines.clone();
        thread::spawn(move || writer.0.write_collected());
        while !lines.0.waiting().bytes.is_empty() {
            thread::yield_now();
        }
        assert_eq!(written.take().concat(), "one\ntwo\n");
    }
}
