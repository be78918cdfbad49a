//! A span for each call, by OpenTelemetry's conventions for gRPC.
//!
//! Behind the guard, so that strangers cannot make us trace: whoever is let in may send a trace along and
//! decide whether it is recorded. Health and reflection are not traced.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::Either;
use opentelemetry::KeyValue;
use tonic::{
    Code,
    body::Body,
    codegen::http::{HeaderMap, Request, Response},
};
use tower::{Layer, Service};

use super::{
    caller::Caller,
    ending::{Ending, Ends, code, name},
};
use crate::{
    callers::Rpc,
    telemetry::trace::{Kind, Span, Tracer, Wire},
};

/// Makes the spans. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Traces(pub(super) Tracer);

/// Services whose calls have spans.
#[derive(Debug, Clone)]
pub(super) struct Traced<S> {
    tracer: Tracer,
    inner: S,
}

impl<S> Layer<S> for Traces {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        let tracer = self.0.clone();
        Traced { tracer, inner }
    }
}

impl<S> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Either<S::Future, Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let known = Rpc::of_path(request.uri().path());
        if known.is_none() || !self.tracer.is_on() {
            return Either::Left(self.inner.call(request));
        }
        let call = UnderWay::new(&self.tracer, &request);
        // Its first steps are taken here, before it is awaited.
        let calling = call.0.place().enter(|| self.inner.call(request));
        let place = call.0.place().clone();
        Either::Right(Box::pin(async move {
            let response = place.run(calling).await?;
            Ok(call.answered(response))
        }))
    }
}

/// A call that goes on until it was told how it ended.
struct UnderWay(Span, Option<Code>);

impl UnderWay {
    fn new(tracer: &Tracer, request: &Request<Body>) -> Self {
        let text = |name| {
            let value = request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let from = Wire {
            traceparent: text("traceparent"),
            tracestate: text("tracestate"),
        };
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let span = tracer.follow(&from, Kind::Server, method.clone(), || {
            let mut attributes = vec![
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", method),
            ];
            let caller = request.extensions().get().map(Caller::name);
            let caller = caller.filter(|name| !name.is_empty());
            attributes.extend(
                caller.map(|name| KeyValue::new("bitrix24.gateway.caller", name.to_owned())),
            );
            attributes
        });
        Self(span, None)
    }

    fn answered(mut self, response: Response<Body>) -> Response<Body> {
        // A call that failed at once has its status there.
        self.heed(response.headers());
        if self.1.is_some() || !self.0.place().is_sampled() {
            // Nobody looks how a call ended that is not recorded.
            self.1.get_or_insert(Code::Ok);
            return response;
        }
        response.map(|body| Body::new(Ending { body, call: self }))
    }
}

impl Ends for UnderWay {
    fn heed(&mut self, headers: &HeaderMap) {
        self.1 = code(headers);
    }
}

/// Whoever leaves before the end is not told it.
impl Drop for UnderWay {
    fn drop(&mut self) {
        let code = self.1.unwrap_or(Code::Cancelled);
        let name = name(code);
        self.0
            .set(|| KeyValue::new("rpc.response.status_code", name));
        // Those that the conventions take for failures of a server.
        if matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ) {
            self.0.failed(name);
        }
    }
}
