//! What stands in front of a client that listens on loopback, so that portals can post to it by https.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a connection may take until it speaks TLS.
const PATIENCE: Duration = Duration::from_secs(10);

/// An address that speaks TLS with a certificate portals trust, and passes on what it hears. It closes
/// when this is dropped.
#[derive(Debug)]
pub struct Ingress {
    port: u16,
    behind: Arc<OnceLock<SocketAddr>>,
    _stop: DropGuard,
}

impl Ingress {
    pub(crate) fn open(listener: TcpListener, port: u16, tls: TlsAcceptor) -> Self {
        let stop = CancellationToken::new();
        let behind = Arc::default();
        tokio::spawn(accept(listener, tls, Arc::clone(&behind), stop.clone()));
        Self {
            port,
            behind,
            _stop: stop.drop_guard(),
        }
    }

    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Names the plain listener behind it; before, connections are closed. The first name counts.
    pub fn leads_to(&self, behind: SocketAddr) {
        let _first = self.behind.set(behind);
    }
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    behind: Arc<OnceLock<SocketAddr>>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A connection that died before it was accepted concerns nobody.
        let (Ok((stream, _)), Some(behind)) = (accepted, behind.get().copied()) else {
            continue;
        };
        let (tls, stop) = (tls.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = pass(stream, tls, behind) => {}
            }
        });
    }
}

async fn pass(stream: TcpStream, tls: TlsAcceptor, behind: SocketAddr) {
    let Ok(Ok(mut outside)) = tokio::time::timeout(PATIENCE, tls.accept(stream)).await else {
        return;
    };
    if let Ok(mut inside) = TcpStream::connect(behind).await {
        // How a connection ends is the affair of its two ends.
        drop(copy_bidirectional(&mut outside, &mut inside).await);
    }
}
