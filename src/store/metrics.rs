//! What is measured of the store: how long writes take, what fails, and what comes into the log.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

use super::{Append, Appended, Error, Item};

/// Seconds that a write takes, its wait for the writer and the disk included.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// The instruments of a store.
#[derive(Debug)]
pub(super) struct Metrics {
    writes: Histogram<f64>,
    appends: Histogram<f64>,
    errors: Counter<u64>,
    received: Counter<u64>,
    duplicates: Counter<u64>,
    unreadable: Counter<u64>,
    gaps: Counter<u64>,
}

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let seconds = |name, what| {
            let histogram = meter.f64_histogram(name).with_description(what);
            let histogram = histogram.with_unit("s");
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        let counter = |name, unit, what| {
            let counter = meter.u64_counter(name).with_description(what);
            counter.with_unit(unit).build()
        };
        Self {
            writes: seconds(
                "bitrix24.gateway.store.write.duration",
                "How long writes took until they were durable, appends included.",
            ),
            appends: seconds(
                "bitrix24.gateway.log.append.duration",
                "How long it took until what a portal told was durable.",
            ),
            errors: counter(
                "bitrix24.gateway.store.errors",
                "{error}",
                "Reads and writes of the store that failed.",
            ),
            received: counter(
                "bitrix24.gateway.events.received",
                "{event}",
                "Events that came into the log, each once.",
            ),
            duplicates: counter(
                "bitrix24.gateway.events.duplicates",
                "{event}",
                "Events that came again and were skipped.",
            ),
            unreadable: counter(
                "bitrix24.gateway.events.unreadable",
                "{event}",
                "Events that nobody could read, as often as they came.",
            ),
            gaps: counter(
                "bitrix24.gateway.gaps",
                "{gap}",
                "Stretches of time of which events may be missing, for each bot.",
            ),
        }
    }

    pub(super) fn wrote(&self, took: Duration) {
        self.writes.record(took.as_secs_f64(), &[]);
    }

    pub(super) fn failed(&self, error: &Error) {
        if let Some(kind) = error.trouble() {
            self.errors.add(1, &[KeyValue::new("error.type", kind)]);
        }
    }

    pub(super) fn unreadable(&self, portal: &str) {
        self.unreadable.add(1, &[of(portal)]);
    }

    pub(super) fn gap(&self, portal: &str, why: &str) {
        let labels = [of(portal), KeyValue::new("bitrix24.reason", why.to_owned())];
        self.gaps.add(1, &labels);
    }

    pub(super) fn appended(&self, told: &Append, appended: &Appended, took: Duration) {
        self.appends.record(took.as_secs_f64(), &[]);
        let portal = told.portal.as_str();
        let mut gaps = 0;
        for entry in &told.entries {
            if let Item::Gap(gap) = &entry.item {
                gaps += 1;
                self.gap(portal, &gap.why);
            }
        }
        let events = appended.appended - gaps;
        let add = |counter: &Counter<u64>, count: usize, labels: &[KeyValue]| {
            if count > 0 {
                counter.add(count as u64, labels);
            }
        };
        add(&self.duplicates, appended.duplicates, &[of(portal)]);
        for (kind, count) in [
            ("command", appended.commands),
            ("other", events - appended.commands),
        ] {
            let labels = [of(portal), KeyValue::new("bitrix24.event.kind", kind)];
            add(&self.received, count, &labels);
        }
    }
}

fn of(portal: &str) -> KeyValue {
    KeyValue::new("bitrix24.portal", portal.to_owned())
}
