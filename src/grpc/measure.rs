//! How long calls take and how they end, by RPC and code, and how many are under way.
//!
//! Outermost, so that what is refused at the door counts as well. A call lasts until the last byte of its
//! response was taken; one that its caller left is `CANCELLED`. What failed is remembered by its reason.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter, UpDownCounter},
};
use tokio::time::Instant;
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{HeaderMap, Request, Response},
};
use tower::{Layer, Service};

use super::{
    ending::{Ending, Ends, code, name},
    status::published,
};
use crate::{callers::Rpc, telemetry::Recent};

/// Seconds that calls take, as the conventions advise.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Any other method: its name is whatever somebody made up.
const OTHER: &str = "_OTHER";

/// Measures every call. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Measure(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    durations: Histogram<f64>,
    active: UpDownCounter<i64>,
    recent: Recent,
}

/// Services that are measured.
#[derive(Debug, Clone)]
pub(super) struct Measured<S> {
    measure: Measure,
    inner: S,
}

/// A call under way.
struct Call {
    measure: Measure,
    method: &'static str,
    began: Instant,
    ended: Option<Code>,
}

impl Measure {
    pub(super) fn new(meter: &Meter, recent: Recent) -> Self {
        let durations = meter
            .f64_histogram("rpc.server.call.duration")
            .with_description("Duration of calls, from their arrival to the end of the response.")
            .with_unit("s")
            .with_boundaries(SECONDS.to_vec());
        let active = meter
            .i64_up_down_counter("bitrix24.gateway.calls.active")
            .with_description("Calls and streams that are under way.")
            .with_unit("{call}");
        Self(Arc::new(Instruments {
            durations: durations.build(),
            active: active.build(),
            recent,
        }))
    }

    fn begin(&self, path: &str) -> Call {
        let method = Rpc::of_path(path).map_or(OTHER, Rpc::full_name);
        self.0.active.add(1, &[rpc(method)]);
        Call {
            measure: self.clone(),
            method,
            began: Instant::now(),
            ended: None,
        }
    }
}

impl Ends for Call {
    fn heed(&mut self, headers: &HeaderMap) {
        let Some(code) = code(headers) else { return };
        self.ended = Some(code);
        if code != Code::Ok {
            let status = Status::from_header_map(headers);
            let reason = status.as_ref().and_then(published);
            let reason = reason.unwrap_or_else(|| name(code));
            let recent = &self.measure.0.recent;
            recent.failed(self.method, reason);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Instruments {
            durations, active, ..
        } = &*self.measure.0;
        active.add(-1, &[rpc(self.method)]);
        let code = self.ended.unwrap_or(Code::Cancelled);
        let took = self.began.elapsed().as_secs_f64();
        let status = KeyValue::new("rpc.response.status_code", name(code));
        let system = KeyValue::new("rpc.system.name", "grpc");
        let method = rpc(self.method);
        if is_ours(code) {
            let failed = KeyValue::new("error.type", name(code));
            durations.record(took, &[system, method, status, failed]);
        } else {
            durations.record(took, &[system, method, status]);
        }
    }
}

fn rpc(method: &'static str) -> KeyValue {
    KeyValue::new("rpc.method", method)
}

/// Whether a code says that the server failed, by the conventions.
const fn is_ours(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

impl<S> Layer<S> for Measure {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        Measured {
            measure: self.clone(),
            inner,
        }
    }
}

impl<S> Service<Request<Body>> for Measured<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut call = self.measure.begin(request.uri().path());
        let calling = self.inner.call(request);
        Box::pin(async move {
            let response = calling.await?;
            call.heed(response.headers());
            Ok(response.map(|body| Body::new(Ending { body, call })))
        })
    }
}
