//! What is measured on the way to a portal: each stage tells here what happened in it.
//!
//! Names and units are those of OpenTelemetry where it has some. Labels are bounded: portals, methods,
//! reasons and lanes, never what a caller made up.

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

use super::{Error, call::Lane, wire::Method};
use crate::fault::Fault as _;

/// Seconds that requests and waits take.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The lanes of a queue.
pub(super) const ANSWERS: &str = "answers";
pub(super) const CALLS_LANE: &str = "calls";
pub(super) const POLLS: &str = "polls";

/// Calls in one request.
const CALLS: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0];

/// The instruments, shared by all portals. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Instruments {
    refusals: Counter<u64>,
    retries: Counter<u64>,
    waits: Histogram<f64>,
    batches: Histogram<u64>,
    limited: Counter<u64>,
    requests: Histogram<f64>,
    refreshes: Counter<u64>,
}

/// The instruments with the name of one portal. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    instruments: Instruments,
    pub(super) portal: KeyValue,
}

/// A limit of Bitrix24 that a request met.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limited {
    Rate,
    OperatingTime,
}

impl Instruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            refusals: meter
                .u64_counter("bitrix24.gateway.admission.refusals")
                .with_description("Calls that were refused before they had a place in the line.")
                .with_unit("{call}")
                .build(),
            retries: meter
                .u64_counter("bitrix24.gateway.retries")
                .with_description("Calls that are made again, by the reason of the failure before.")
                .with_unit("{call}")
                .build(),
            waits: meter
                .f64_histogram("bitrix24.gateway.queue.wait.duration")
                .with_description("How long calls waited for their turn.")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            batches: meter
                .u64_histogram("bitrix24.gateway.batch.size")
                .with_description("Calls that left in one request, one of them included.")
                .with_unit("{call}")
                .with_boundaries(CALLS.to_vec())
                .build(),
            limited: meter
                .u64_counter("bitrix24.gateway.limit.refusals")
                .with_description("Requests that Bitrix24 refused because of a limit.")
                .with_unit("{request}")
                .build(),
            requests: meter
                .f64_histogram("http.client.request.duration")
                .with_description("Duration of requests to portals.")
                .with_unit("s")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            refreshes: meter
                .u64_counter("bitrix24.gateway.oauth.refreshes")
                .with_description("Attempts to exchange a refresh token, by their outcome.")
                .with_unit("{attempt}")
                .build(),
        }
    }

    /// Those of a portal.
    pub(super) fn of(&self, portal: &str) -> Metrics {
        Metrics {
            instruments: self.clone(),
            portal: KeyValue::new("bitrix24.portal", Arc::from(portal)),
        }
    }
}

impl Metrics {
    /// A call had no place in the line.
    pub(super) fn refused(&self, error: &Error) {
        let labels = [self.portal.clone(), reason(error)];
        self.instruments.refusals.add(1, &labels);
    }

    /// A call is made again because of this.
    pub(super) fn retried(&self, error: &Error) {
        let labels = [self.portal.clone(), method(error.called()), reason(error)];
        self.instruments.retries.add(1, &labels);
    }

    /// A call waited so long for its turn.
    pub(super) fn waited(&self, lane: Lane, time: Duration) {
        let lane = match lane {
            Lane::Answers => ANSWERS,
            Lane::Calls => CALLS_LANE,
            Lane::Polls => POLLS,
        };
        let labels = [self.portal.clone(), KeyValue::new("bitrix24.lane", lane)];
        self.instruments.waits.record(time.as_secs_f64(), &labels);
    }

    /// So many calls left the line in one request.
    pub(super) fn left(&self, calls: usize) {
        let calls = u64::try_from(calls).unwrap_or(u64::MAX);
        let portal = std::slice::from_ref(&self.portal);
        self.instruments.batches.record(calls, portal);
    }

    /// The portal's limits were met in spite of our own.
    pub(super) fn limited(&self, limit: Limited) {
        let limit = match limit {
            Limited::Rate => "rate",
            Limited::OperatingTime => "operating_time",
        };
        let labels = [self.portal.clone(), KeyValue::new("bitrix24.limit", limit)];
        self.instruments.limited.add(1, &labels);
    }

    /// A request came to an end.
    pub(super) fn requested(&self, called: Method, error: Option<&Error>, took: Duration) {
        let took = took.as_secs_f64();
        let requests = &self.instruments.requests;
        let status = error.map_or(Some(200), Error::status);
        let status = status.map(|it| KeyValue::new("http.response.status_code", i64::from(it)));
        let failed = error.map(|error| KeyValue::new("error.type", error.reason().as_str()));
        let portal = self.portal.clone();
        let post = KeyValue::new("http.request.method", "POST");
        let template = KeyValue::new("url.template", called.as_str());
        // No list on the heap: there is one of these for each request.
        match (status, failed) {
            (Some(status), Some(failed)) => {
                requests.record(took, &[portal, post, template, status, failed]);
            }
            (Some(one), None) | (None, Some(one)) => {
                requests.record(took, &[portal, post, template, one]);
            }
            (None, None) => requests.record(took, &[portal, post, template]),
        }
    }

    /// A refresh token was exchanged, or not.
    pub(super) fn refreshed(&self, error: Option<&Error>) {
        let outcome = error.map_or("OK", |error| error.reason().as_str());
        let labels = [
            self.portal.clone(),
            KeyValue::new("bitrix24.reason", outcome),
        ];
        self.instruments.refreshes.add(1, &labels);
    }
}

fn method(method: Method) -> KeyValue {
    KeyValue::new("bitrix24.method", method.as_str())
}

fn reason(error: &Error) -> KeyValue {
    KeyValue::new("bitrix24.reason", error.reason().as_str())
}
