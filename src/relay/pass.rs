//! One call through the relay: its request as it came but for who calls, its answer as it came.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderMap, HeaderName, HeaderValue},
    http::uri,
};
use tokio_util::sync::CancellationToken;

use super::{
    body::{Body, Passing},
    refused::Refused,
    upstream::{Sender, Upstream},
};
use crate::{callers::Rpc, grpc};

/// What the media types of gRPC begin with.
const GRPC: &str = "application/grpc";

/// How often a request goes to a further connection because it surely did not leave on the one before.
const FURTHER: usize = 2;

/// What a caller may not say for itself: who it is, which the relay is asked to say, and what belongs to
/// a connection.
const NOT_PASSED: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::HOST,
    header::CONNECTION,
];

/// The way of the calls of one connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Way(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upstream: Upstream,
    pod: Option<HeaderValue>,
    /// The connection behind this one, once there was a call.
    behind: Mutex<Option<Sender>>,
    /// One connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Way {
    pub(super) fn new(
        upstream: Upstream,
        pod: Option<HeaderValue>,
        stop: CancellationToken,
        cut: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            upstream,
            pod,
            behind: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            stop,
            cut,
        }))
    }

    /// The answer to a request, which nothing but the gateway or its absence decides.
    pub(super) async fn pass(self, request: Request<Incoming>) -> Response<Body> {
        if request.method() != Method::POST || !is_grpc(request.headers()) {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let stop = is_stream(request.uri().path()).then(|| self.0.stop.clone());
        let passed = match &stop {
            None => self.ask(request).await,
            Some(stop) => tokio::select! {
                biased;
                passed = self.ask(request) => passed,
                () = stop.cancelled() => Err(Refused::Stopping),
            },
        };
        match passed {
            Ok(response) => {
                // What ends at once, and what is no answer of a gateway, needs nothing added.
                let whole =
                    response.headers().contains_key("grpc-status") || !is_grpc(response.headers());
                let stop = stop.filter(|_| !whole);
                let cut = self.0.cut.clone();
                response.map(|body| Body::Passing(Box::new(Passing::new(body, whole, stop, cut))))
            }
            Err(refused) => told(&refused),
        }
    }

    async fn ask(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Refused> {
        let mut request = self.address(request)?;
        for _ in 0..=FURTHER {
            let mut sender = self.sender().await?;
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            match error.take_message() {
                Some(unsent) => request = unsent,
                None if is_refused(error.error()) => return Err(Refused::NotTaken),
                None => return Err(Refused::Lost),
            }
        }
        Err(Refused::NotTaken)
    }

    /// The request as the gateway is to see it.
    fn address(&self, request: Request<Incoming>) -> Result<Request<Incoming>, Refused> {
        let (mut head, body) = request.into_parts();
        let upstream = &self.0.upstream;
        let mut address = uri::Parts::default();
        address.scheme = Some(upstream.scheme());
        address.authority = Some(upstream.authority());
        address.path_and_query = head.uri.into_parts().path_and_query;
        // All three parts are there: HTTP/2 has no request without a path.
        head.uri = Uri::from_parts(address).map_err(|_| Refused::NotTaken)?;
        let fields = &mut head.headers;
        for name in NOT_PASSED.iter() {
            fields.remove(name);
        }
        if let Some(bearer) = upstream.bearer() {
            fields.insert(header::AUTHORIZATION, bearer);
        }
        match &self.0.pod {
            Some(pod) => drop(fields.insert(grpc::POD, pod.clone())),
            None => drop(fields.remove(grpc::POD)),
        }
        // It would speak of the connection of the caller.
        head.extensions.clear();
        Ok(Request::from_parts(head, body))
    }

    /// The connection behind this one; a new one if there is none any more.
    async fn sender(&self) -> Result<Sender, Refused> {
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        let _turn = self.0.connecting.lock().await;
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        let sender = self.0.upstream.connect().await?;
        *self.behind() = Some(sender.clone());
        Ok(sender)
    }

    fn open(&self) -> Option<Sender> {
        self.behind()
            .as_ref()
            .filter(|sender| !sender.is_closed())
            .cloned()
    }

    fn behind(&self) -> std::sync::MutexGuard<'_, Option<Sender>> {
        let behind = self.0.behind.lock();
        behind.unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is an end.
fn told(refused: &Refused) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    let fields = response.headers_mut();
    *fields = grpc::trailers(refused);
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    response
}

/// Whether it is gRPC, and not its variant for browsers.
fn is_grpc(fields: &HeaderMap) -> bool {
    let media = fields.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = media.and_then(|media| media.strip_prefix(GRPC.as_bytes()));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Whether it goes on until somebody ends it.
fn is_stream(path: &str) -> bool {
    Rpc::of_path(path).is_some_and(Rpc::is_stream)
        || path == "/grpc.health.v1.Health/Watch"
        || path.starts_with("/grpc.reflection.")
}

/// Whether the gateway says that it did nothing with the request.
fn is_refused(error: &hyper::Error) -> bool {
    let cause = error.source();
    let cause = cause.and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause
        .is_some_and(|cause| cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_is_passed() {
        for (media, passed) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(header::CONTENT_TYPE, media.parse().unwrap());
            assert_eq!(is_grpc(&fields), passed, "{media}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
