//! `ServerService`: what this gateway is.

use tonic::{Request, Response, Status};

use super::{Parts, caller::Arrival};
use crate::{
    callers::Rpc,
    proto::v1::{
        GetServerInfoRequest, GetServerInfoResponse, server_service_server::ServerService,
    },
};

/// What this version does beyond the first one. Names are documented in the README.
const FEATURES: [&str; 9] = [
    "bot-tokens",
    "idempotency-keys",
    "messages",
    "oauth",
    "portal-details",
    "portals",
    "subscriptions",
    "watch-portals",
    "webhook-events",
];

pub(super) struct Service(pub(super) Parts);

#[tonic::async_trait]
impl ServerService for Service {
    async fn get_server_info(
        &self,
        request: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        let (arrival, _) = Arrival::of(&self.0, Rpc::GetServerInfo, request);
        let default = arrival.default_portal();
        Ok(Response::new(GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            features: FEATURES.map(str::to_owned).to_vec(),
            default_portal: default.map(|portal| portal.to_string()).unwrap_or_default(),
            log_id: self.0.log_id.to_string(),
        }))
    }
}
