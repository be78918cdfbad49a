//! Lets a call that carries a key run once.
//!
//! Before the call runs its intent is in the store, afterwards its outcome: how it ended, or nothing
//! when it surely did not run and may be tried again. A repeat is told what is known. While the call
//! runs its repeats wait for it, and are told what it is told.
//!
//! What is kept is what the caller saw, response or status, so a repeat sees the same. It is kept also
//! when the portal refused the call for what it says: a repeat would only be refused again.
//!
//! Invariant: nothing is sent under a key whose earlier call may have run.

mod flight;
mod outcome;

use std::{future::Future, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use ring::digest::{SHA256, digest};
use tokio::time::Instant;
use tracing::error;

use self::{
    flight::{Boarded, Flights, Seat},
    outcome::{Outcome, is_kept, was_impatient},
};
use super::{
    caller::Arrival,
    status::{Failure, Refusal},
};
use crate::{
    clock::Clock,
    events::{Cursor, cursor::EventId, subscriptions::AckId},
    fault::{Chain, Fault},
    ids::{MessageKey, PortalId},
    log_limit::LogLimit,
    portal::Patience,
    proto::v1 as pb,
    store::{CallBegun, Store, ledger::RequestHash, seal},
};

/// Remembers calls by their keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    flights: Flights,
    /// Of outcomes that cannot be recorded.
    losses: LogLimit,
}

/// Lines in one second about outcomes that cannot be recorded.
const LOSSES: u32 = 5;

/// A request that can carry a key.
pub(super) trait Keyed: Message + Clone {
    /// The key; empty for none.
    fn key(&self) -> &str;

    /// What is not part of the wish itself: the portal, which is known apart, and the key.
    fn scope(&mut self) -> [&mut String; 2];

    /// Says in one way what can be said in several.
    fn normalise(&mut self) {}
}

macro_rules! keyed {
    ($($request:ident $(($normalise:ident))?)*) => { $(
        impl Keyed for pb::$request {
            fn key(&self) -> &str {
                &self.idempotency_key
            }

            fn scope(&mut self) -> [&mut String; 2] {
                [&mut self.portal, &mut self.idempotency_key]
            }

            $(fn normalise(&mut self) {
                $normalise(self);
            })?
        }
    )* };
}

keyed! {
    AnswerCommandRequest(name_the_event)
    ExecuteCommandRequest
    SendMessageRequest
    UpdateMessageRequest
    DeleteMessageRequest
    NotifyActionRequest
}

/// The key of a request, and the wish it stands for.
#[derive(Debug)]
pub(super) struct Claim {
    key: String,
    request: RequestHash,
}

/// Runs one call once, if it carries a key.
#[derive(Debug)]
pub(super) struct Once {
    ledger: Ledger,
    call: Option<Call>,
}

/// A call that carries a key.
#[derive(Debug)]
struct Call {
    /// The key with all that it is apart by, hashed: nothing callers write stands in the store.
    key: String,
    request: RequestHash,
}

/// An event that is handed out again has another ack id, and its answer is still the same wish.
fn name_the_event(request: &mut pb::AnswerCommandRequest) {
    use pb::answer_command_request::Target;
    if let Some(Target::AckId(text)) = &request.target
        && let Ok(ack) = text.parse::<AckId>()
    {
        let at = Cursor {
            log: ack.log,
            seq: ack.seq,
        };
        request.target = Some(Target::EventId(EventId(at).to_string()));
    }
}

impl Claim {
    /// The claim of a request; `None` when it carries no key.
    pub(super) fn of(request: &impl Keyed) -> Option<Self> {
        // Most calls carry none, and a copy of a request can be large.
        if request.key().is_empty() {
            return None;
        }
        let mut request = request.clone();
        request.normalise();
        let [_, key] = request.scope().map(std::mem::take);
        Some(Self {
            key,
            request: hash(&request.encode_to_vec()),
        })
    }
}

impl Ledger {
    /// A ledger in this store.
    #[must_use]
    pub fn new(store: Store, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            store,
            clock,
            flights: Flights::default(),
            losses: LogLimit::new(LOSSES),
        }))
    }

    /// What runs a call of a portal.
    pub(super) fn once(
        &self,
        claim: Option<Claim>,
        arrival: &Arrival<'_>,
        portal: &PortalId,
    ) -> Once {
        let call = claim.map(|Claim { key, request }| {
            let (owner, rpc) = (arrival.caller.name(), arrival.rpc.name());
            let place = seal::place(&["call", owner, portal.as_str(), rpc, &key]);
            Call {
                key: URL_SAFE_NO_PAD.encode(hash(&place)),
                request,
            }
        });
        Once {
            ledger: self.clone(),
            call,
        }
    }
}

