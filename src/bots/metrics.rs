//! The golden signal: what becomes of commands, and how long people wait for their answer.
//!
//! An event is answered once, so a repeated call, which is told what became of the first, counts nothing.
//! What was posted when the process crashed is counted nowhere if nobody heard of it any more.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

use super::{Error, answer::Answered};
use crate::fault::{Executed, Fault as _};

/// Seconds that people wait for an answer.
const SECONDS: [f64; 14] = [
    0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 300.0, 600.0,
];

/// Commands by what became of them.
pub(crate) fn commands(meter: &Meter) -> Counter<u64> {
    meter
        .u64_counter("bitrix24.gateway.commands")
        .with_description("Commands by what became of them.")
        .with_unit("{command}")
        .build()
}

/// The instruments of answers.
#[derive(Debug)]
pub(super) struct Metrics {
    commands: Counter<u64>,
    answers: Histogram<f64>,
}

/// What an answer was to.
#[derive(Debug, Clone, Copy)]
pub(super) enum To {
    /// An event of the log, which arrived then.
    Event(Timestamp),
    /// The ids of a command, of which we may know nothing else.
    Ids,
}

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let answers = meter
            .f64_histogram("bitrix24.gateway.command.answer.duration")
            .with_description(
                "Time from a command's arrival in our log until the portal took its answer.",
            )
            .with_unit("s")
            .with_boundaries(SECONDS.to_vec());
        Self {
            commands: commands(meter),
            answers: answers.build(),
        }
    }

    /// A final answer came to its end.
    pub(super) fn ended(
        &self,
        portal: KeyValue,
        to: To,
        outcome: &Result<Answered, Error>,
        now: Timestamp,
    ) {
        let (outcome, why) = match outcome {
            Ok(Answered::Posted) => ("answered", None),
            Ok(Answered::WindowUnknown) => ("answered_window_unknown", None),
            Ok(Answered::Message(_)) => ("answered_by_message", None),
            Ok(Answered::Already) => return,
            Err(error) if error.executed() == Executed::No => ("refused", Some(error.reason())),
            Err(error) => ("unknown", Some(error.reason())),
        };
        let named = match to {
            To::Event(_) => "event",
            To::Ids => "ids",
        };
        let labels = [
            portal.clone(),
            KeyValue::new("bitrix24.outcome", outcome),
            KeyValue::new("bitrix24.command.named_by", named),
            KeyValue::new("bitrix24.reason", why.map_or("", |why| why.as_str())),
        ];
        self.commands.add(1, &labels);
        if let (To::Event(arrived), None) = (to, why) {
            let took = now.duration_since(arrived).max(SignedDuration::ZERO);
            let took = Duration::try_from(took).unwrap_or_default();
            self.answers.record(took.as_secs_f64(), &[portal]);
        }
    }
}
