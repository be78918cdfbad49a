//! `PortalService`.

use tonic::{Request, Response, Status};

use tracing::debug;

use super::{
    Parts,
    caller::Arrival,
    convert::portal,
    deadline::{Work, within},
    status::Refusal,
    watch,
};
use crate::{
    callers::Rpc,
    proto::v1::{self as pb, portal_service_server::PortalService},
};

pub(super) struct Service(pub(super) Parts);

#[tonic::async_trait]
impl PortalService for Service {
    async fn list_portals(
        &self,
        request: Request<pb::ListPortalsRequest>,
    ) -> Result<Response<pb::ListPortalsResponse>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::ListPortals, request);
        let page = portal::list(&request)?;
        arrival.any_portal()?;
        let portals = self.0.portals.list();
        let seen = portals
            .into_iter()
            .filter(|portal| arrival.caller.may_use(portal.id()));
        let portals = seen.collect();
        let (portals, next_page_token) = page.cut(portals, |portal| portal.id().to_string());
        Ok(Response::new(pb::ListPortalsResponse {
            portals: portals.iter().map(portal::portal).collect(),
            next_page_token,
        }))
    }

    type WatchPortalsStream = watch::PortalStream;

    async fn watch_portals(
        &self,
        request: Request<pb::WatchPortalsRequest>,
    ) -> Result<Response<Self::WatchPortalsStream>, Status> {
        let (arrival, request) = Arrival::of(&self.0, Rpc::WatchPortals, request);
        watch::open(&self.0, arrival, &request)
    }

    async fn get_portal(
        &self,
        request: Request<pb::GetPortalRequest>,
    ) -> Result<Response<pb::GetPortalResponse>, Status> {
        let (mut arrival, request) = Arrival::of(&self.0, Rpc::GetPortal, request);
        let id = portal::one(&mut arrival, &request)?;
        let found = self.0.portals.get(&id);
        let found = found.ok_or_else(|| Refusal::UnknownPortal(id.to_string()))?;
        let ask = request.ask_portal;
        within(arrival, Work::Reads, |patience| async move {
            if ask {
                // What it does not tell stays untold; its state says why.
                let asked = tokio::join!(found.revision(&patience), found.scopes(&patience));
                debug!(portal.id = %found.id(), revision = asked.0.is_ok(), scopes = asked.1.is_ok(), "portal was asked for itself");
            }
            Ok::<_, crate::portal::Error>(pb::GetPortalResponse {
                portal: Some(portal::portal(&found)),
            })
        })
        .await
    }
}
