//! A server in place of a gateway that does by its path what a test needs, and tells what it saw.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

use crate::bare::message;

/// Sends back what came, and then [`ending`].
pub(crate) const ECHO: &str = "/test.Bare/Echo";

/// Says all in the first fields.
pub(crate) const REFUSE: &str = "/test.Bare/Refuse";

/// Never answers.
pub(crate) const SILENT: &str = "/test.Bare/Silent";

/// Sends one message and goes on without another: a stream of a gateway.
pub(crate) const STREAM: &str = "/bitrix24.gateway.v1.EventService/SubscribeEvents";

/// Sends half of a message and goes on without the rest.
pub(crate) const HALF: &str = "/test.Bare/Half";

/// Sends messages as long as somebody takes them.
pub(crate) const FLOOD: &str = "/test.Bare/Flood";

/// Answers with a page.
pub(crate) const PAGE: &str = "/test.Bare/Page";

/// One piece of the flood, bytes.
const PIECE: usize = 16 << 10;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// The server.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    /// Answers that somebody gave up.
    given_up: Notify,
    /// Bytes of the flood that were taken.
    flooded: AtomicUsize,
}

/// A request.
pub(crate) struct Seen {
    pub(crate) uri: String,
    pub(crate) fields: HeaderMap,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let serving = Some(tokio::spawn(serve(listener, Arc::clone(&state))));
        Self {
            address,
            state,
            serving,
        }
    }

    /// Drops all connections as they are.
    pub(crate) async fn kill(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        // It ended because it was told to.
        let _aborted = serving.await;
    }

    /// The last request.
    pub(crate) fn last(&self) -> Seen {
        self.state.seen.lock().unwrap().pop().expect("a request")
    }

    /// How many requests came.
    pub(crate) fn seen(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// Waits until an answer is given up.
    pub(crate) async fn given_up(&self) {
        self.state.given_up.notified().await;
    }

    pub(crate) fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        });
        connections.spawn(
            http2::Builder::new(TokioExecutor::new())
                .auto_date_header(false)
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

/// What an echo ends with.
pub(crate) fn ending() -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("grpc-status", &b"9"[..]),
        ("grpc-message", b"not%20now: %C3%A9"),
        (
            "grpc-status-details-bin",
            b"CAkSA25vdxojCiF0eXBlLmdvb2dsZWFwaXM",
        ),
        ("x-own", b"\xe9 as it is"),
        ("x-own", b"twice"),
    ] {
        let value = HeaderValue::from_bytes(value).unwrap();
        fields.append(name, value);
    }
    fields
}

impl State {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        self.seen.lock().unwrap().push(Seen {
            uri: request.uri().to_string(),
            fields: request.headers().clone(),
        });
        let path = request.uri().path().to_owned();
        let mut incoming = request.into_body();
        let Some(kind) = Kind::of(&path) else {
            let body = match path.as_str() {
                ECHO => {
                    let body = incoming.collect().await.unwrap().to_bytes();
                    Kind::Echo(body, false)
                }
                REFUSE => Kind::Nothing,
                PAGE => Kind::Echo(Bytes::from_static(b"<p>busy"), true),
                _ => {
                    let _given_up = GivenUp(self);
                    return std::future::pending().await;
                }
            };
            let mut response = Response::new(body.boxed());
            let fields = response.headers_mut();
            if path == REFUSE {
                *fields = ending();
            }
            let media = if path == PAGE {
                "text/html"
            } else {
                "application/grpc+proto"
            };
            fields.insert(CONTENT_TYPE, HeaderValue::from_static(media));
            if path == PAGE {
                *response.status_mut() = hyper::StatusCode::BAD_GATEWAY;
            }
            return response;
        };
        // Whoever waits for its end would wait for long.
        tokio::spawn(async move { while incoming.frame().await.is_some() {} });
        let body = Going {
            kind,
            _given_up: GivenUp(Arc::clone(&self)),
            state: self,
        };
        let mut response = Response::new(body.boxed());
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(CONTENT_TYPE, grpc);
        response
    }
}

/// What a body consists of.
enum Kind {
    /// This, and then the ending, unless that was sent.
    Echo(Bytes, bool),
    /// Nothing more, and the end.
    Nothing,
    /// This, and then nothing without an end.
    Once(Option<Bytes>),
    Flood,
}

impl Kind {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            STREAM => Self::Once(Some(message(b"first"))),
            HALF => Self::Once(Some(message(b"first").slice(..7))),
            FLOOD => Self::Flood,
            _ => return None,
        })
    }
}

impl Body for Kind {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Echo(bytes, _) if !bytes.is_empty() => {
                Poll::Ready(Some(Frame::data(std::mem::take(bytes))))
            }
            Self::Echo(_, ended) if !*ended => {
                *ended = true;
                Poll::Ready(Some(Frame::trailers(ending())))
            }
            Self::Echo(..) | Self::Nothing => Poll::Ready(None),
            Self::Once(bytes) => match bytes.take() {
                Some(bytes) => Poll::Ready(Some(Frame::data(bytes))),
                None => Poll::Pending,
            },
            Self::Flood => Poll::Ready(Some(Frame::data(message(&[7; PIECE])))),
        };
        next.map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// A body without an end.
struct Going {
    kind: Kind,
    state: Arc<State>,
    _given_up: GivenUp,
}

impl Body for Going {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = Pin::new(&mut self.kind).poll_frame(context);
        if matches!(self.kind, Kind::Flood) {
            self.state.flooded.fetch_add(PIECE, Ordering::SeqCst);
        }
        next
    }
}

struct GivenUp(Arc<State>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.given_up.notify_one();
    }
}
