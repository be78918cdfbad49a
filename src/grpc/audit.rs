//! Who did what to whom, and who was not let: one line for each, in the log under `audit`.
//!
//! Names and outcomes only, never what was said, and nothing of a credential.

use std::{
    fmt::Write as _,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use opentelemetry::KeyValue;
use tokio::time::Instant;
use tracing::info;

use crate::{
    callers::Grant,
    ids::{BotCode, PortalId},
    log_limit::LogLimit,
    telemetry::trace::Parent,
};

/// Denials that are told in one second; who floods the door does not flood the log.
const DENIALS: u32 = 20;

/// What a call is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) portal: Option<PortalId>,
    pub(super) bot: Option<BotCode>,
    pub(super) event: Option<u64>,
}

impl Place {
    fn portal(&self) -> &str {
        self.portal.as_ref().map_or("", PortalId::as_str)
    }

    fn bot(&self) -> &str {
        self.bot.as_ref().map_or("", BotCode::as_str)
    }

    /// Tells the span of a call what it is about.
    pub(super) fn tell(&self, call: &Parent) {
        if let Some(portal) = &self.portal {
            call.set(|| KeyValue::new("bitrix24.portal", portal.to_string()));
        }
        if let Some(bot) = &self.bot {
            call.set(|| KeyValue::new("bitrix24.bot.code", bot.to_string()));
        }
    }
}

/// Tells of denials. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit(Arc<LogLimit>);

impl Default for Audit {
    fn default() -> Self {
        Self(Arc::new(LogLimit::new(DENIALS)))
    }
}

impl Audit {
    pub(super) fn denied(
        &self,
        caller: &str,
        rpc: &str,
        place: &Place,
        call_id: &str,
        outcome: &str,
    ) {
        let Some(untold) = self.0.may_tell(Instant::now()) else {
            return;
        };
        info!(
            target: "audit",
            caller,
            rpc = %rpc,
            portal = %place.portal(),
            bot = place.bot(),
            event.seq = place.event,
            outcome = %outcome,
            call.id = %call_id,
            untold,
            "denied"
        );
    }
}

/// The line of a call that changes something, written when it ended, however it did.
pub(super) struct Entry {
    grant: Arc<Grant>,
    rpc: &'static str,
    place: Place,
    call_id: Arc<str>,
    outcome: &'static str,
}

impl Entry {
    pub(super) fn new(
        grant: Arc<Grant>,
        rpc: &'static str,
        place: Place,
        call_id: Arc<str>,
    ) -> Self {
        Self {
            grant,
            rpc,
            place,
            call_id,
            // Unless it comes to an end.
            outcome: "BROKEN_OFF",
        }
    }

    /// Ends it: `OK` or the published name of a reason.
    pub(super) fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        info!(
            target: "audit",
            caller = self.grant.name(),
            rpc = %self.rpc,
            portal = %self.place.portal(),
            bot = self.place.bot(),
            event.seq = self.place.event,
            outcome = %self.outcome,
            call.id = %self.call_id,
            "done"
        );
    }
}

/// Names a call in the log: a random start of the process and a number.
pub(super) fn call_id() -> Arc<str> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static START: OnceLock<u32> = OnceLock::new();
    let start = START.get_or_init(|| getrandom::u32().unwrap_or_default());
    let mut id = String::with_capacity(24);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // Writing to a string cannot fail.
    let _written = write!(id, "{start:08x}-{number:x}");
    id.into()
}
