//! Brings new tokens when those of a portal are over (C7).
//!
//! One task per portal, so one refresh at a time, which nobody who waits for it can break off. It asks
//! only when a call needs it, and once in [`KEEP_ALIVE`] of a portal that nobody calls, since an unused
//! refresh token ends after 180 days.
//!
//! Asking spends the refresh token, so once there is an answer it is written down before anything else,
//! however long that takes; where the answer is lost the token is tried again, and only what the
//! authorization server refuses for good ends it.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::{
    Cause, Error, Health, Hold, by_chance,
    error::Credential,
    home::Hosts,
    metrics::Metrics,
    oauth::{Authority, Trouble},
    probe,
    queue::Queue,
    state::PROBE,
    tokens::{self, Held, Keyring, Known, Phase},
    traces,
    wire::oauth::{Denial, Tokens},
};
use crate::{
    clock::Clock,
    fault::{Chain, Fault as _},
    ids::PortalId,
    lifecycle::Lifecycle,
    store::{self, KeptPair, Pair, Store},
};

/// A pair that nobody used is refreshed after this long; Bitrix24 ends it after 180 days.
const KEEP_ALIVE: SignedDuration = SignedDuration::from_hours(150 * 24);

/// Within this time after, each portal at another moment.
const KEEP_ALIVE_SPREAD: Duration = Duration::from_secs(24 * 3600);

/// The time of day may jump, so it is looked at this often.
const LOOK: Duration = Duration::from_secs(24 * 3600);

/// Pauses between attempts, first and longest; some is added by chance.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A shorter life is not believed: we would ask without end.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// Refreshes the tokens of one portal. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Refresher {
    pub(super) portal: PortalId,
    pub(super) keyring: Keyring,
    pub(super) authority: Arc<Authority>,
    pub(super) hosts: Arc<Hosts>,
    pub(super) store: Store,
    pub(super) hold: Hold,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) life: Lifecycle,
}

/// What an attempt came to.
enum Outcome {
    /// Other tokens; `ours` when we asked for them.
    New { kept: Box<KeptPair>, ours: bool },
    /// None, and asking again is of no use: at all, or before somebody acted.
    Refused { error: Error, for_good: bool },
    /// None this time.
    Failed(Error),
}

impl Outcome {
    fn error(&self) -> Option<&Error> {
        match self {
            Self::New { .. } => None,
            Self::Refused { error, .. } | Self::Failed(error) => Some(error),
        }
    }
}

impl Refresher {
    /// Refreshes for ever, whenever that is wanted.
    pub(super) async fn run(self, queue: Queue) {
        self.hold.released().await;
        let spread = by_chance(KEEP_ALIVE_SPREAD);
        let mut known = self.keyring.watch();
        loop {
            let due = due(&known.borrow_and_update(), spread);
            let wait = match due {
                None => LOOK,
                Some(due) => self.keyring.time_until(due).min(LOOK),
            };
            if due.is_some() && wait.is_zero() {
                self.keyring.want();
                self.renew(&queue).await;
            } else {
                // The sender lives in the keyring.
                let _changed = timeout(wait, known.changed()).await;
            }
        }
    }

    /// Asks until there are tokens or there will be none.
    async fn renew(&self, queue: &Queue) {
        let mut known = self.keyring.watch();
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(PAUSES.0)
            .with_max_delay(PAUSES.1)
            .without_max_times()
            .with_jitter()
            .build();
        loop {
            let held = match &*known.borrow_and_update() {
                Known {
                    held: Some(held),
                    phase: Phase::Wanted | Phase::Failing(_),
                } => Arc::clone(held),
                _ => return,
            };
            // A stop waits for it: an answer that is not written down would be the end of the pair.
            let span = traces::refreshes(&self.portal, &self.keyring.take_waiting());
            let attempt = span.run(self.clone().attempt(Arc::clone(&held)));
            let outcome = match self.life.serve(attempt).await {
                Ok(outcome) => outcome,
                Err(_broken) => Outcome::Failed(self.failure(Cause::AuthorizationServer)),
            };
            if let Some(error) = outcome.error() {
                span.failed(error.reason().as_str());
            }
            drop(span);
            // Who came later waited for nothing else.
            let _served = self.keyring.take_waiting();
            self.metrics.refreshed(outcome.error());
            match outcome {
                Outcome::New { kept, ours } => return self.use_them(queue, *kept, !ours),
                Outcome::Refused { error, for_good } => {
                    let generation = held.kept().generation;
                    if self.keyring.refuse(generation, error.clone(), for_good) {
                        self.close(queue, &error);
                    }
                    return;
                }
                Outcome::Failed(error) => {
                    let wanted = self.keyring.fail(error.clone());
                    if wanted && !queue.gate().is_closed() {
                        self.close(queue, &error);
                    }
                    // Our own change is none that matters here.
                    known.mark_unchanged();
                    let pause = pauses.next().unwrap_or(PAUSES.1);
                    let _installed = timeout(pause, known.changed()).await;
                }
            }
        }
    }

