//! Connections, requests and the ways in which both can break.
//!
//! This is the only place that waits. A request that takes time runs in a task of its own, so
//! that its effect comes even when the client has gone: a portal does not notice that.

mod body;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming as RequestBody;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use self::body::ReplyBody;
use crate::core::{Incoming, Outcome, Reply};
use crate::fault::FaultKind;
use crate::params::Params;
use crate::portal::Inner;

/// Accepts connections until the portal is stopped.
pub(crate) async fn serve(portal: Arc<Inner>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let accepted = tokio::select! {
            () = portal.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // A connection that died before it was accepted concerns nobody.
        let Ok((stream, peer)) = accepted else {
            continue;
        };
        tokio::spawn(connection(portal.clone(), stream, peer.ip(), tls.clone()));
    }
}

async fn connection(portal: Arc<Inner>, stream: TcpStream, peer: IpAddr, tls: Option<TlsAcceptor>) {
    let stop = portal.stop.clone();
    // Without it small answers wait for the client's acknowledgement of the last ones.
    drop(stream.set_nodelay(true));
    let link = Link {
        peer,
        secure: tls.is_some(),
        reset: Arc::default(),
    };
    let stream = Breakable {
        stream,
        reset: link.reset.clone(),
    };
    let serving = async {
        match tls {
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    requests(portal, stream, link).await;
                }
            }
            None => requests(portal, stream, link).await,
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = serving => {}
    }
}

/// What the requests of one connection share.
#[derive(Clone, Debug)]
struct Link {
    peer: IpAddr,
    secure: bool,
    reset: Arc<AtomicBool>,
}

async fn requests<S>(portal: Arc<Inner>, stream: S, link: Link)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| answer(portal.clone(), request, link.clone()));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // How a connection ends is the client's affair, or a fault of ours.
    drop(served.await);
}

/// The connection is to break without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection breaks on purpose")]
struct Broken;

async fn answer(
    portal: Arc<Inner>,
    request: Request<RequestBody>,
    link: Link,
) -> Result<Response<ReplyBody>, Broken> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    let Some(incoming) = read(&head, &body, &link) else {
        return Ok(no_such_page());
    };
    let outcome = execute(&portal, incoming).await?;
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

async fn execute(portal: &Arc<Inner>, incoming: Incoming) -> Result<Outcome, Broken> {
    let admitted = {
        let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = portal.clock.now();
        let admitted = state.admit(incoming, now);
        if admitted.latency == Duration::ZERO {
            return Ok(state.finish(admitted, now));
        }
        admitted
    };
    let portal = portal.clone();
    let running = tokio::spawn(async move {
        tokio::time::sleep(admitted.latency).await;
        let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = portal.clock.now();
        state.finish(admitted, now)
    });
    running.await.map_err(|_| Broken)
}

/// `/rest/{user}/{code}/{method}`, or `/rest/{method}` without a credential.
fn read(head: &Parts, body: &[u8], link: &Link) -> Option<Incoming> {
    let path = head.uri.path().strip_prefix("/rest/")?;
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let (user, code, method) = match (segments.next(), segments.next(), segments.next()) {
        (Some(user), Some(code), method) => (user, code, method.unwrap_or_default()),
        (method, None, _) => ("", "", method.unwrap_or_default()),
        (None, Some(_), _) => return None,
    };
    let content_type = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let query = head.uri.query().unwrap_or_default();
    let (params, encoding) = Params::read(query, content_type.unwrap_or_default(), body);
    Some(Incoming {
        peer: link.peer,
        secure: link.secure,
        user_id: user.parse().unwrap_or(0),
        code: code.to_owned(),
        method: method.strip_suffix(".json").unwrap_or(method).to_owned(),
        params,
        encoding,
    })
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

fn no_such_page() -> Response<ReplyBody> {
    let body = "<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>";
    let headers = vec![(
        "content-type".to_owned(),
        "text/html; charset=UTF-8".to_owned(),
    )];
    response(
        Reply {
            status: 404,
            headers,
            body: body.into(),
        },
        None,
    )
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
