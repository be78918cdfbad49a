//! How long a caller waits, and what becomes of a call whose caller does not.
//!
//! A call that was sent is never aborted: nobody can take it back, and its outcome is worth keeping.
//! So the work goes on in a task of its own when its caller is gone, and the caller is told shortly
//! before its deadline that the outcome is unknown. What was not sent yet never will be.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout_at};
use tonic::{Response, Status, metadata::MetadataMap};
use tracing::{Instrument as _, info_span, warn};

use super::{
    audit,
    caller::Arrival,
    status::{Failure, Refusal, reason, status},
};
use crate::{log_limit::LogLimit, portal::Patience, telemetry::trace::Parent};

/// For calls without a deadline.
pub(super) const DEFAULT: Duration = Duration::from_secs(30);

/// Deadlines beyond are cut to this.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// What an answer needs to reach the caller in time: a tenth of the deadline, at most this.
const MARGIN: Duration = Duration::from_millis(200);

/// Failures that are told in one second; who calls without end does not flood the log.
const FAILURES: u32 = 20;

/// Decides which calls that failed are told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Failures(Arc<LogLimit>);

impl Default for Failures {
    fn default() -> Self {
        Self(Arc::new(LogLimit::new(FAILURES)))
    }
}

impl Failures {
    /// How many were passed over since the last one that was told; `None` to pass over this one.
    pub(super) fn may_tell(&self) -> Option<u64> {
        self.0.may_tell(Instant::now())
    }
}

/// Whether the work leaves something behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Reads,
    Acts,
}

/// Runs the work of one call within its deadline. Of how it arrived hardly anything is kept meanwhile.
pub(super) fn within<T, E, F>(
    arrival: Arrival<'_>,
    work: Work,
    run: impl FnOnce(Patience) -> F,
) -> impl Future<Output = Result<Response<T>, Status>> + Send
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let Arrival {
        parts,
        metadata,
        caller,
        rpc,
        call_id,
        place,
    } = arrival;
    let rpc = rpc.name();
    let patience_ends = answer_by(Instant::now(), timeout(&metadata));
    let patience = Patience::until(Arc::clone(caller.turn()), patience_ends);
    // Also when the caller goes away and the future is dropped.
    let waiting = Waiting(patience.clone());
    // Work begins where it is awaited, before the time is looked at.
    let running = (patience_ends > Instant::now()).then(|| {
        let span = info_span!("call", rpc, call.id = %call_id);
        // Also when nobody waits for the end any more.
        let call_id = Arc::clone(&call_id);
        let trace = Parent::current();
        place.tell(&trace);
        let entry = || audit::Entry::new(caller.grant(), rpc, place, call_id);
        let entry = (work == Work::Acts).then(entry);
        let fault = parts.life.fault().clone();
        let running = trace.run(run(patience).instrument(span)).map(move |ended| {
            fault.strike(rpc);
            let ended = ended.map_err(Into::<Failure>::into);
            if let Some(entry) = entry {
                entry.end(ended.as_ref().err().map_or("OK", Failure::reason));
            }
            ended
        });
        // What a call leaves half-done when it panics is behind locks that forgive it, as in a task.
        parts.life.keep(AssertUnwindSafe(running).catch_unwind())
    });
    let failures = parts.failures.clone();
    async move {
        let Some(running) = running else {
            return Err(status(&Refusal::Late, Some(&call_id)));
        };
        let outcome = timeout_at(patience_ends, running).await;
        let unsent = waiting.0.leave();
        match outcome {
            Ok(Ok(Ok(value))) => Ok(Response::new(value)),
            Ok(Ok(Err(failure))) => {
                let status = failure.status(&call_id);
                if let Some(untold) = failures.may_tell() {
                    warn!(rpc, call.id = %call_id, code = ?status.code(), reason = reason(&status), untold, "call failed");
                }
                Err(status)
            }
            // The panic told its message itself.
            Ok(Err(_panicked)) => {
                tracing::error!(rpc, call.id = %call_id, "call broke off");
                Err(status(&Refusal::Broken, Some(&call_id)))
            }
            Err(_) => {
                let refusal = match work {
                    _ if unsent => Refusal::Late,
                    Work::Reads => Refusal::ReadUnfinished,
                    Work::Acts => Refusal::Unfinished,
                };
                if let Some(untold) = failures.may_tell() {
                    warn!(rpc, call.id = %call_id, unsent, untold, "caller is told that its deadline passed");
                }
                Err(status(&refusal, Some(&call_id)))
            }
        }
    }
}

/// Somebody who waits, until dropped.
struct Waiting(Patience);

impl Drop for Waiting {
    fn drop(&mut self) {
        let _unsent = self.0.leave();
    }
}

fn answer_by(now: Instant, timeout: Duration) -> Instant {
    now + timeout - MARGIN.min(timeout / 10)
}

/// The deadline as the caller's library sends it: up to 8 digits and a unit.
fn timeout(metadata: &MetadataMap) -> Duration {
    let parse = |text: &str| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u64 = digits.parse().ok()?;
        Some(match unit {
            "H" => Duration::from_secs(number * 3600),
            "M" => Duration::from_secs(number * 60),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    };
    let sent = metadata
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok());
    sent.and_then(parse).unwrap_or(DEFAULT).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> Duration {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", text.parse().unwrap());
        timeout(&metadata)
    }

    #[test]
    fn deadline_is_read_in_every_unit_and_cut() {
        assert_eq!(sent("250m"), Duration::from_millis(250));
        assert_eq!(sent("5S"), Duration::from_secs(5));
        assert_eq!(sent("2M"), Duration::from_secs(120));
        assert_eq!(sent("99999999H"), LONGEST);
        assert_eq!(sent("0n"), Duration::ZERO);
    }

    #[test]
    fn no_or_a_malformed_deadline_is_thirty_seconds() {
        assert_eq!(timeout(&MetadataMap::new()), DEFAULT);
        for wrong in ["S", "1", "-1S", "1.5S", "123456789S", "5s"] {
            assert_eq!(sent(wrong), DEFAULT, "{wrong}");
        }
    }

    #[test]
    fn answer_leaves_a_margin() {
        let now = Instant::now();
        assert_eq!(
            answer_by(now, Duration::from_secs(30)) - now,
            Duration::from_millis(29_800)
        );
        assert_eq!(
            answer_by(now, Duration::from_millis(100)) - now,
            Duration::from_millis(90)
        );
    }
}
