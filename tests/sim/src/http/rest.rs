//! The addresses of a portal.
//!
//! This is the only place that waits. A request that takes time runs in a task of its own, so
//! that its effect comes even when the client has gone: a portal does not notice that.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Asked, Site, page};
use crate::core::{Incoming, Outcome};
use crate::params::Params;
use crate::portal::Inner;

/// One listener of a portal.
#[derive(Debug)]
pub(crate) struct PortalSite {
    pub(crate) portal: Arc<Inner>,
}

impl Site for PortalSite {
    async fn answer(&self, asked: Asked) -> Outcome {
        match read(&asked) {
            Some(incoming) => execute(&self.portal, incoming).await,
            None => Outcome::of(page(404, "404 Not Found")),
        }
    }
}

async fn execute(portal: &Arc<Inner>, incoming: Incoming) -> Outcome {
    let admitted = {
        let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = portal.clock.now();
        let admitted = state.admit(incoming, now);
        if admitted.latency == Duration::ZERO {
            return state.finish(admitted, now);
        }
        admitted
    };
    let portal = portal.clone();
    let running = tokio::spawn(async move {
        tokio::time::sleep(admitted.latency).await;
        let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = portal.clock.now();
        state.finish(admitted, now)
    });
    running.await.unwrap_or_else(|_| Outcome::none())
}

/// `/rest/{user}/{code}/{method}`, or `/rest/{method}` without a credential.
fn read(asked: &Asked) -> Option<Incoming> {
    let path = asked.head.uri.path().strip_prefix("/rest/")?;
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let (user, code, method) = match (segments.next(), segments.next(), segments.next()) {
        (Some(user), Some(code), method) => (user, code, method.unwrap_or_default()),
        (method, None, _) => ("", "", method.unwrap_or_default()),
        (None, Some(_), _) => return None,
    };
    let (params, encoding) = Params::read(asked.query(), asked.content_type(), &asked.body);
    Some(Incoming {
        peer: asked.peer,
        secure: asked.secure,
        user_id: user.parse().unwrap_or(0),
        code: code.to_owned(),
        method: method.strip_suffix(".json").unwrap_or(method).to_owned(),
        params,
        encoding,
    })
}
