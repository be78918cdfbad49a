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

use std::{future::Future, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use ring::digest::{SHA256, digest};
use tonic::{Code, Status};
use tracing::error;

use self::flight::{Boarded, Flights, Seat};
use super::{
    caller::Caller,
    status::{Failure, Refusal, status},
};
use crate::{
    clock::Clock,
    fault::{Chain, Executed, Fault, Origin, Reason},
    ids::{MessageKey, PortalId},
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
}

/// A request that can carry a key.
pub(super) trait Keyed: Message + Clone {
    /// What is not part of the wish itself: the portal, which is known apart, and the key.
    fn scope(&mut self) -> [&mut String; 2];
}

macro_rules! keyed {
    ($($request:ident)*) => { $(
        impl Keyed for pb::$request {
            fn scope(&mut self) -> [&mut String; 2] {
                [&mut self.portal, &mut self.idempotency_key]
            }
        }
    )* };
}

keyed! {
    AnswerCommandRequest
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

/// What the callers of one key are told.
#[derive(Debug, Clone)]
enum Outcome {
    /// An encoded response.
    Response(Vec<u8>),
    Failure(Status),
}

impl Claim {
    /// The claim of a request; `None` when it carries no key.
    pub(super) fn of(request: &impl Keyed) -> Option<Self> {
        let mut request = request.clone();
        let [_, key] = request.scope().map(std::mem::take);
        (!key.is_empty()).then(|| Self {
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
        }))
    }

    /// What runs a call of a portal.
    pub(super) fn once(&self, claim: Option<Claim>, rpc: &str, portal: &PortalId) -> Once {
        let call = claim.map(|Claim { key, request }| {
            let owner = Caller::anybody().into_owner();
            let place = seal::place(&["call", &owner, portal.as_str(), rpc, &key]);
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
                    return inner.fly(&call, seat, work(patience)).await;
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
    async fn fly<T, E>(
        &self,
        call: &Call,
        seat: Seat<'_>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure>
    where
        T: Message + Default,
        E: Fault,
    {
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
        let ended = work.await;
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
        if let Err(error) = recorded {
            error!(error = %Chain(&error), "outcome of a call cannot be recorded under its key");
        }
        // Who ran out of time says nothing about those who have more.
        match &ended {
            Err(fault) if was_impatient(fault) => drop(seat),
            _ => seat.land(outcome),
        }
        ended.map_err(Failure::from)
    }
}

/// Whether repeats of a failed call are told of its failure instead of being sent.
fn is_kept(fault: &impl Fault) -> bool {
    fault.executed() != Executed::No || is_refused_for_good(fault)
}

/// Whether the portal found the call itself wrong, not the moment, our credential or our setup.
fn is_refused_for_good(fault: &impl Fault) -> bool {
    fault.method().is_some()
        && fault.origin() != Origin::Gateway
        && matches!(
            fault.reason(),
            Reason::PortalRefused
                | Reason::AccessDenied
                | Reason::MethodNotSupported
                | Reason::BotNotFound
                | Reason::CommandNotFound
                | Reason::CommandExists
                | Reason::MessageNotFound
                | Reason::ChatNotFound
        )
}

fn was_impatient(fault: &impl Fault) -> bool {
    matches!(
        fault.reason(),
        Reason::DeadlineExceeded | Reason::DeadlineTooShort
    )
}

/// How a kept outcome begins.
const RESPONSE: u8 = 1;
const FAILURE: u8 = 2;

impl Outcome {
    fn of<T: Message, E: Fault>(ended: &Result<T, E>) -> Self {
        match ended {
            Ok(response) => Self::Response(response.encode_to_vec()),
            Err(fault) => Self::Failure(status(fault, None)),
        }
    }

    fn told<T: Message + Default>(self) -> Result<T, Failure> {
        match self {
            Self::Response(bytes) => T::decode(&*bytes).map_err(|_| Refusal::OutcomeLost.into()),
            Self::Failure(status) => Err(Failure::Again(status)),
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Response(bytes) => [&[RESPONSE], &**bytes].concat(),
            // The details hold code and message as well.
            Self::Failure(status) => [&[FAILURE], status.details()].concat(),
        }
    }

    fn decode(kept: &[u8]) -> Result<Self, Refusal> {
        match kept.split_first() {
            Some((&RESPONSE, bytes)) => Ok(Self::Response(bytes.to_vec())),
            Some((&FAILURE, bytes)) => {
                let said = tonic_types::Status::decode(bytes).map_err(|_| Refusal::OutcomeLost)?;
                let code = Code::from(said.code);
                let details = bytes.to_vec().into();
                Ok(Self::Failure(Status::with_details(
                    code,
                    said.message,
                    details,
                )))
            }
            _ => Err(Refusal::OutcomeLost),
        }
    }
}

fn hash(bytes: &[u8]) -> RequestHash {
    let mut hash = RequestHash::default();
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
