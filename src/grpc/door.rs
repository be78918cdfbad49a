//! Lets connections in: over TCP, with TLS if there is a certificate, and over a Unix socket.
//!
//! There is room for so many, and each must begin to speak HTTP/2 in time, so that nobody holds a place
//! by saying nothing.

mod connection;
pub(super) mod guard;
mod limits;

use std::{convert::Infallible, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _};
use opentelemetry::metrics::Meter;
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

use self::connection::Stream as Bytes;
pub(super) use self::connection::{Connection, Peer};
use crate::{
    fault::Chain,
    lifecycle::Lifecycle,
    socket::Socket,
    tls::{self, Protocol, Tls},
};

/// Owner and group may connect to the Unix socket.
const MODE: u32 = 0o660;

/// How to let connections in.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Path of a Unix socket.
    pub socket: Option<PathBuf>,
    /// Files for TLS.
    pub tls: Option<tls::Files>,
    /// Connections at once.
    pub connections: usize,
    /// How long a connection may take until it speaks HTTP/2.
    pub handshake: Duration,
}

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be taken.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The socket cannot be made.
    #[error("cannot listen on {}: {}", .0.display(), .1)]
    Socket(PathBuf, #[source] io::Error),
    /// The certificate cannot be used.
    #[error("configuration: `grpc.tls`: {}", Chain(.0))]
    Tls(#[from] tls::Error),
}

/// Where connections come in.
#[derive(Debug)]
pub(super) struct Door {
    tcp: TcpListener,
    unix: Option<Socket>,
    entry: Entry,
}

/// What lets one connection in.
#[derive(Debug, Clone)]
struct Entry {
    tls: Option<Tls>,
    places: Arc<Semaphore>,
    most: usize,
    handshake: Duration,
}

impl Door {
    pub(super) async fn bind(config: &Config) -> Result<Self, Error> {
        let tls = match &config.tls {
            Some(files) => Some(Tls::load(files.clone(), Protocol::Http2).await?),
            None => None,
        };
        let address = config.listen;
        let tcp = TcpListener::bind(address).await;
        let tcp = tcp.map_err(|cause| Error::Listen(address, cause))?;
        let unix = match &config.socket {
            Some(path) => {
                Some(Socket::bind(path, MODE).map_err(|cause| Error::Socket(path.clone(), cause))?)
            }
            None => None,
        };
        Ok(Self {
            tcp,
            unix,
            entry: Entry {
                tls,
                places: Arc::new(Semaphore::new(config.connections)),
                most: config.connections,
                handshake: config.handshake,
            },
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Tells how many connections there are.
    pub(super) fn measured_by(&self, meter: &Meter) {
        let (places, most) = (Arc::clone(&self.entry.places), self.entry.most);
        meter
            .u64_observable_gauge("bitrix24.gateway.connections")
            .with_description("Connections of callers that are open.")
            .with_unit("{connection}")
            .with_callback(move |told| {
                let open = most.saturating_sub(places.available_permits());
                told.observe(open as u64, &[]);
            })
            .build();
    }

    /// What reads the certificate again when it changes, if there is one.
    pub(super) fn tls(&self) -> Option<Tls> {
        self.entry.tls.clone()
    }

    /// The connections that came in, until the stop.
    pub(super) fn open(
        self,
        life: &Lifecycle,
    ) -> impl Stream<Item = Result<Connection, Infallible>> {
        let (inside, arrived) = mpsc::channel(64);
        let within = life.clone();
        life.attend("gRPC door", async move {
            tokio::select! {
                () = within.stop().cancelled() => {}
                () = self.accept(inside) => {}
            }
        });
        ReceiverStream::new(arrived).map(Ok)
    }

    async fn accept(self, inside: mpsc::Sender<Connection>) {
        let mut full = false;
        loop {
            let accepted = tokio::select! {
                tcp = self.tcp.accept() => tcp.map(|(stream, from)| Arrived::Tcp(stream, from)),
                unix = accept(self.unix.as_ref()) => unix.map(Arrived::Unix),
            };
            let arrived = match accepted {
                Ok(arrived) => arrived,
                Err(error) => {
                    // Often there are no file descriptors left, and waiting is what helps.
                    warn!(%error, "a connection cannot be taken");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&self.entry.places).try_acquire_owned() else {
                if !full {
                    warn!("all `grpc.max_connections` are in use: further ones are closed");
                }
                full = true;
                continue;
            };
            full = false;
            let (entry, inside) = (self.entry.clone(), inside.clone());
            // A panic costs this connection alone.
            tokio::spawn(async move {
                match entry.let_in(arrived, place).await {
                    // Nobody listens any more once the stop began.
                    Ok(connection) => drop(inside.send(connection).await),
                    Err(error) => debug!(%error, "a connection did not come in"),
                }
            });
        }
    }
}

enum Arrived {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

async fn accept(socket: Option<&Socket>) -> io::Result<UnixStream> {
    match socket {
        Some(socket) => socket.accept().await,
        None => std::future::pending().await,
    }
}

impl Entry {
    async fn let_in(
        &self,
        arrived: Arrived,
        place: OwnedSemaphorePermit,
    ) -> io::Result<Connection> {
        let until = Instant::now() + self.handshake;
        let (bytes, peer) = match arrived {
            Arrived::Unix(stream) => {
                let user = stream.peer_cred()?.uid();
                (Bytes::Unix(stream), Peer::of_process(user))
            }
            Arrived::Tcp(stream, from) => {
                stream.set_nodelay(true)?;
                match &self.tls {
                    None => (Bytes::Tcp(stream), Peer::plain(from)),
                    Some(tls) => {
                        let shaken = timeout_at(until, tls.accept(stream)).await;
                        let (stream, names) = shaken.map_err(|_| io::ErrorKind::TimedOut)??;
                        (Bytes::Tls(Box::new(stream)), Peer::certified(from, names))
                    }
                }
            }
        };
        Ok(Connection::new(bytes, peer, until, place))
    }
}
