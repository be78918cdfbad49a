//! The readers: a few connections that never wait for the writer, nor it for them.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OpenFlags};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{Failure, connect};
use crate::store::Error;

/// Most readers at a time.
const READERS: u32 = 4;

/// Read-only connections, made when first needed.
pub(in crate::store) struct Readers {
    pool: Arc<Pool>,
    permits: Arc<Semaphore>,
}

struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(in crate::store) fn new(path: PathBuf) -> Self {
        Self {
            pool: Arc::new(Pool {
                path,
                idle: Mutex::default(),
            }),
            permits: Arc::new(Semaphore::new(READERS as usize)),
        }
    }

    /// Runs a query away from the runtime's own threads.
    pub(in crate::store) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Error::Closed)?;
        let pool = Arc::clone(&self.pool);
        let done = spawn_blocking(move || {
            let answer = pool.run(query).map_err(|failure| failure.at(&pool.path));
            // Given back only when the connection lies in the pool again.
            drop(permit);
            answer
        });
        done.await.map_err(|_| Error::BrokeOff)?
    }

    /// Waits for the queries under way and closes the connections.
    pub(in crate::store) async fn close(&self) {
        // An error means that this was done before.
        let all = self.permits.acquire_many(READERS).await;
        self.permits.close();
        self.pool.lock().clear();
        drop(all);
    }
}

impl Pool {
    fn run<T>(&self, query: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let answer = query(&connection);
        self.lock().push(connection);
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
