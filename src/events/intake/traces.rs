//! The spans of what arrives.

use opentelemetry::KeyValue;

use super::Intake;
use crate::{
    events::{Events, traces::attributes},
    ids::{BotCode, PortalId},
    store::{self, Append, Appended},
    telemetry::trace::{Kind, Parent, Span},
};

impl Intake {
    /// Bots are asked for their events. It begins a trace, for it is done for nobody yet.
    pub(in crate::events) fn polls(&self, bots: usize) -> Span {
        let bots = i64::try_from(bots).unwrap_or(i64::MAX);
        self.events.0.tracer.begin(Kind::Internal, "poll", || {
            vec![
                KeyValue::new("bitrix24.portal", self.portal.to_string()),
                KeyValue::new("bitrix24.gateway.poll.bots", bots),
            ]
        })
    }
}

impl Events {
    /// An event arrived: begins its trace, and writes that into it. A stranger's trace is not gone on with,
    /// for who posts events decides nothing of what we record.
    pub(super) fn arrives(
        &self,
        (portal, code): (&PortalId, &BotCode),
        event: &mut store::Event,
    ) -> Option<Span> {
        let tracer = &self.0.tracer;
        if !tracer.is_on() {
            return None;
        }
        let arrival = tracer.begin(Kind::Consumer, "event arrival", || {
            attributes(portal, code, &event.kind)
        });
        // The poll that brought it, which brought others as well.
        arrival.link(&Parent::current());
        event.trace_context = arrival.place().wire().map(|wire| wire.traceparent);
        Some(arrival)
    }

    /// Writes into the log.
    pub(super) async fn append(&self, append: Append) -> Result<Appended, store::Error> {
        let events = i64::try_from(append.entries.len()).unwrap_or(i64::MAX);
        let place = Parent::current();
        let span = place.child(Kind::Internal, "append", || {
            vec![KeyValue::new("bitrix24.gateway.append.entries", events)]
        });
        let appended = self.0.store.append(append).await;
        if appended.is_err() {
            span.failed("STORE_UNAVAILABLE");
        }
        appended
    }
}

/// What arrived was known already, and is not delivered again.
pub(super) fn came_again(arrival: &Span) {
    arrival.set(|| KeyValue::new("bitrix24.gateway.duplicate", true));
}
