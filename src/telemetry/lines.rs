//! Log lines on their way to standard error.
//!
//! A line that comes alone is written at once. What follows within a few milliseconds is collected and
//! written together, because a system call for each line of a busy gateway costs more than the line.
//! Warnings and errors never wait, and take what waits along.

use std::{
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

/// The lines of this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    collected: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
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
    /// Those of this process, with the thread that writes what was collected.
    pub(super) fn of_process() -> Self {
        let lines = LINES.get_or_init(|| {
            let lines = Self::default();
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

impl Waiting {
    fn write(&mut self) {
        // Nobody is left to be told when this fails.
        let _written = io::stderr().write_all(&self.bytes);
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
