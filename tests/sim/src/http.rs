//! Connections, requests and the ways in which both can break.
//!
//! A [`Site`] decides what is answered; everything about bytes and connections is here, the same
//! for portals, the authorization server and the control interface.

mod body;
mod rest;

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming as RequestBody;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use self::body::ReplyBody;
pub(crate) use self::rest::PortalSite;
use crate::core::{Outcome, Reply};
use crate::fault::FaultKind;

/// Whoever answers at an address.
pub(crate) trait Site: Send + Sync + 'static {
    fn answer(&self, asked: Asked) -> impl Future<Output = Outcome> + Send;
}

/// A request that arrived whole.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    pub(crate) peer: IpAddr,
    /// It came over TLS.
    pub(crate) secure: bool,
}

impl Asked {
    pub(crate) fn header(&self, name: &HeaderName) -> &str {
        let value = self.head.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn content_type(&self) -> &str {
        self.header(&CONTENT_TYPE)
    }

    /// The trace that a client says its request belongs to.
    pub(crate) fn traceparent(&self) -> Option<String> {
        let value = self.head.headers.get("traceparent")?;
        value.to_str().ok().map(str::to_owned)
    }

    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

/// Accepts connections until told to stop.
pub(crate) async fn serve<S: Site>(
    site: Arc<S>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A connection that died before it was accepted concerns nobody.
        let Ok((stream, peer)) = accepted else {
            continue;
        };
        let link = Link {
            peer: peer.ip(),
            secure: tls.is_some(),
            reset: Arc::default(),
        };
        let connection = connection(site.clone(), stream, link, tls.clone());
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection => {}
            }
        });
    }
}

async fn connection<S: Site>(
    site: Arc<S>,
    stream: TcpStream,
    link: Link,
    tls: Option<TlsAcceptor>,
) {
    // Without it small answers wait for the client's acknowledgement of the last ones.
    drop(stream.set_nodelay(true));
    let stream = Breakable {
        stream,
        reset: link.reset.clone(),
    };
    match tls {
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                requests(site, stream, link).await;
            }
        }
        None => requests(site, stream, link).await,
    }
}

/// What the requests of one connection share.
#[derive(Clone, Debug)]
struct Link {
    peer: IpAddr,
    secure: bool,
    reset: Arc<AtomicBool>,
}

async fn requests<S: Site, T>(site: Arc<S>, stream: T, link: Link)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| answer(site.clone(), request, link.clone()));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the client's affair, or a fault of ours.
    drop(served.await);
}

/// The connection is to break without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection breaks on purpose")]
struct Broken;

async fn answer<S: Site>(
    site: Arc<S>,
    request: Request<RequestBody>,
    link: Link,
) -> Result<Response<ReplyBody>, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let asked = Asked {
        head,
        body,
        peer: link.peer,
        secure: link.secure,
    };
    let outcome = site.answer(asked).await;
    match (outcome.reply, outcome.wire) {
        (_, Some(FaultKind::Hang)) => pending::<Result<_, Infallible>>().await.map_err(|_| Broken),
        (Some(reply), Some(FaultKind::Latency(by))) => {
            tokio::time::sleep(by).await;
            Ok(response(reply, None))
        }
        (Some(reply), wire) => Ok(response(reply, wire)),
        (None, _) => {
            link.reset.store(true, Ordering::Relaxed);
            Err(Broken)
        }
    }
}

fn response(reply: Reply, wire: Option<FaultKind>) -> Response<ReplyBody> {
    let body = ReplyBody::of(reply.body, wire);
    let mut builder = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    builder.body(body).unwrap_or_else(|_| {
        // Only a fault with impossible headers comes here.
        let mut response = Response::new(ReplyBody::of("impossible fault".into(), None));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// A page of HTML, as a web server shows to browsers.
pub(crate) fn page(status: u16, title: &str) -> Reply {
    let body = format!("<!DOCTYPE html><html><body><h1>{title}</h1></body></html>");
    let headers = vec![(
        "content-type".to_owned(),
        "text/html; charset=UTF-8".to_owned(),
    )];
    Reply {
        status,
        headers,
        body: body.into(),
    }
}

/// A TCP stream that can end with a reset instead of a farewell.
#[derive(Debug)]
struct Breakable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Breakable {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Breakable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Breakable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
