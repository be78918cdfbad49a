//! Asks a portal whether it serves us, whenever its [`Gate`] wants to know.

use std::sync::Arc;

use tracing::{info, warn};

use super::{
    Call, Error, Health, Patience,
    queue::Queue,
    retry,
    state::{Gate, PROBE},
};
use crate::{
    fault::{Chain, Fault as _},
    ids::PortalId,
};

/// Probes for ever.
pub(super) async fn run(portal: PortalId, gate: Arc<Gate>, queue: Queue) {
    let patience = Patience::endless();
    loop {
        gate.probe_due().await;
        let outcome = retry::once(&queue, &Arc::new(Call::new(PROBE)), &patience).await;
        let outcome = outcome.map(drop);
        if let Some(health) = gate.probed(outcome.as_ref().copied()) {
            tell(&portal, health, outcome.err().as_ref());
            queue.gate_changed();
        }
    }
}

/// Says what has become of a portal.
pub(super) fn tell(portal: &PortalId, health: Health, error: Option<&Error>) {
    match error.filter(|_| health != Health::Ok) {
        None => info!(portal.id = %portal, "portal serves us again"),
        Some(error) => warn!(
            portal.id = %portal,
            state = ?health,
            reason = error.reason().as_str(),
            portal.code = error.portal_code(),
            error = %Chain(error),
            "portal is not called, but for probes"
        ),
    }
}
