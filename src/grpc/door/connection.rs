//! A connection, and who is at its other end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::authority::Mending;
use crate::callers::Credential;

/// What HTTP/2 begins with, bytes.
const PREFACE: usize = 24;

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    /// Whose turn it takes while nobody is authenticated.
    turn: Arc<str>,
    /// Nobody between us reads what is sent.
    confidential: bool,
    /// What the connection itself proves.
    credential: Credential,
}

impl Peer {
    /// At the other end of a TCP connection anybody can read.
    pub(super) fn plain(from: SocketAddr) -> Self {
        let loopback = from.ip().to_canonical().is_loopback();
        Self::new(from.to_string(), loopback, Credential::None)
    }

    /// At the other end of a TLS connection, perhaps with a certificate of these names.
    pub(super) fn certified(from: SocketAddr, names: Vec<Box<str>>) -> Self {
        let credential = if names.is_empty() {
            Credential::None
        } else {
            Credential::Certificate(names.into())
        };
        Self::new(from.to_string(), true, credential)
    }

    /// A process of this user on this machine.
    pub(super) fn of_process(user: u32) -> Self {
        Self::new(format!("uid:{user}"), true, Credential::User(user))
    }

    fn new(turn: String, confidential: bool, credential: Credential) -> Self {
        Self(Arc::new(Facts {
            turn: turn.into(),
            confidential,
            credential,
        }))
    }

    pub(super) fn turn(&self) -> &Arc<str> {
        &self.0.turn
    }

    pub(super) fn is_confidential(&self) -> bool {
        self.0.confidential
    }

    pub(super) fn credential(&self) -> &Credential {
        &self.0.credential
    }
}

/// How bytes come and go.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// A connection that came in. Its place is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    opening: Option<Opening>,
    /// What clients of a Unix socket name it.
    mending: Option<Mending>,
    _place: OwnedSemaphorePermit,
}

/// A connection must have said what HTTP/2 begins with by a time.
#[derive(Debug)]
struct Opening {
    missing: usize,
    until: Pin<Box<Sleep>>,
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        peer: Peer,
        until: Instant,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let mending = matches!(stream, Stream::Unix(_)).then(Mending::default);
        Self {
            stream,
            peer,
            mending,
            opening: Some(Opening {
                missing: PREFACE,
                until: Box::pin(sleep_until(until)),
            }),
            _place: place,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        let read = match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if let Some(mending) = &mut this.mending {
            mending.mend(&mut buffer.filled_mut()[before..]);
        }
        let Some(opening) = &mut this.opening else {
            return read;
        };
        match read {
            Poll::Ready(Ok(())) => {
                let came = buffer.filled().len() - before;
                opening.missing = opening.missing.saturating_sub(came);
                if opening.missing == 0 {
                    this.opening = None;
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(failed) => Poll::Ready(failed),
            Poll::Pending => {
                ready!(opening.until.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(context, parts),
            Stream::Unix(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
            Stream::Unix(stream) => stream.is_write_vectored(),
        }
    }
}
