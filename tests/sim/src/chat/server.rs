//! Connections of the page: few, with small requests, and answers that may go on.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::push::Pushed;
use super::{Desk, door};

/// Connections at once; further ones wait.
const MOST_CONNECTIONS: usize = 64;
/// Largest request, in bytes: a message of 20,000 characters, and all of them escaped.
const LARGEST: usize = 512 << 10;

/// What goes back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) media: &'static str,
    pub(super) body: Either<Full<Bytes>, Pushed>,
}

impl Reply {
    pub(super) fn of(status: u16, media: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            media,
            body: Either::Left(Full::new(body.into())),
        }
    }
}

/// Accepts connections until told to stop.
pub(super) async fn serve(desk: Arc<Desk>, listener: TcpListener, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else {
            continue;
        };
        let (desk, stop) = (desk.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection(desk, stream) => {}
            }
            drop(place);
        });
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    // A connection that died before it was accepted concerns nobody.
    let (stream, _) = listener.accept().await.ok()?;
    Some((stream, place))
}

async fn connection(desk: Arc<Desk>, stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let service = service_fn(|request| answer(desk.clone(), request));
    let mut builder = http1::Builder::new();
    // Its default patience with headers needs a clock.
    builder.timer(TokioTimer::new());
    // How a connection ends is the browser's affair.
    drop(
        builder
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

type Answer = Response<Either<Full<Bytes>, Pushed>>;

async fn answer(desk: Arc<Desk>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let reply = match door::check(&head, desk.own) {
        Err(stopped) => Reply::of(
            stopped.status(),
            "text/plain; charset=utf-8",
            stopped.to_string(),
        ),
        Ok(()) => match Limited::new(body, LARGEST).collect().await {
            Ok(body) => desk.answer(&head, &body.to_bytes()).await,
            Err(_) => Reply::of(413, "text/plain; charset=utf-8", "the request is too large"),
        },
    };
    let mut response = Response::new(reply.body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    let headers = response.headers_mut();
    let all = door::HEADERS
        .into_iter()
        .chain([("content-type", reply.media)]);
    for (name, value) in all {
        headers.insert(name, hyper::header::HeaderValue::from_static(value));
    }
    Ok(response)
}