impl Once {
    /// The key for the portal's own protection against a second message, if the call carries one.
    pub(super) fn message_key(&self) -> Option<MessageKey> {
        let keys = self.ledger.0.store.keys();
        self.call.as_ref().map(|call| keys.message_key(&call.key))
    }

    /// Does the work, or tells what became of it when it was done before.
    pub(super) async fn run<T, E, F>(
        self,
        patience: Patience,
        work: impl FnOnce(Patience) -> F,
    ) -> Result<T, Failure>
    where
        T: Message + Default,
        E: Fault,
        F: Future<Output = Result<T, E>>,
    {
        let Some(call) = self.call else {
            return work(patience).await.map_err(Failure::from);
        };
        let inner = &self.ledger.0;
        loop {
            let flight = match inner.flights.board(&call.key, call.request) {
                Boarded::First(seat) => {
                    return Box::pin(inner.fly(&call, seat, patience, work)).await;
                }
                Boarded::Later(flight) => flight,
            };
            if flight.request != call.request {
                // Who is wrong is known when that call is settled.
                flight.landed().await;
                continue;
            }
            // What this caller waits for may be sent already.
            if !patience.begin_sending() {
                return Err(Refusal::Late.into());
            }
            if let Some(outcome) = flight.outcome().await {
                return outcome.told();
            }
        }
    }
}

impl Inner {
    /// Runs the first call of a key.
    async fn fly<T, E, F>(
        &self,
        call: &Call,
        seat: Seat<'_>,
        patience: Patience,
        work: impl FnOnce(Patience) -> F,
    ) -> Result<T, Failure>
    where
        T: Message + Default,
        E: Fault,
        F: Future<Output = Result<T, E>>,
    {
        // It may have been sent under this key before: who leaves now is not told otherwise.
        if !patience.begin_sending() {
            return Err(Refusal::Late.into());
        }
        let begun = self
            .store
            .begin_call(&call.key, call.request, self.clock.now())
            .await?;
        match begun {
            CallBegun::New => {}
            CallBegun::Settled(kept) => return Outcome::decode(&kept)?.told(),
            CallBegun::Unknown => return Err(Refusal::OutcomeLost.into()),
            CallBegun::OtherRequest => return Err(Refusal::KeyReused.into()),
        }
        // Who joined an earlier call of this key may have left, and must not send it unheard.
        if !patience.nothing_was_sent() {
            self.store.release_call(&call.key).await?;
            return Err(Refusal::Late.into());
        }
        let ended = work(patience).await;
        let outcome = Outcome::of(&ended);
        let keep = match &ended {
            Ok(_) => true,
            Err(fault) => is_kept(fault),
        };
        let recorded = if keep {
            let kept = outcome.encode();
            let now = self.clock.now();
            self.store
                .settle_call(&call.key, call.request, &kept, now)
                .await
        } else {
            self.store.release_call(&call.key).await
        };
        // The outcome is told all the same. Whoever repeats later is told that nobody knows.
        if let Err(error) = recorded
            && let Some(untold) = self.losses.may_tell(Instant::now())
        {
            error!(error = %Chain(&error), untold, "outcome of a call cannot be recorded under its key");
        }
        // Who ran out of time says nothing about those who have more.
        match &ended {
            Err(fault) if was_impatient(fault) => drop(seat),
            _ => seat.land(outcome),
        }
        ended.map_err(Failure::from)
    }
}

fn hash(bytes: &[u8]) -> RequestHash {
    let mut hash = RequestHash::default();
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::{fault::Reason, store};

    #[tokio::test]
    async fn call_that_panicked_leaves_its_key_free_and_its_outcome_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let config = store::Config {
            dir: folder.path().join("store"),
            keys: store::KeySource::File(folder.path().join("keys")),
        };
        let store = Store::open(config, Clock::system()).await.unwrap().store;
        let ledger = Ledger::new(store, Clock::system());
        let once = || Once {
            ledger: ledger.clone(),
            call: Some(Call {
                key: "key".to_owned(),
                request: [1; 32],
            }),
        };
        let panics = once().run(Patience::endless(), |_| async {
            if true {
                panic!("on purpose");
            }
            Ok::<pb::SendMessageResponse, store::Error>(pb::SendMessageResponse::default())
        });
        let joined = once().run(Patience::endless(), |_| async {
            Ok::<pb::SendMessageResponse, store::Error>(pb::SendMessageResponse::default())
        });
        let panics = AssertUnwindSafe(panics).catch_unwind();
        let (panicked, joined) = tokio::join!(panics, joined);
        assert!(panicked.is_err());
        assert_eq!(
            joined.unwrap_err().reason(),
            Reason::OutcomeUnknown.as_str()
        );
    }
}
