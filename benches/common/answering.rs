//! A gRPC server with one method and nothing around it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_server::SERVICE_NAME};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use crate::common::{Outcome, process};

/// What comes of a call later.
pub(crate) type Later<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Says what becomes of an `AnswerCommand`.
pub(crate) trait Answering: Clone + Send + Sync + 'static {
    fn answer(
        &self,
        request: pb::AnswerCommandRequest,
    ) -> Later<Response<pb::AnswerCommandResponse>, Status>;
}

/// Serves `AnswerCommand` until killed, and tells where.
pub(crate) async fn serve(answering: impl Answering) -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    process::tell(&listener.local_addr()?.to_string());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(OneMethod(answering))
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Clone)]
struct OneMethod<A>(A);

impl<A> NamedService for OneMethod<A> {
    const NAME: &'static str = SERVICE_NAME;
}

/// What the generated code does for each method; here there is one.
impl<A: Answering> Service<http::Request<Body>> for OneMethod<A> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Later<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.unary(method, request).await)
        })
    }
}

impl<A: Answering> UnaryService<pb::AnswerCommandRequest> for OneMethod<A> {
    type Response = pb::AnswerCommandResponse;
    type Future = Later<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<pb::AnswerCommandRequest>) -> Self::Future {
        self.0.answer(request.into_inner())
    }
}
