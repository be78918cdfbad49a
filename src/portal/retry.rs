//! Repeats a call where that is safe.
//!
//! The one question is "did it run?". What surely did not run is repeated, within the caller's deadline
//! and a budget that keeps an outage from doubling our load. What perhaps ran is repeated only where the
//! method's class says that a repeat does no harm (C16.3). Everything else is the caller's to decide.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use serde_json::Value;
use tokio::time::Instant;
use tracing::debug;

use super::{
    Call, Cause, Error, Patience,
    assume::Assumptions,
    error::Credential,
    queue::Queue,
    traces,
    wire::{Method, Reply, answer, method::Repeat},
};
use crate::fault::{Fault as _, Kind};

/// Successes that pay for one repeat.
const PRICE: u32 = 10;

/// What a portal has saved up at most: twenty repeats.
const SAVINGS: u32 = 20 * PRICE;

/// How many repeats a portal can afford: while everything fails, hardly any.
#[derive(Debug)]
pub(super) struct Budget {
    /// Times a call is made at most.
    attempts: usize,
    saved: Mutex<u32>,
}

impl Budget {
    pub(super) fn new(attempts: usize) -> Self {
        Self {
            attempts,
            saved: Mutex::new(SAVINGS),
        }
    }

    /// The pauses before one call's repeats, as many as it may have.
    fn pauses(&self) -> Box<ExponentialBackoff> {
        Box::new(
            ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(500))
                .with_max_delay(Duration::from_secs(8))
                .with_max_times(self.attempts.saturating_sub(1))
                .with_jitter()
                .build(),
        )
    }

    fn earn(&self) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        *saved = (*saved + 1).min(SAVINGS);
    }

    fn spend(&self) -> bool {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let left = saved.checked_sub(PRICE);
        *saved = left.unwrap_or(*saved);
        left.is_some()
    }
}

/// A call goes another way so many times at most.
const DETOURS: u32 = 3;

/// Makes a call once, wherever the portal has gone, with new tokens where they are over, and alone where
/// it refuses calls that travel together.
pub(super) async fn once(
    queue: &Queue,
    call: &Arc<Call>,
    patience: &Patience,
) -> Result<Reply, Error> {
    let mut detours = 0;
    let mut refused = false;
    loop {
        let nothing_sent = !patience.is_sending();
        queue.ready(call, patience).await?;
        match queue.send(Arc::clone(call), patience).await {
            // The tokens were over already when its turn came.
            Err(error) if is_over(&error) && error.status().is_none() => {}
            Err(error) if is_over(&error) && refused => {
                return Err(error.because(Cause::Credential(Credential::Expired)));
            }
            // Nothing was done, and it leaves again only if somebody still waits.
            Err(error) if is_over(&error) => {
                refused = true;
                if nothing_sent && !patience.nothing_was_sent() {
                    return Err(error.because(Cause::CallerLeft));
                }
            }
            // Nothing was done; whether with another token of its bot is found out first.
            Err(error) if is_changing(&error) && error.status().is_none() => {}
            Err(error) if is_changing(&error) && detours < DETOURS => {
                detours += 1;
                if nothing_sent && !patience.nothing_was_sent() {
                    return Err(error.because(Cause::CallerLeft));
                }
            }
            // Nothing was done, and another way is known.
            Err(error) if detours < DETOURS && queue.knows_another_way(&error) => {
                detours += 1;
            }
            outcome => return outcome,
        }
    }
}

/// The same for reads that are to be one request, whatever is known of calls that travel together. Each has
/// an outcome, in their order.
pub(super) async fn as_one(
    queue: &Queue,
    calls: &[Arc<Call>],
    patience: &Patience,
) -> Vec<Result<Reply, Error>> {
    let mut detours = 0;
    loop {
        for call in calls {
            if let Err(error) = queue.ready(call, patience).await {
                return calls.iter().map(|it| Err(error.of(it.method))).collect();
            }
        }
        let outcomes = queue.send_as_one(calls, patience).await;
        // Nothing was done, and what stood in the way is known now.
        let again = |error: &Error| {
            is_over(error) || is_changing(error) || matches!(error.cause(), Cause::Moved { .. })
        };
        let mut errors = outcomes.iter().filter_map(|it| it.as_ref().err());
        if detours == DETOURS || !errors.any(again) {
            return outcomes;
        }
        detours += 1;
    }
}

fn is_over(error: &Error) -> bool {
    matches!(error.cause(), Cause::TokenOver)
}

fn is_changing(error: &Error) -> bool {
    matches!(error.cause(), Cause::BotTokenChanging)
}

/// What a failure allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nothing was done: repeat after the usual pause.
    Repeat,
    /// Nothing was done, and the limit sees to the pause.
    RepeatInTurn,
    /// Something may have been done; doing it again is harmless.
    RepeatHarmless,
    /// Tell the caller.
    Tell,
}

