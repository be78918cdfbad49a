//! The barest possible broadcast: the same message to all streams, as often as is asked for, as fast as
//! they take it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, bot_service_server::SERVICE_NAME,
    subscribe_command_events_response::Item,
};
use futures_util::{Stream, stream};
use tokio::{net::TcpListener, sync::broadcast};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use crate::{common::Outcome, roles};

type Later<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;
type Responses =
    Pin<Box<dyn Stream<Item = Result<pb::SubscribeCommandEventsResponse, Status>> + Send>>;

/// More than are ever sent at once, so that no stream misses one.
const ROOM: usize = 1 << 14;

/// Asks it to begin.
pub(crate) async fn begin(address: &str, events: usize) -> Outcome<()> {
    let mut client = BotServiceClient::connect(format!("http://{address}")).await?;
    let begin = pb::AnswerCommandRequest {
        idempotency_key: events.to_string(),
        ..pb::AnswerCommandRequest::default()
    };
    client.answer_command(begin).await?;
    Ok(())
}

/// Serves until killed.
pub(crate) async fn run() -> Outcome<()> {
    let (told, _) = broadcast::channel(ROOM);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    roles::tell(&listener.local_addr()?.to_string());
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .add_service(Bare { told })
        .serve_with_incoming(incoming)
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Bare {
    told: broadcast::Sender<pb::SubscribeCommandEventsResponse>,
}

impl NamedService for Bare {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Later<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = self.clone();
        Box::pin(async move {
            if request.uri().path().ends_with("/AnswerCommand") {
                let mut grpc = Grpc::new(ProstCodec::default());
                return Ok(grpc.unary(method, request).await);
            }
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.server_streaming(method, request).await)
        })
    }
}

impl UnaryService<pb::AnswerCommandRequest> for Bare {
    type Response = pb::AnswerCommandResponse;
    type Future = Later<Response<Self::Response>, Status>;

    fn call(&mut self, request: Request<pb::AnswerCommandRequest>) -> Self::Future {
        let told = self.told.clone();
        Box::pin(async move {
            let events = request.into_inner().idempotency_key.parse().unwrap_or(0);
            for _ in 0..events {
                // Nobody listens, nobody is told.
                let _ = told.send(message());
            }
            Ok(Response::new(pb::AnswerCommandResponse::default()))
        })
    }
}

impl ServerStreamingService<pb::SubscribeCommandEventsRequest> for Bare {
    type Response = pb::SubscribeCommandEventsResponse;
    type ResponseStream = Responses;
    type Future = Later<Response<Responses>, Status>;

    fn call(&mut self, _: Request<pb::SubscribeCommandEventsRequest>) -> Self::Future {
        let told = self.told.subscribe();
        Box::pin(async move {
            let messages = stream::unfold(told, |mut told| async move {
                let message = told.recv().await.ok()?;
                Some((Ok(message), told))
            });
            Ok(Response::new(Box::pin(messages) as Responses))
        })
    }
}

/// About what the documented command is as a message.
fn message() -> pb::SubscribeCommandEventsResponse {
    let user = pb::User {
        id: 1,
        name: "John Smith".to_owned(),
        first_name: "John".to_owned(),
        last_name: "Smith".to_owned(),
        work_position: "Developer".to_owned(),
        color: "#df532d".to_owned(),
        external_auth_id: "default".to_owned(),
        status: "online".to_owned(),
        r#type: "employee".to_owned(),
        departments: vec![1],
        ..pb::User::default()
    };
    let added = pb::CommandAdded {
        command: Some(pb::CalledCommand {
            id: 78,
            command: "help".to_owned(),
            params: "topic".to_owned(),
            context: "textarea".to_owned(),
        }),
        message: Some(pb::Message {
            id: 1_000_001,
            text: "/help topic".to_owned(),
            ..pb::Message::default()
        }),
        chat: Some(pb::Chat {
            id: 5,
            dialog_id: "chat5".to_owned(),
            r#type: "chat".to_owned(),
            name: "Support Chat".to_owned(),
            color: "#ab7761".to_owned(),
            ..pb::Chat::default()
        }),
        user: Some(user),
    };
    let event = pb::Event {
        event_id: "e00000000000000ff-1000".to_owned(),
        portal: "default".to_owned(),
        bot_code: "support_bot".to_owned(),
        r#type: "ONIMBOTV2COMMANDADD".to_owned(),
        happened_at: Some(prost_types::Timestamp {
            seconds: 1_772_093_963,
            nanos: 0,
        }),
        received_at: Some(prost_types::Timestamp {
            seconds: 1_772_093_963,
            nanos: 123_456_789,
        }),
        language: "en".to_owned(),
        bot: Some(pb::Bot {
            id: 456,
            code: "support_bot".to_owned(),
            ..pb::Bot::default()
        }),
        body: Some(pb::event::Body::CommandAdded(added)),
        ..pb::Event::default()
    };
    pb::SubscribeCommandEventsResponse {
        cursor: "c00000000000000ff-1000".to_owned(),
        item: Some(Item::Event(Box::new(event))),
        delivery: None,
    }
}
