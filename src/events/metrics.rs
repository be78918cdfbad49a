//! What is measured of events on their way in, and of fetching.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

use super::{Events, Inner};
use crate::{
    ids::PortalId,
    store::{BotState, EventMode},
};

/// Seconds that a command is on its way to us. Portals tell whole seconds.
const SECONDS: [f64; 11] = [0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 600.0];

/// The instruments of events that come in.
#[derive(Debug)]
pub(super) struct Metrics {
    delays: Histogram<f64>,
    /// Fetches are late from here on where none succeeded yet.
    started: Timestamp,
}

impl Metrics {
    pub(super) fn new(meter: &Meter, now: Timestamp) -> Self {
        let delays = meter
            .f64_histogram("bitrix24.gateway.command.arrival.delay")
            .with_description(
                "Time from when a command was typed until it came to us, both by the portal's clock.",
            )
            .with_unit("s")
            .with_boundaries(SECONDS.to_vec());
        Self {
            delays: delays.build(),
            started: now,
        }
    }
}

impl Events {
    /// A command came that was typed then.
    pub(super) fn command_came(&self, portal: &PortalId, typed: Timestamp) {
        let Some(portal) = self.0.portals.get(portal) else {
            return;
        };
        let late = portal.now().duration_since(typed).max(SignedDuration::ZERO);
        let late = Duration::try_from(late).unwrap_or_default();
        let delays = &self.0.metrics.delays;
        delays.record(late.as_secs_f64(), &[portal.label()]);
    }

    /// Tells how fetching is doing and which bots there are, for as long as somebody else holds this.
    pub(super) fn tell_of_bots(&self, meter: &Meter) {
        let inner = Arc::downgrade(&self.0);
        meter
            .f64_observable_gauge("bitrix24.gateway.poll.age")
            .with_description("Time since events were last fetched of a portal with bots to fetch.")
            .with_unit("s")
            .with_callback(move |told| {
                let events = inner.upgrade().map(Self);
                for (portal, age) in events.iter().flat_map(|events| events.poll_ages()) {
                    told.observe(age.as_secs_f64(), &[portal]);
                }
            })
            .build();
        let inner = Arc::downgrade(&self.0);
        meter
            .u64_observable_gauge("bitrix24.gateway.bots")
            .with_description("Our bots by their state.")
            .with_unit("{bot}")
            .with_callback(move |told| {
                let counted = inner.upgrade().map(|inner| inner.bots_by_state());
                for ((portal, state), count) in counted.unwrap_or_default() {
                    let labels = [
                        KeyValue::new("bitrix24.portal", portal.to_string()),
                        KeyValue::new("bitrix24.bot.state", state),
                    ];
                    told.observe(count, &labels);
                }
            })
            .build();
    }

    fn poll_ages(&self) -> Vec<(KeyValue, SignedDuration)> {
        let now = self.now();
        let mut ages = Vec::new();
        for (id, _, progress) in self.health(None) {
            let fetched = |bot: &crate::store::Bot| {
                bot.event_mode == EventMode::Fetch && bot.state == BotState::Active
            };
            if !self.0.bots.list(&id).iter().any(fetched) {
                continue;
            }
            let last = progress.last_poll.unwrap_or(self.0.metrics.started);
            if let Some(portal) = self.0.portals.get(&id) {
                ages.push((portal.label(), now.duration_since(last)));
            }
        }
        ages
    }
}

impl Inner {
    fn bots_by_state(&self) -> BTreeMap<(PortalId, &'static str), u64> {
        let mut counted = BTreeMap::new();
        for portal in self.portals.list() {
            for bot in self.bots.list(portal.id()) {
                let suspected = self.bots.is_suspected(portal.id(), &bot.code);
                let state = match bot.state {
                    BotState::Active if suspected => "FOREIGN_READER_SUSPECTED",
                    BotState::Active => "ACTIVE",
                    BotState::Pending => "PENDING",
                    BotState::Gone => "GONE",
                    BotState::Foreign => "TOKEN_REJECTED",
                };
                *counted.entry((portal.id().clone(), state)).or_default() += 1;
            }
        }
        counted
    }
}