/// Makes a call, and again where that is safe.
pub(super) async fn call(
    queue: &Queue,
    budget: &Budget,
    assumptions: &Assumptions,
    call: Arc<Call>,
    patience: &Patience,
) -> Result<Reply, Error> {
    let method = call.method;
    // Made when the first attempt failed: thousands may wait for theirs.
    let mut pauses = None;
    let mut next_pause = || pauses.get_or_insert_with(|| budget.pauses()).next();
    // The first attempt whose outcome is open: whatever comes later, it may have run.
    let mut open: Option<Error> = None;
    loop {
        let error = match once(queue, &call, patience).await {
            Ok(reply) => {
                budget.earn();
                note_key(assumptions, &call, &reply);
                return Ok(reply);
            }
            Err(error) => error,
        };
        if open.is_some()
            && error
                .portal_code()
                .is_some_and(|code| method.already_done(code))
        {
            return Ok(done());
        }
        if error.is_held_back() {
            match comes_again(&error, patience).filter(|_| next_pause().is_some()) {
                Some(pause) => {
                    queue.metrics().retried(&error);
                    traces::pause(pause, &error).await;
                }
                None => return Err(open.unwrap_or(error)),
            }
            continue;
        }
        let keyed = call.message_key().is_some() && assumptions.message_keys();
        let verdict = judge(method, error.cause(), keyed);
        if verdict == Verdict::RepeatHarmless && open.is_none() {
            open = Some(error.clone());
        }
        let pause = next_pause().filter(|_| verdict != Verdict::Tell);
        let Some(pause) = pause.filter(|_| budget.spend()) else {
            return Err(open.unwrap_or(error));
        };
        let pause = match verdict {
            Verdict::RepeatInTurn => Duration::ZERO,
            // Something between us and the portal may ask for more.
            _ => pause.max(
                error
                    .retry_after()
                    .filter(|_| error.status().is_some())
                    .unwrap_or_default(),
            ),
        };
        let in_vain = |deadline| Instant::now() + pause >= deadline;
        if patience.deadline().is_some_and(in_vain) {
            return Err(open.unwrap_or(error));
        }
        debug!(method = %method, reason = error.reason().as_str(), pause_ms = pause.as_millis(), "call is repeated");
        queue.metrics().retried(&error);
        traces::pause(pause, &error).await;
    }
}

/// How long a call waits that was not sent. Only a portal that is silent may speak again by itself;
/// where somebody must act first the caller is told at once. It costs nothing of the budget.
fn comes_again(error: &Error, patience: &Patience) -> Option<Duration> {
    let by_itself = error.kind() == Kind::Unavailable;
    let pause = error.retry_after().filter(|_| by_itself)?;
    let in_vain = |deadline| Instant::now() + pause >= deadline;
    (!patience.deadline().is_some_and(in_vain)).then_some(pause)
}

/// Notes which message the key of a call was answered with.
pub(super) fn note_key(assumptions: &Assumptions, call: &Call, reply: &Reply) {
    let message = || answer::sent(&reply.result).ok()?.id;
    if let Some((key, id)) = call.message_key().and_then(|key| Some((key, message()?))) {
        assumptions.key_was_answered(&key, id);
    }
}

/// `keyed`: the call carries a key that the portal heeds.
fn judge(method: Method, cause: &Cause, keyed: bool) -> Verdict {
    match cause {
        Cause::Throttled => Verdict::RepeatInTurn,
        Cause::Unreachable(_) | Cause::AuthorizationDown | Cause::Blocked => Verdict::Repeat,
        Cause::Ambiguous | Cause::NoAnswer(_) | Cause::Unreadable(_) => match method.repeat() {
            Repeat::Safe | Repeat::Converges => Verdict::RepeatHarmless,
            Repeat::Keyed if keyed => Verdict::RepeatHarmless,
            Repeat::Keyed | Repeat::Never => Verdict::Tell,
        },
        _ => Verdict::Tell,
    }
}

/// The repeat found it done.
fn done() -> Reply {
    Reply {
        result: Value::Bool(true),
        time: None,
        next: None,
        total: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surely_did_not_run_is_repeated_for_every_class() {
        for method in Method::ALL {
            assert_eq!(
                judge(*method, &Cause::Throttled, false),
                Verdict::RepeatInTurn
            );
            assert_eq!(
                judge(*method, &Cause::AuthorizationDown, false),
                Verdict::Repeat
            );
        }
    }

    #[test]
    fn what_perhaps_ran_is_repeated_only_where_that_does_no_harm() {
        assert_eq!(
            judge(Method::BotUpdate, &Cause::Ambiguous, false),
            Verdict::RepeatHarmless
        );
        assert_eq!(
            judge(Method::BotUnregister, &Cause::Ambiguous, false),
            Verdict::RepeatHarmless
        );
        for method in [
            Method::CommandAnswer,
            Method::MessageCommand,
            Method::MessageSend,
            Method::Batch,
        ] {
            assert_eq!(
                judge(method, &Cause::Ambiguous, false),
                Verdict::Tell,
                "{method}"
            );
        }
    }

    #[test]
    fn key_that_is_heeded_makes_a_message_harmless_and_nothing_else() {
        let judged = |method| judge(method, &Cause::Ambiguous, true);
        assert_eq!(judged(Method::MessageSend), Verdict::RepeatHarmless);
        assert_eq!(judged(Method::CommandAnswer), Verdict::Tell);
    }

    #[test]
    fn permanent_refusals_are_never_repeated() {
        for cause in [
            Cause::Overloaded,
            Cause::Plan,
            Cause::Scope,
            Cause::BotMissing,
            Cause::OperatingLimit,
        ] {
            assert_eq!(
                judge(Method::BotGet, &cause, false),
                Verdict::Tell,
                "{cause}"
            );
        }
    }

    #[test]
    fn budget_runs_out_while_everything_fails() {
        let budget = Budget::new(5);
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 20);
        (0..10).for_each(|_| budget.earn());
        assert!(budget.spend());
    }
}
