//! How what each bot said last ended: an answer or a message.

use jiff::Timestamp;

use super::{Bots, Error, Name};
use crate::fault::{Executed, Fault as _, Reason};

/// What a bot said last, since our start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastSaid {
    /// Whether it was the answer to a command; else a message.
    pub answer: bool,
    /// When it ended.
    pub at: Timestamp,
    /// Why it failed, if it did, and whether it was posted all the same.
    pub failed: Option<(Reason, Executed)>,
}

impl Bots {
    /// What a bot said last; `None` when it said nothing since our start.
    #[must_use]
    pub fn last_said(&self, name: &Name) -> Option<LastSaid> {
        self.said().get(name).copied()
    }

    /// Notes how an answer or a message of a bot ended.
    pub(super) fn note_said(&self, name: &Name, answer: bool, failed: Option<&Error>) {
        let last = LastSaid {
            answer,
            at: self.0.clock.now(),
            failed: failed.map(|error| (error.reason(), error.executed())),
        };
        self.said().insert(name.clone(), last);
    }
}