    /// Calls go out with these from now on.
    pub(super) fn use_them(&self, queue: &Queue, kept: KeptPair, proven: bool) {
        queue.home().relocate(&kept.pair.client_endpoint);
        // The gate first: whoever waits for tokens goes through it next.
        if queue.gate().renewed() == Some(Health::Ok) {
            info!(portal.id = %self.portal, "portal is called again, with new tokens");
        }
        self.keyring.put(kept, proven);
        queue.gate_changed();
    }

    /// Nobody calls before there are tokens.
    pub(super) fn close(&self, queue: &Queue, error: &Error) {
        if let Some(health) = queue.gate().probed(Err(error)) {
            probe::tell(&self.portal, health, Some(error));
        }
        queue.gate_changed();
    }

    /// One attempt, to its end.
    async fn attempt(self, held: Arc<Held>) -> Outcome {
        // The store closes at the end of a stop, and what is not written down is lost.
        if self.life.stop().is_cancelled() {
            return Outcome::Refused {
                error: self.failure(Cause::AuthorizationServer),
                for_good: false,
            };
        }
        let KeptPair { generation, pair } = held.kept();
        let asked_at = self.clock.now();
        let endpoint = pair.server_endpoint.as_deref();
        let asked = self.authority.refresh(endpoint, &pair.refresh_token).await;
        let tokens = match asked {
            Ok(tokens) => tokens,
            Err(trouble) => return self.troubled(&trouble, *generation).await,
        };
        if is_foreign(pair, &tokens) {
            error!(portal.id = %self.portal, "a refresh brought tokens of another account or user: they are not used");
            let cause = Cause::Credential(Credential::Foreign);
            return Outcome::Refused {
                error: self.failure(cause),
                for_good: true,
            };
        }
        let pair = self.next_pair(pair, tokens, asked_at);
        self.keep(&pair, *generation).await
    }

    /// Writes a new pair down, however long that takes: the one before it is spent.
    async fn keep(&self, pair: &Pair, from: u64) -> Outcome {
        loop {
            match self.store.save_pair(&self.portal, pair, Some(from)).await {
                Ok(Some(kept)) => {
                    return Outcome::New {
                        kept: Box::new(kept),
                        ours: true,
                    };
                }
                // Another one was installed meanwhile.
                Ok(None) => match self.stored(from).await {
                    Ok(outcome) => {
                        return outcome.unwrap_or_else(|| {
                            Outcome::Failed(self.failure(Cause::AuthorizationServer))
                        });
                    }
                    Err(error) => self.cannot_be_kept(&error),
                },
                Err(error @ store::Error::Closed) => {
                    self.cannot_be_kept(&error);
                    return Outcome::Failed(self.failure(Cause::AuthorizationServer));
                }
                Err(error) => self.cannot_be_kept(&error),
            }
            sleep(PAUSES.0).await;
        }
    }

    fn cannot_be_kept(&self, error: &store::Error) {
        error!(portal.id = %self.portal, error = %Chain(error), "new tokens cannot be stored, and are not used before they are");
    }

    /// What the store holds in place of the pair of this number, if it is another.
    async fn stored(&self, than: u64) -> Result<Option<Outcome>, store::Error> {
        Ok(match self.store.pair(&self.portal).await? {
            Some(kept) if kept.generation == than => None,
            Some(kept) => Some(Outcome::New {
                kept: Box::new(kept),
                ours: false,
            }),
            None => Some(Outcome::Refused {
                error: tokens::not_installed(&self.portal),
                for_good: true,
            }),
        })
    }

