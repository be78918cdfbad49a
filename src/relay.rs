//! A relay beside a bot: gRPC in from this machine, gRPC out to the gateway, unread.
//!
//! It has no store, no portal and no credential of one. What it adds is its own identity, so that the
//! processes beside it need none: whatever a caller says in `authorization` is dropped, since nobody is
//! to speak as somebody else through it. What callers and gateway say to each other passes in frames of
//! HTTP/2 as they come: nothing is collected, so who does not read is not sent to.
//!
//! `upstream` holds connections to the gateway and `identity` what is shown there, `pass` takes a call
//! through, `body` ends an answer that cannot be, and `refused` is all that the relay says by itself.

mod body;
mod identity;
mod pass;
mod refused;
mod upstream;

use std::{convert::Infallible, io, net::SocketAddr, path::PathBuf, pin::pin, time::Duration};

use futures_util::StreamExt as _;
use hyper::{
    header::HeaderValue,
    http::uri::{Authority, InvalidUri},
    server::conn::http2::Builder,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub(crate) use self::identity::Identity;
pub use self::{
    identity::{Error as IdentityError, Files},
    upstream::Target,
};
use self::{pass::Way, upstream::Upstream};
use crate::{
    fault::Chain,
    grpc::{Connection, Door, Error as DoorError, Local},
    lifecycle::Lifecycle,
};

/// What may be on its way in one stream, bytes.
const WINDOW: u32 = 128 << 10;

/// What may be on its way in one connection, bytes: room for many streams that nobody reads.
const WINDOWS: u32 = 16 << 20;

/// What one stream may have waiting to be sent, bytes.
const SEND_BUFFER: usize = 64 << 10;

/// Calls and streams at once on one connection: as many as a gateway takes.
const STREAMS: u32 = 2000;

/// Fields of one call, bytes: as much as a gateway can be told to take, whose limit counts.
const FIELDS: u32 = 1 << 20;

/// Idle connections of callers are asked for a sign of life this often.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long a connection may owe that sign.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a connection may take until it speaks HTTP/2.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where calls come from and where they go.
#[derive(Debug, Clone)]
pub struct Config {
    /// Path of a Unix socket to listen on.
    pub socket: Option<PathBuf>,
    /// An address of this machine to listen on; port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Connections of callers at once.
    pub connections: usize,
    /// The gateway.
    pub upstream: Target,
    /// What proves the relay there.
    pub files: Files,
    /// Patience with connecting.
    pub connect_timeout: Duration,
    /// How often the gateway is asked for a sign of life.
    pub keepalive: Duration,
    /// Which pod the relay stands in, `namespace/name`.
    pub pod: Option<HeaderValue>,
}

/// Why there is no relay.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket or the address cannot be taken.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// What is to prove the relay cannot be used.
    #[error("configuration: `relay`: {}", Chain(.0))]
    Identity(#[from] IdentityError),
    /// The gateway's address is none.
    #[error("configuration: `relay.upstream` cannot be used: {0}")]
    Upstream(#[from] InvalidUri),
}

/// Whether the files of an identity can be used.
///
/// # Errors
///
/// The first that cannot.
pub async fn check(files: Files) -> Result<(), Error> {
    Identity::load(files).await?;
    Ok(())
}

/// A relay that is bound and not yet serving.
#[derive(Debug)]
pub struct Relay {
    door: Door,
    identity: Identity,
    upstream: Upstream,
    pod: Option<HeaderValue>,
}

/// Tells whether the gateway is reached. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sign(Upstream);

impl Sign {
    /// One line for operators.
    #[must_use]
    pub fn line(&self) -> String {
        self.0.told()
    }
}

impl Relay {
    /// Reads what proves the relay, and takes the socket and the address.
    ///
    /// # Errors
    ///
    /// When a file cannot be used, or a place not be taken.
    pub async fn bind(config: Config, life: &Lifecycle) -> Result<Self, Error> {
        let identity = Identity::load(config.files).await?;
        let Target { host, port, .. } = &config.upstream;
        let authority: Authority = format!("{host}:{port}").parse()?;
        let upstream = Upstream::new(
            config.upstream,
            authority,
            identity.clone(),
            (config.connect_timeout, config.keepalive),
            life.clone(),
        );
        let door = Door::local(Local {
            listen: config.listen,
            socket: config.socket,
            connections: config.connections,
            limit: "relay.max_connections",
            handshake: HANDSHAKE,
        });
        Ok(Self {
            door: door.await?,
            identity,
            upstream,
            pod: config.pod,
        })
    }

    /// The address taken, if there is one beside a socket.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        self.door.address().transpose()
    }

    /// Tells whether the gateway is reached.
    #[must_use]
    pub fn sign(&self) -> Sign {
        Sign(self.upstream.clone())
    }

    /// Takes connections until the stop begins. Those that are there are kept by `life` until their
    /// last call ended.
    pub async fn run(self, life: &Lifecycle) {
        let stop = life.stop().clone();
        life.spawn("relay identity", self.identity.keep_reading(stop.clone()));
        life.spawn("relay upstream", self.upstream.clone().keep(stop.clone()));
        let mut incoming = pin!(self.door.open(life));
        while let Some(Ok(connection)) = incoming.next().await {
            let cut = CancellationToken::new();
            let way = Way::new(
                self.upstream.clone(),
                self.pod.clone(),
                stop.clone(),
                cut.clone(),
            );
            life.serve(serve(connection, way, stop.clone(), cut));
        }
    }
}

/// Serves one connection: until it ends, or is cut, or until its last call after the stop.
async fn serve(connection: Connection, way: Way, stop: CancellationToken, cut: CancellationToken) {
    let service = service_fn(move |request| {
        let passing = way.clone().pass(request);
        async { Ok::<_, Infallible>(passing.await) }
    });
    let mut serving = pin!(
        Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOWS)
            .max_send_buf_size(SEND_BUFFER)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(FIELDS)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(PATIENCE)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(connection), service)
    );
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    debug!(error = %Chain(&error), "a caller's connection was lost");
                }
                return;
            }
            () = cut.cancelled() => return,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}
