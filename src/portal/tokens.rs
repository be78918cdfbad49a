//! The tokens of one portal: which are in use, and whether they are any good.
//!
//! A call asks whether the tokens are [`ready`](Keyring::ready) before it stands in line; where they are
//! over it says so and waits, within its own patience, for [`refresh`](super::refresh) to bring others.
//! They are over when the portal said so of just these, or when they end by our own record.
//!
//! Rule: tokens that a refresh brought and that never served a call are not replaced because they are
//! refused too. New ones would fare no better, and who refreshes without need may be blocked (C7.3).

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::{sync::watch, time::sleep_until};

use super::{Cause, Error, Patience, error::Credential, state::PROBE, traces, wire::Method};
use crate::{
    clock::Clock,
    ids::PortalId,
    store::{KeptPair, Pair},
    telemetry::trace::Parent,
};

/// Traces that a refresh is told to serve, at most.
const WAITING: usize = 50;

/// The tokens of one portal. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Keyring(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    portal: PortalId,
    clock: Clock,
    known: watch::Sender<Known>,
    /// Traces of those who wait for others, as many as one span can link to.
    waiting: Mutex<Vec<Parent>>,
}

/// What is known of the tokens.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Those in use, if there are any.
    pub(super) held: Option<Arc<Held>>,
    pub(super) phase: Phase,
}

/// Tokens in use.
#[derive(Debug)]
pub(super) struct Held {
    kept: KeptPair,
    /// Whether they may be replaced when they are refused.
    proven: AtomicBool,
}

/// How it stands with them.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// They are good until their end.
    Good,
    /// They are over, and others are asked for.
    Wanted,
    /// The same, and the last time nobody gave any.
    Failing(Error),
    /// There will be no others.
    Refused {
        error: Error,
        /// Until another pair is installed; else a probe may ask again.
        for_good: bool,
    },
}

/// What a call is to do.
enum Verdict {
    Go,
    Want,
    /// Want once, for this was the answer before.
    AskAgain(Error),
    Wait,
    Stop(Error),
}

impl Held {
    fn generation(&self) -> u64 {
        self.kept.generation
    }

    pub(super) fn kept(&self) -> &KeptPair {
        &self.kept
    }
}

impl Keyring {
    /// Tokens as the store holds them; without any the application counts as not installed.
    pub(super) fn new(portal: PortalId, clock: Clock, kept: Option<KeptPair>) -> Self {
        let phase = match &kept {
            Some(_) => Phase::Good,
            None => Phase::none(&portal),
        };
        let known = watch::Sender::new(Known {
            held: kept.map(|kept| Held::proven(kept, true)),
            phase,
        });
        Self(Arc::new(Inner {
            portal,
            clock,
            known,
            waiting: Mutex::default(),
        }))
    }

    /// Whether calls can go out with these tokens.
    pub(super) fn is_good(&self) -> bool {
        self.is_usable(&self.0.known.borrow())
    }

    /// Whether tokens are asked for and nobody gives any.
    pub(super) fn is_failing(&self) -> bool {
        matches!(self.0.known.borrow().phase, Phase::Failing(_))
    }

    /// The pair in use, good or not.
    pub(super) fn pair(&self) -> Option<Pair> {
        let held = self.0.known.borrow().held.clone();
        held.map(|held| held.kept.pair.clone())
    }

    /// The access token and the number of its pair, if the tokens are good.
    pub(super) fn pass(&self) -> Option<(SecretString, u64)> {
        let known = self.0.known.borrow();
        let held = known.held.as_ref().filter(|_| self.is_usable(&known))?;
        let token = held.kept.pair.access_token.clone();
        Some((token, held.generation()))
    }

