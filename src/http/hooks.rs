//! The events of bots, as portals post them (C11).
//!
//! The address says which portal is meant, and nobody who does not know one gets further. What was taken
//! is answered with 200 once it is durable; nobody repeats what was not. The work runs to its end also
//! when the portal does not wait for it, so that whatever could not be kept is told as a gap.

use axum::{
    extract::{Request, State},
    http::StatusCode,
};

use super::{body, desk::Desk, refusals::What};
use crate::{events::Refused, fault::Chain};

/// What the addresses of bots begin with.
pub(super) const PATH: &str = "/bitrix24/bots/";

/// The same as a route.
pub(super) const ROUTE: &str = "/bitrix24/bots/{hook}";

pub(super) async fn receive(State(desk): State<Desk>, request: Request) -> StatusCode {
    let (head, body) = request.into_parts();
    let hook = head.uri.path().strip_prefix(PATH);
    let Some(name) = hook.and_then(|hook| desk.bots().of_hook(hook)) else {
        return StatusCode::NOT_FOUND;
    };
    let body = match body::read(body, body::EVENT).await {
        Ok(body) => body,
        Err(status) => {
            desk.refusals().tell(What::Event, &status);
            desk.events().unheard(&name);
            return status;
        }
    };
    let (working, stays) = (desk.clone(), desk.life().clone());
    let taken = stays.keep(async move {
        let Some(fields) = body::fields(&head.headers, &body) else {
            let why = "it can be read neither as a form nor as JSON";
            working.refusals().tell(What::Event, &why);
            return StatusCode::FORBIDDEN;
        };
        // The tree is all that is needed from here on.
        drop(body);
        match working.events().take_posted(&name, fields).await {
            Ok(departed) => {
                if let Some(departed) = departed {
                    working.life().serve(departed.mark());
                }
                StatusCode::OK
            }
            Err(refused) => {
                working.refusals().tell(What::Event, &Chain(&refused));
                match refused {
                    Refused::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::FORBIDDEN,
                }
            }
        }
    });
    taken.await
}
