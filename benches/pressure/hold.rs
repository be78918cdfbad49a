//! What it takes to hold calls at all: a server that takes as many as the gateway and answers none.
//!
//! It checks nothing and keeps nothing but the messages. Of the gateway it has only these.

use std::{
    convert::Infallible,
    future::pending,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_server::SERVICE_NAME};
use tokio::net::TcpListener;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::common::{Outcome, process};

type Later<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// The process: holds so many calls and refuses the others, until killed.
pub(crate) async fn run(calls: &str) -> Outcome<()> {
    let holder = Holder {
        places: Arc::new(AtomicUsize::new(calls.parse()?)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    process::tell(&listener.local_addr()?.to_string());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(holder)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Holder {
    places: Arc<AtomicUsize>,
}

impl NamedService for Holder {
    const NAME: &'static str = SERVICE_NAME;
}

/// What the generated code does for each method; here there is one.
impl Service<http::Request<Body>> for Holder {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Later<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let holder = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.unary(holder, request).await)
        })
    }
}

impl UnaryService<pb::AnswerCommandRequest> for Holder {
    type Response = pb::AnswerCommandResponse;
    type Future = Later<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<pb::AnswerCommandRequest>) -> Self::Future {
        let taken = self
            .places
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |places| {
                places.checked_sub(1)
            });
        if taken.is_err() {
            let details = ErrorDetails::with_error_info("QUEUE_FULL", "", []);
            let full = Status::with_error_details(Code::ResourceExhausted, "full", details);
            return Box::pin(async { Err(full) });
        }
        let held = request.into_inner();
        Box::pin(async move {
            pending::<()>().await;
            drop(held);
            Err(Status::internal("this is never said"))
        })
    }
}