    /// Waits until the tokens are good.
    ///
    /// # Errors
    ///
    /// When they cannot be, or patience ended before; nothing was sent.
    pub(super) async fn ready(&self, method: Method, patience: &Patience) -> Result<(), Error> {
        let mut known = self.0.known.subscribe();
        let mut asked = false;
        let _waits = traces::waits_for_tokens();
        self.note_waiting();
        loop {
            let verdict = self.judge(&known.borrow_and_update(), method);
            match verdict {
                Verdict::Go => return Ok(()),
                Verdict::Stop(error) => return Err(error.of(method)),
                Verdict::AskAgain(error) if asked => return Err(error.of(method)),
                Verdict::Want | Verdict::AskAgain(_) => {
                    asked = true;
                    self.want();
                    continue;
                }
                Verdict::Wait => {}
            }
            let deadline = async {
                match patience.deadline() {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            let late = tokio::select! {
                biased;
                // The sender lives in ourselves.
                _ = known.changed() => continue,
                () = patience.left() => Error::new(method, Cause::CallerLeft),
                () = deadline => match &known.borrow().phase {
                    Phase::Failing(error) => error.of(method),
                    _ => Error::new(method, Cause::CallerLeft),
                },
            };
            return Err(late.at(&self.0.portal));
        }
    }

    fn note_waiting(&self) {
        let place = Parent::current();
        let mut waiting = self.waiting();
        if place.is_sampled() && waiting.len() < WAITING {
            waiting.push(place);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Parent>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The traces of those who have waited since this was asked last.
    pub(super) fn take_waiting(&self) -> Vec<Parent> {
        mem::take(&mut *self.waiting())
    }

    fn judge(&self, known: &Known, method: Method) -> Verdict {
        match &known.phase {
            Phase::Good if self.is_usable(known) => Verdict::Go,
            Phase::Good => Verdict::Want,
            // A probe is to tell how things are.
            Phase::Failing(error) if method == PROBE => Verdict::Stop(error.clone()),
            Phase::Wanted | Phase::Failing(_) => Verdict::Wait,
            Phase::Refused {
                error,
                for_good: false,
            } if method == PROBE => Verdict::AskAgain(error.clone()),
            Phase::Refused { error, .. } => Verdict::Stop(error.clone()),
        }
    }

    fn is_usable(&self, known: &Known) -> bool {
        let now = self.0.clock.now();
        let lasts = |held: &Arc<Held>| now < held.kept.pair.access_ends;
        matches!(known.phase, Phase::Good) && known.held.as_ref().is_some_and(lasts)
    }

    /// A call with the tokens of this number was served.
    pub(super) fn served(&self, generation: u64) {
        let known = self.0.known.borrow();
        let held = known.held.as_ref();
        if let Some(held) = held.filter(|held| held.generation() == generation)
            && !held.proven.load(Ordering::Relaxed)
        {
            held.proven.store(true, Ordering::Relaxed);
        }
    }

    /// A call with the tokens of this number was refused for its token. Says whether there may be
    /// others: the call is worth a repeat.
    pub(super) fn refused(&self, generation: u64) -> bool {
        // Also where there will be none: whoever asks for them is told why.
        let mut others = true;
        self.0.known.send_if_modified(|known| {
            let Some(held) = &known.held else {
                return false;
            };
            if !matches!(known.phase, Phase::Good) || held.generation() != generation {
                return false;
            }
            others = held.proven.load(Ordering::Relaxed);
            if others {
                known.phase = Phase::Wanted;
                // It is about to wait.
                self.note_waiting();
            }
            others
        });
        others
    }

    /// Others are to be asked for, unless they are already.
    pub(super) fn want(&self) {
        self.0.known.send_if_modified(|known| {
            let wanted = match &known.phase {
                Phase::Wanted | Phase::Failing(_) => false,
                Phase::Good => true,
                Phase::Refused { for_good, .. } => !for_good,
            };
            if wanted && known.held.is_some() {
                known.phase = Phase::Wanted;
                return true;
            }
            false
        });
    }

    /// Nobody gave any; it will be tried again. Says whether others are still wanted.
    pub(super) fn fail(&self, error: Error) -> bool {
        self.0.known.send_if_modified(|known| {
            let wanted = matches!(known.phase, Phase::Wanted | Phase::Failing(_));
            if wanted {
                known.phase = Phase::Failing(error);
            }
            wanted
        })
    }

    /// Those of this number are over, and there will be no others. Says whether they are still in use.
    pub(super) fn refuse(&self, generation: u64, error: Error, for_good: bool) -> bool {
        self.0.known.send_if_modified(|known| {
            let held = known.held.as_ref();
            let current = held.is_some_and(|held| held.generation() == generation);
            if current {
                known.phase = Phase::Refused { error, for_good };
            }
            current
        })
    }

    /// Uses these from now on, unless later ones are in use. `proven` as in [`Held`].
    pub(super) fn put(&self, kept: KeptPair, proven: bool) {
        self.0.known.send_if_modified(|known| {
            let held = known.held.as_ref();
            if held.is_some_and(|held| held.generation() >= kept.generation) {
                return false;
            }
            known.held = Some(Held::proven(kept, proven));
            known.phase = Phase::Good;
            true
        });
    }

    /// There are none any more.
    pub(super) fn lose(&self) -> Error {
        let phase = Phase::none(&self.0.portal);
        self.0.known.send_replace(Known { held: None, phase });
        not_installed(&self.0.portal)
    }

    /// Tells of every change.
    pub(super) fn watch(&self) -> watch::Receiver<Known> {
        self.0.known.subscribe()
    }

    /// How long until a moment of the day.
    pub(super) fn time_until(&self, at: Timestamp) -> std::time::Duration {
        let left = at.duration_since(self.0.clock.now());
        left.try_into().unwrap_or_default()
    }
}

impl Held {
    fn proven(kept: KeptPair, proven: bool) -> Arc<Self> {
        Arc::new(Self {
            kept,
            proven: AtomicBool::new(proven),
        })
    }
}

impl Phase {
    fn none(portal: &PortalId) -> Self {
        Self::Refused {
            error: not_installed(portal),
            for_good: true,
        }
    }
}

/// Why a portal without tokens is not called.
pub(super) fn not_installed(portal: &PortalId) -> Error {
    Error::new(PROBE, Cause::NotInstalled).at(portal)
}

/// Whether a refusal speaks of the access token alone, so that another one may be served.
pub(super) fn is_of_token(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::Credential(Credential::Expired | Credential::Invalid | Credential::NotFound)
    )
}
