//! `PortalService`.

use tonic::{Request, Response, Status};

use super::{Parts, convert::portal};
use crate::proto::v1::{self as pb, portal_service_server::PortalService};

pub(super) struct Service(pub(super) Parts);

#[tonic::async_trait]
impl PortalService for Service {
    async fn list_portals(
        &self,
        request: Request<pb::ListPortalsRequest>,
    ) -> Result<Response<pb::ListPortalsResponse>, Status> {
        let page = portal::list(&request.into_inner())?;
        let portals = self.0.portals.list();
        let (portals, next_page_token) = page.cut(portals, |portal| portal.id().to_string());
        Ok(Response::new(pb::ListPortalsResponse {
            portals: portals.iter().map(portal::portal).collect(),
            next_page_token,
        }))
    }

    async fn get_portal(
        &self,
        request: Request<pb::GetPortalRequest>,
    ) -> Result<Response<pb::GetPortalResponse>, Status> {
        let found = portal::one(&self.0.portals, &request.into_inner())?;
        Ok(Response::new(pb::GetPortalResponse {
            portal: Some(portal::portal(&found)),
        }))
    }
}
