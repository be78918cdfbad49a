//! Calls under way, by key: the first one runs, the others wait for what it is told.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use super::Outcome;
use crate::store::ledger::RequestHash;

/// The calls under way.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<String, Flight>>);

/// A call under way, as those see it who wait for it.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) request: RequestHash,
    outcome: watch::Receiver<Option<Outcome>>,
}

/// The right to run the call of a key; ends when dropped.
pub(super) struct Seat<'a> {
    flights: &'a Flights,
    key: String,
    tell: watch::Sender<Option<Outcome>>,
}

/// Who comes first runs the call.
pub(super) enum Boarded<'a> {
    First(Seat<'a>),
    Later(Flight),
}

impl Flights {
    /// Takes the key, or finds who has it.
    pub(super) fn board(&self, key: &str, request: RequestHash) -> Boarded<'_> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match flights.entry(key.to_owned()) {
            Entry::Occupied(flight) => Boarded::Later(flight.get().clone()),
            Entry::Vacant(free) => {
                let (tell, outcome) = watch::channel(None);
                free.insert(Flight { request, outcome });
                Boarded::First(Seat {
                    flights: self,
                    key: key.to_owned(),
                    tell,
                })
            }
        }
    }
}

impl Flight {
    /// What the call is told; `None` when those who wait must see for themselves.
    pub(super) async fn outcome(mut self) -> Option<Outcome> {
        let told = self.outcome.wait_for(Option::is_some).await.ok()?;
        told.clone()
    }

    /// Completes when the key is free.
    pub(super) async fn landed(mut self) {
        // Its end is that nobody can tell any more.
        let _ended = self.outcome.wait_for(|_| false).await;
    }
}

impl Seat<'_> {
    /// Tells those who wait.
    pub(super) fn land(self, outcome: Outcome) {
        self.tell.send_replace(Some(outcome));
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        // Before those who wait see the end, so that they find the key free.
        let mut flights = self
            .flights
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        flights.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first<'a>(flights: &'a Flights, key: &str) -> Seat<'a> {
        match flights.board(key, [1; 32]) {
            Boarded::First(seat) => seat,
            Boarded::Later(_) => panic!("{key} is taken"),
        }
    }

    fn later(flights: &Flights, key: &str) -> Flight {
        match flights.board(key, [2; 32]) {
            Boarded::First(_) => panic!("{key} is free"),
            Boarded::Later(flight) => flight,
        }
    }

    #[tokio::test]
    async fn later_ones_are_told_what_the_first_is_told() {
        let flights = Flights::default();
        let seat = first(&flights, "key");
        let other = first(&flights, "other");
        let waiting = [later(&flights, "key"), later(&flights, "key")];
        assert_eq!(waiting[0].request, [1; 32]);
        seat.land(Outcome::Response(vec![7]));
        for flight in waiting {
            let told = flight.clone().outcome().await;
            assert!(matches!(told, Some(Outcome::Response(bytes)) if bytes == [7]));
            flight.landed().await;
        }
        drop(other);
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn key_is_free_when_the_first_one_ends_without_a_word() {
        let flights = Flights::default();
        let seat = first(&flights, "key");
        let waiting = later(&flights, "key");
        drop(seat);
        assert!(waiting.outcome().await.is_none());
        first(&flights, "key");
    }
}
