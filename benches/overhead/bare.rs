//! The barest possible proxy: one gRPC call in, one POST out, and a look at whether it was taken.
//!
//! It checks nothing, remembers nothing and knows one method; of the gateway it has only the
//! generated messages.

use std::{
    convert::Infallible,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, bot_service_server::SERVICE_NAME,
};
use reqwest::{Client, Url, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use crate::{
    common::{Outcome, process},
    https,
};

/// The bot of the documented answers, and a token of the usual length.
const BOT_ID: i64 = 456;
const BOT_TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";

type Later<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Serves `AnswerCommand` until killed.
pub(crate) async fn run(portal: &str, ca_file: &Path) -> Outcome<()> {
    let client = https::client(ca_file)?;
    let bare = Bare {
        client,
        url: format!("{portal}imbot.v2.Command.answer").parse()?,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    process::tell(&listener.local_addr()?.to_string());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(bare)
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Bare {
    client: Client,
    url: Url,
}

/// As much of an answer as there is to look at.
#[derive(Deserialize)]
struct Answer {
    result: bool,
}

impl Bare {
    async fn answer(
        self,
        request: pb::AnswerCommandRequest,
    ) -> Result<Response<pb::AnswerCommandResponse>, Status> {
        let Some(Target::Invocation(ids)) = request.target else {
            return Err(Status::unimplemented("only raw ids"));
        };
        let body = json!({
            "botId": BOT_ID,
            "botToken": BOT_TOKEN,
            "commandId": ids.command_id,
            "messageId": ids.message_id,
            "dialogId": ids.dialog_id,
            "fields": { "message": request.content.unwrap_or_default().text },
        });
        let lost = |error: reqwest::Error| Status::unknown(error.to_string());
        let response = self
            .client
            .post(self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .send()
            .await
            .map_err(lost)?;
        let body = response.bytes().await.map_err(lost)?;
        match serde_json::from_slice(&body) {
            Ok(Answer { result: true }) => Ok(Response::new(pb::AnswerCommandResponse {
                outcome: pb::AnswerOutcome::Answered.into(),
                message_id: None,
            })),
            _ => Err(Status::unknown("not taken")),
        }
    }
}

impl NamedService for Bare {
    const NAME: &'static str = SERVICE_NAME;
}

/// What the generated code does for each method; here there is one.
impl Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Later<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let bare = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.unary(bare, request).await)
        })
    }
}

impl UnaryService<pb::AnswerCommandRequest> for Bare {
    type Response = pb::AnswerCommandResponse;
    type Future = Later<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<pb::AnswerCommandRequest>) -> Self::Future {
        Box::pin(self.clone().answer(request.into_inner()))
    }
}
