//! Who may call, by what they show, and what they may do then.

mod audit;
mod certificates;
mod door;
mod file;
mod kept;
mod limits;
mod ownership;
mod policy;
mod service_accounts;
mod socket;
mod tokens;
mod watching;

use std::collections::HashMap;

use bitrix24_gateway::{
    callers::TokenHash,
    proto::v1::{
        self as pb, bot_service_client::BotServiceClient, event_service_client::EventServiceClient,
        message_service_client::MessageServiceClient, portal_service_client::PortalServiceClient,
        server_service_client::ServerServiceClient,
    },
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use tonic_types::StatusExt as _;

use crate::scene::{Scene, Told, failure};

/// A connection whose calls show a credential.
pub(crate) type Shown = InterceptedService<Channel, Bearer>;

/// Shows a bearer token.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The token of a caller in these tests.
fn token(name: &str) -> String {
    format!("b24gw_{name}-0123456789abcdefghijklmnopqrstuvwxyz")
}

fn shown(channel: &Channel, token: &str) -> Shown {
    let bearer = format!("Bearer {token}").parse().unwrap();
    InterceptedService::new(channel.clone(), Bearer(bearer))
}

/// A caller's part of the configuration file, by token.
fn caller(name: &str, grants: &str) -> String {
    let hash = TokenHash::of(&token(name));
    format!("[callers.{name}]\ntoken_sha256 = [\"{hash}\"]\n{grants}\n")
}

/// A caller that may do everything but execute.
fn manager(name: &str) -> String {
    caller(name, "portals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"*\"]")
}

impl Scene {
    /// With these callers.
    async fn guarded(callers: &[String]) -> Self {
        Self::configured(|_| callers.concat()).await
    }

    fn bots_of(&self, name: &str) -> BotServiceClient<Shown> {
        BotServiceClient::new(shown(&self.channel(), &token(name)))
    }

    fn messages_of(&self, name: &str) -> MessageServiceClient<Shown> {
        MessageServiceClient::new(shown(&self.channel(), &token(name)))
    }

    fn events_of(&self, name: &str) -> EventServiceClient<Shown> {
        EventServiceClient::new(shown(&self.channel(), &token(name)))
    }

    fn portals_of(&self, name: &str) -> PortalServiceClient<Shown> {
        PortalServiceClient::new(shown(&self.channel(), &token(name)))
    }

    fn info_of(&self, name: &str) -> ServerServiceClient<Shown> {
        ServerServiceClient::new(shown(&self.channel(), &token(name)))
    }
}

fn denied() -> Told {
    failure(Code::PermissionDenied, "CALLER_DENIED", "no")
}

/// Everything a status says but the name of the call.
fn whole(status: &Status) -> (String, usize, HashMap<String, String>) {
    let mut metadata = status.get_details_error_info().unwrap().metadata;
    metadata.remove("call_id");
    let details = status.get_error_details_vec().len();
    (status.message().to_owned(), details, metadata)
}

fn unauthenticated() -> Told {
    failure(Code::Unauthenticated, "CALLER_UNAUTHENTICATED", "no")
}

fn get_bot(code: &str) -> pb::GetBotRequest {
    pb::GetBotRequest {
        bot_code: code.to_owned(),
        ..pb::GetBotRequest::default()
    }
}
