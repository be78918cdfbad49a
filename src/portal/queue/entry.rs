//! What stands in line.

use std::sync::Arc;

use tokio::{sync::oneshot, time::Instant};

use crate::{
    portal::{
        Error, Patience,
        batch::{self, Passenger},
        call::Call,
        traces,
        wire::{Method, Reply},
    },
    telemetry::trace::{Parent, Span},
};

/// Where a call is told what became of it.
pub(super) type Answer = oneshot::Sender<Result<Reply, Error>>;

/// A call that waits.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) call: Arc<Call>,
    pub(super) patience: Patience,
    pub(super) since: Instant,
    /// Of whoever made it.
    pub(super) place: Parent,
    /// Lasts until it leaves.
    pub(super) waits: Span,
    pub(super) company: Company,
    pub(super) reply: Answer,
}

/// With whom a call travels.
#[derive(Debug)]
pub(super) enum Company {
    /// With whoever fits, or alone. Its text as an entry of a batch is made when it leaves.
    Any,
    /// With nobody.
    Nobody,
    /// With these in one request, and with nobody else.
    These(Box<[Beside]>),
}

/// A call that leaves when another one does.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) call: Arc<Call>,
    pub(super) reply: Answer,
}

impl Company {
    /// Of a call that may travel with others if it fits into a batch.
    pub(super) fn of(call: &Call) -> Self {
        match batch::entry(call) {
            Some(_) => Self::Any,
            None => Self::Nobody,
        }
    }
}

impl Entry {
    /// Whether it may travel with others that wait.
    pub(super) fn fits(&self) -> bool {
        matches!(self.company, Company::Any)
    }

    fn beside(&self) -> &[Beside] {
        match &self.company {
            Company::These(beside) => beside,
            Company::Any | Company::Nobody => &[],
        }
    }

    /// The methods of the calls that leave when it does.
    pub(super) fn methods_beside(&self) -> impl Iterator<Item = Method> {
        self.beside().iter().map(|beside| beside.call.method)
    }

    /// How many calls it is.
    pub(super) fn calls(&self) -> usize {
        1 + self.beside().len()
    }

    /// Tells each of its calls that it failed like this.
    pub(super) fn end(self, error: &Error) {
        if let Company::These(beside) = self.company {
            for one in beside {
                let _unheard = one.reply.send(Err(error.of(one.call.method)));
            }
        }
        let _unheard = self.reply.send(Err(error.of(self.call.method)));
    }

    /// Its calls, as they travel.
    pub(super) fn passengers(self) -> Vec<Passenger> {
        let beside = match self.company {
            Company::These(beside) => beside.into_vec(),
            Company::Any | Company::Nobody => Vec::new(),
        };
        let first = Beside {
            call: self.call,
            reply: self.reply,
        };
        let passenger = |one: Beside| Passenger {
            span: traces::travels(self.place.clone(), &one.call),
            call: one.call,
            patience: self.patience.clone(),
            reply: one.reply,
        };
        [first].into_iter().chain(beside).map(passenger).collect()
    }
}