    /// What it means that there are no new tokens.
    async fn troubled(&self, trouble: &Trouble, generation: u64) -> Outcome {
        let (cause, for_good) = match trouble {
            Trouble::Forbidden => (Cause::ApplicationRefused, false),
            Trouble::Silent(_) | Trouble::Late => (Cause::AuthorizationServer, false),
            Trouble::Refused(refusal) => match refusal.denial() {
                Denial::Spent => (Cause::Credential(Credential::Spent), true),
                Denial::NotInstalled => (Cause::NotInstalled, true),
                Denial::Misconfigured => (Cause::ApplicationRefused, false),
                Denial::PaymentRequired => (Cause::PaymentRequired, false),
                Denial::PortalGone => (Cause::Gone, false),
                Denial::Unavailable | Denial::Unclear => (Cause::AuthorizationServer, false),
            },
        };
        let failed = matches!(cause, Cause::AuthorizationServer);
        let error = self.failure(cause).coded(trouble.code());
        warn!(portal.id = %self.portal, oauth.code = trouble.code(), error = %Chain(trouble), "no new tokens");
        if failed {
            return Outcome::Failed(error);
        }
        if for_good {
            // Somebody else may have been faster.
            match self.stored(generation).await {
                Ok(None) => {}
                Ok(Some(outcome)) => return outcome,
                Err(cause) => {
                    error!(portal.id = %self.portal, error = %Chain(&cause), "tokens cannot be read");
                    return Outcome::Failed(self.failure(Cause::AuthorizationServer));
                }
            }
        }
        Outcome::Refused { error, for_good }
    }

    fn may_be_at(&self, address: &str) -> bool {
        let may = self.hosts.allow(address);
        if !may {
            warn!(portal.id = %self.portal, "portal has an address that `outbound.portal_hosts` does not name: not followed");
        }
        may
    }

    fn failure(&self, cause: Cause) -> Error {
        Error::new(PROBE, cause).at(&self.portal)
    }

    /// The pair after `pair`. What the answer leaves out stays, and so does what must not be believed.
    fn next_pair(&self, pair: &Pair, tokens: Tokens, asked_at: Timestamp) -> Pair {
        let life = tokens.expires_in.max(SHORTEST_LIFE);
        let server = tokens.server_endpoint;
        let server = server.filter(|endpoint| self.authority.trusts(Some(endpoint)));
        let scope = Some(tokens.scope).filter(|scope| !scope.is_empty());
        let told = tokens.member_id.is_some();
        let address = tokens.client_endpoint.filter(|_| told);
        let address = address.filter(|address| self.may_be_at(address));
        Pair {
            member_id: pair.member_id.clone(),
            user_id: tokens.user_id.or(pair.user_id),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            access_ends: asked_at.saturating_add(life).unwrap_or(Timestamp::MAX),
            obtained_at: asked_at,
            client_endpoint: address.unwrap_or_else(|| pair.client_endpoint.clone()),
            server_endpoint: server.or_else(|| pair.server_endpoint.clone()),
            scope: scope.unwrap_or_else(|| pair.scope.clone()),
            status: tokens.status.or_else(|| pair.status.clone()),
            application_token: pair.application_token.clone(),
        }
    }
}

/// When a refresh is due, if ever: at once where one is wanted.
fn due(known: &Known, spread: Duration) -> Option<Timestamp> {
    let held = known.held.as_ref()?;
    match known.phase {
        Phase::Wanted | Phase::Failing(_) => Some(Timestamp::MIN),
        Phase::Good => {
            let due = held.kept().pair.obtained_at.saturating_add(KEEP_ALIVE);
            due.and_then(|due| due.saturating_add(spread)).ok()
        }
        Phase::Refused { .. } => None,
    }
}

/// Whether tokens belong to another account or user than those before.
fn is_foreign(pair: &Pair, tokens: &Tokens) -> bool {
    let member = tokens.member_id.as_ref();
    let user = tokens.user_id.zip(pair.user_id);
    member.is_some_and(|member| *member != pair.member_id)
        || user.is_some_and(|(theirs, ours)| theirs != ours)
}
