//! Takes connections, each for one request, and ends whatever takes too long.
//!
//! One request a connection: callbacks come one by one, a browser asks for a page or two, and there is
//! no pool of idle connections to look after. Each part of an exchange is bounded, and the whole too.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Error;
use crate::{
    lifecycle::Lifecycle,
    tls::{Files, Protocol, Tls},
};

/// How long the handshake of TLS may take, and then the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// How long a connection may take altogether. What is done for a request is bounded below this.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest head of a request, bytes.
const HEAD_BYTES: usize = 16 << 10;

/// The most headers of a request.
const HEADERS: usize = 64;

/// Where to listen.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) listen: SocketAddr,
    pub(super) tls: Option<Files>,
    /// Connections at once.
    pub(super) connections: usize,
    /// What an operator calls that limit.
    pub(super) limit: &'static str,
}

/// An address that was taken, and what connections there go through.
#[derive(Debug)]
pub(super) struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
    places: Arc<Semaphore>,
    limit: &'static str,
}

impl Listener {
    pub(super) async fn bind(place: Place) -> Result<Self, Error> {
        let tls = match place.tls {
            Some(files) => Some(Tls::load(files, Protocol::Http1).await?),
            None => None,
        };
        let tcp = TcpListener::bind(place.listen).await;
        Ok(Self {
            tcp: tcp.map_err(|cause| Error::Listen(place.listen, cause))?,
            tls,
            places: Arc::new(Semaphore::new(place.connections)),
            limit: place.limit,
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until the stop begins; connections under way finish. `turned_away` is told of each connection
    /// for which there is no place.
    pub(super) async fn serve(self, routes: Router, turned_away: impl Fn(), life: Lifecycle) {
        let stop = life.stop().clone();
        if let Some(tls) = self.tls.clone() {
            life.spawn("certificate for HTTP", tls.keep_reading(stop.clone()));
        }
        let mut full = false;
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.tcp.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Often there are no file descriptors left, and waiting is what helps.
                    warn!(%error, "a connection cannot be taken");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                if !full {
                    warn!("all {} are in use: further ones are closed", self.limit);
                }
                full = true;
                turned_away();
                continue;
            };
            full = false;
            let served = connection(stream, self.tls.clone(), routes.clone(), stop.clone());
            life.serve(async move {
                if timeout(LONGEST, served).await.is_err() {
                    debug!("a connection took too long and is cut");
                }
                drop(place);
            });
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<Tls>, routes: Router, stop: CancellationToken) {
    // Without it small answers may wait for the acknowledgement of the last piece.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection did not come in");
        return;
    }
    match tls {
        None => exchange(stream, routes, stop).await,
        Some(tls) => match timeout(HEAD, tls.accept(stream)).await {
            Ok(Ok((stream, _))) => exchange(stream, routes, stop).await,
            Ok(Err(error)) => debug!(%error, "a connection did not come in"),
            Err(_) => debug!("a connection did not come in in time"),
        },
    }
}

async fn exchange<S>(stream: S, routes: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(routes);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke off");
    }
}
