//! The one writer.
//!
//! What waits is run in one transaction and answered after its commit, so a hundred callers pay for
//! one `fsync`. Each piece of work has a savepoint of its own: when it fails, its neighbours do not.
//!
//! Invariant: nobody is told of success before the commit.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
};

use super::{Failure, Held, schema};
use crate::{lifecycle::Pulse, store::Error};

/// Most pieces of work in one transaction.
const GROUP: usize = 256;
/// Most pieces of work waiting; more of them wait outside.
const WAITING: usize = 1024;

/// Hands work to the writer. The writer ends when this is dropped.
pub(in crate::store) struct Writer {
    requests: mpsc::Sender<Request>,
    commits: Arc<AtomicU64>,
    writable: watch::Receiver<bool>,
    pulse: Pulse,
}

enum Request {
    Work(Box<dyn Job>),
    Stop(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the writer on the current runtime. What comes back with it tells the head of the log.
    pub(in crate::store) fn start(
        held: Held,
        path: PathBuf,
        head: u64,
    ) -> (Self, watch::Receiver<u64>) {
        let (requests, waiting) = mpsc::channel(WAITING);
        let (tell_head, head) = watch::channel(head);
        let (tell_writable, writable) = watch::channel(true);
        let commits = Arc::new(AtomicU64::new(0));
        let pulse = Pulse::default();
        let task = Task {
            held: Arc::new(Mutex::new(held)),
            path: path.into(),
            waiting,
            head: tell_head,
            commits: Arc::clone(&commits),
            writable: tell_writable,
            pulse: pulse.clone(),
        };
        // Its end is seen by whoever follows `writable`.
        tokio::spawn(task.run());
        let writer = Self {
            requests,
            commits,
            writable,
            pulse,
        };
        (writer, head)
    }

    /// Runs work in a transaction and waits for its commit. Once handed over it runs to its end,
    /// whether or not the caller still waits.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Work {
            work: Some(work),
            outcome: None,
            reply,
        });
        self.requests
            .send(Request::Work(job))
            .await
            .map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::BrokeOff)?
    }

    /// Lets the writer finish what waits and close the database.
    pub(in crate::store) async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        if self.requests.send(Request::Stop(done)).await.is_ok() {
            // An error means that it has ended already.
            let _ = ended.await;
        }
    }

    pub(in crate::store) fn writable(&self) -> watch::Receiver<bool> {
        self.writable.clone()
    }

    pub(in crate::store) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    pub(in crate::store) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

struct Task {
    held: Arc<Mutex<Held>>,
    path: Arc<Path>,
    waiting: mpsc::Receiver<Request>,
    head: watch::Sender<u64>,
    commits: Arc<AtomicU64>,
    writable: watch::Sender<bool>,
    pulse: Pulse,
}

impl Task {
    async fn run(mut self) {
        let mut stops = Vec::new();
        let mut requests = Vec::with_capacity(GROUP);
        while self.waiting.recv_many(&mut requests, GROUP).await > 0 {
            let mut jobs = Vec::with_capacity(requests.len());
            for request in requests.drain(..) {
                match request {
                    Request::Work(job) => jobs.push(job),
                    Request::Stop(done) => {
                        self.waiting.close();
                        stops.push(done);
                    }
                }
            }
            if !jobs.is_empty() {
                let _owed = self.pulse.owe();
                self.commit(jobs).await;
            }
        }
        // Closing copies the write-ahead log into the database.
        let held = self.held;
        let _ = spawn_blocking(move || {
            let held_back = held.lock().unwrap_or_else(PoisonError::into_inner);
            // Without this mark the next process looks the store over, which does no harm.
            let _ = schema::end(&held_back.connection, held_back.epoch);
            drop(held_back);
            drop(held);
        })
        .await;
        for done in stops {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    async fn commit(&self, mut jobs: Vec<Box<dyn Job>>) {
        let held = Arc::clone(&self.held);
        let path = Arc::clone(&self.path);
        let done = spawn_blocking(move || {
            // A panic in a piece of work rolled its transaction back; the connection is sound.
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let committed = commit(&mut held, &mut jobs, &path);
            (committed, jobs)
        });
        // Work that panicked took the group with it: its callers see their answer break off.
        if let Ok((committed, jobs)) = done.await {
            let works = committed.is_ok();
            self.writable
                .send_if_modified(|known| std::mem::replace(known, works) != works);
            if let Ok(head) = committed {
                self.commits.fetch_add(1, Ordering::Relaxed);
                self.head
                    .send_if_modified(|known| std::mem::replace(known, head) != head);
            }
            for job in jobs {
                job.answer(committed.clone().map(|_| ()));
            }
        }
    }
}

/// Runs a group and commits it. What comes back is the head of the log.
fn commit(held: &mut Held, jobs: &mut [Box<dyn Job>], path: &Path) -> Result<u64, Error> {
    let sqlite = |cause| Error::sqlite(path, cause);
    let mut group = held
        .connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    // The lock keeps others out, where locks hold.
    if schema::epoch(&group).map_err(sqlite)? != held.epoch {
        return Err(Error::TakenOver {
            path: path.to_owned(),
        });
    }
    for job in jobs {
        let outcome = job.run(&mut group, path);
        // A full disk and its like make SQLite undo the whole transaction by itself. What would run
        // after that would be committed one by one, and what ran before is lost.
        if group.is_autocommit() {
            return Err(outcome.err().unwrap_or(Error::BrokeOff));
        }
    }
    let head = schema::head(&group).map_err(sqlite)?;
    group.commit().map_err(sqlite)?;
    Ok(head)
}

/// A piece of work whose result has some type.
trait Job: Send {
    /// Does the work; an error was undone, and is what [`Job::answer`] will tell.
    fn run(&mut self, group: &mut Transaction<'_>, path: &Path) -> Result<(), Error>;

    /// Tells the caller, now that the fate of the group is known.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

struct Work<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Failure> + Send,
{
    fn run(&mut self, group: &mut Transaction<'_>, path: &Path) -> Result<(), Error> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        let outcome = apart(group, work).map_err(|failure| failure.at(path));
        let told = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        self.outcome = Some(outcome);
        told
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let answer = match (committed, self.outcome) {
            // Its own failure says more than that of the group.
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Ok(()), None) => Err(Error::BrokeOff),
        };
        // The caller may have stopped waiting.
        let _ = self.reply.send(answer);
    }
}

/// Runs work so that its failure undoes nothing but itself.
fn apart<T>(
    group: &mut Transaction<'_>,
    work: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let savepoint = group.savepoint()?;
    let value = work(&savepoint)?;
    savepoint.commit()?;
    Ok(value)
}
