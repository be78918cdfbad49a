//! Posts events, each in a dialog of its own, some at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{body::Body, common::Outcome};

/// Posted at once.
const AT_ONCE: usize = 64;

pub(crate) struct Poster {
    address: String,
    path: String,
    body: Arc<Body>,
    posted: AtomicUsize,
}

impl Poster {
    pub(crate) fn new(address: &str, path: &str, bot: &str) -> Outcome<Self> {
        Ok(Self {
            address: address.to_owned(),
            path: path.to_owned(),
            body: Arc::new(Body::of(bot).ok_or("no bot")?),
            posted: AtomicUsize::new(0),
        })
    }

    /// Posts so many, and waits until all are taken.
    pub(crate) async fn post(&self, count: usize) -> Outcome<()> {
        let from = self.posted.fetch_add(count, Ordering::Relaxed);
        stream::iter(from..from + count)
            .map(|number| self.one(number))
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn one(&self, number: usize) -> Outcome<()> {
        let body = self.body.numbered(&format!("1{number:06}"));
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{body}",
            self.path,
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(256);
        stream.read_to_end(&mut answer).await?;
        if answer.starts_with(b"HTTP/1.1 200") {
            Ok(())
        } else {
            Err(format!("not taken: {}", String::from_utf8_lossy(&answer)).into())
        }
    }
}

/// The time of day, by the clock that the gateway has too.
pub(crate) fn since_epoch() -> Duration {
    let now = jiff::Timestamp::now();
    let now: std::time::SystemTime = now.into();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
