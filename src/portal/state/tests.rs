use super::*;
use crate::{
    fault::{Executed, Kind},
    portal::{error::Credential, wire::Unreadable},
};

fn gate() -> Gate {
    Gate::new(Clock::driven(Timestamp::UNIX_EPOCH), Hold::default())
}

fn error(cause: Cause) -> Error {
    Error::new(Method::MessageSend, cause)
}

fn passes(gate: &Gate) -> bool {
    gate.pass(Method::MessageSend).is_ok()
}

/// Whether a probe is due within a time.
async fn due_within(gate: &Gate, span: Duration) -> bool {
    tokio::time::timeout(span, gate.probe_due()).await.is_ok()
}

/// A gate that a probe closed.
fn closed(cause: Cause) -> Gate {
    let gate = gate();
    gate.failed(&error(cause.clone()));
    assert!(gate.probed(Err(&error(cause))).is_some());
    gate
}

#[tokio::test(start_paused = true)]
async fn new_tokens_open_what_the_lack_of_tokens_had_closed() {
    for cause in [
        Cause::NotInstalled,
        Cause::ApplicationRefused,
        Cause::AuthorizationServer,
        Cause::Credential(Credential::Spent),
        Cause::Credential(Credential::Foreign),
    ] {
        let gate = closed(cause.clone());
        assert_eq!(gate.renewed(), Some(Health::Ok), "{cause}");
        assert!(passes(&gate), "{cause}");
        assert_eq!(gate.renewed(), None, "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_a_reason_to_look_into_any_other_refusal_at_once() {
    let gate = closed(Cause::Plan);
    assert!(!due_within(&gate, Duration::from_secs(1)).await);
    // Also for whoever waits for the next probe already.
    let waiting = due_within(&gate, Duration::from_secs(1));
    let renewed = async { gate.renewed() };
    let (due, told) = tokio::join!(waiting, renewed);
    assert_eq!((due, told), (true, None));
    assert!(!passes(&gate));
}

#[tokio::test(start_paused = true)]
async fn one_refusal_is_a_suspicion_and_a_probe_decides() {
    let gate = gate();
    assert_eq!(gate.state().health, Health::Unknown);
    gate.failed(&error(Cause::Plan));
    assert!(passes(&gate));
    assert!(due_within(&gate, Duration::ZERO).await);
    assert_eq!(gate.probed(Ok(())), None);
    assert!(passes(&gate));

    // The next suspicion has to wait, so that a method that is always refused costs no flood of probes.
    gate.failed(&error(Cause::Plan));
    assert!(!due_within(&gate, TRUST - Duration::from_secs(1)).await);
    assert!(due_within(&gate, Duration::from_secs(1)).await);
    assert_eq!(gate.probed(Err(&error(Cause::Plan))), Some(Health::Parked));
    let held_back = gate.pass(Method::MessageSend).unwrap_err();
    assert!(held_back.is_held_back());
    assert_eq!(held_back.reason(), Reason::PortalPlanWithoutRest);
    assert_eq!(held_back.called(), Method::MessageSend);
    assert!(held_back.retry_after().is_some_and(|wait| wait >= PARKED.0));
    assert!(gate.pass(PROBE).is_ok());
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_call_alone_raise_no_suspicion() {
    for cause in [
        Cause::Scope,
        Cause::AccessDenied,
        Cause::BotMissing,
        Cause::BotToken,
        Cause::Misconfigured,
        Cause::ConfirmDenied,
        Cause::MethodMissing,
        Cause::Throttled,
        Cause::OperatingLimit,
        Cause::Ambiguous,
        Cause::CallerLeft,
        Cause::QueueFull,
    ] {
        let gate = gate();
        for _ in 0..10 {
            gate.failed(&error(cause.clone()));
        }
        assert!(
            !due_within(&gate, Duration::from_secs(3600)).await,
            "{cause}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn probes_of_a_portal_that_refuses_grow_rare_but_never_end() {
    let gate = closed(Cause::Overloaded);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let started = Instant::now();
        gate.probe_due().await;
        pauses.push(started.elapsed());
        assert_eq!(gate.probed(Err(&error(Cause::Overloaded))), None);
    }
    let tick = Duration::from_millis(1);
    assert!(
        pauses[0] >= PARKED.0 && pauses[0] <= PARKED.0 * 2 + tick,
        "{pauses:?}"
    );
    let longest = PARKED.1 * 2 + tick;
    assert!(
        pauses[6..]
            .iter()
            .all(|pause| *pause >= PARKED.1 && *pause <= longest),
        "{pauses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn silence_counts_only_in_a_row() {
    let gate = gate();
    for _ in 0..10 {
        gate.failed(&error(Cause::Blocked));
        gate.failed(&error(Cause::Redirected));
        gate.succeeded();
    }
    assert!(!due_within(&gate, Duration::from_secs(3600)).await);
    for _ in 0..SILENT_CALLS {
        gate.failed(&error(Cause::Blocked));
    }
    assert!(due_within(&gate, Duration::ZERO).await);
    assert_eq!(
        gate.probed(Err(&error(Cause::Blocked))),
        Some(Health::Unreachable)
    );
    assert!(due_within(&gate, SILENT.0 * 2).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_surely_did_not_run() {
    let gate = closed(Cause::Unreadable(Unreadable::Html));
    let held_back = gate.pass(Method::CommandAnswer).unwrap_err();
    assert_eq!(held_back.executed(), Executed::No);
    assert_eq!(held_back.kind(), Kind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_says_nothing_changes_nothing() {
    let parked = closed(Cause::Gone);
    assert_eq!(parked.probed(Err(&error(Cause::Ambiguous))), None);
    assert!(!passes(&parked));
    assert!(!due_within(&parked, PARKED.0 - Duration::from_secs(1)).await);

    let open = gate();
    open.failed(&error(Cause::Gone));
    assert_eq!(open.probed(Err(&error(Cause::Ambiguous))), None);
    assert!(passes(&open));
}

#[tokio::test(start_paused = true)]
async fn state_tells_the_newest_finding_and_since_when() {
    let gate = closed(Cause::Credential(Credential::NotFound));
    let state = gate.state();
    assert_eq!(state.health, Health::ReauthorizationRequired);
    assert_eq!(state.reason, Some(Reason::ReauthorizationRequired));
    assert_eq!(state.since, Timestamp::UNIX_EPOCH);
    assert!(state.until.is_some_and(|until| until > state.since));
    gate.probe_due().await;
    let at = gate.clock.now();
    assert_eq!(gate.probed(Err(&error(Cause::Gone))), Some(Health::Parked));
    assert_eq!(gate.state().since, at);
    gate.probe_due().await;
    gate.succeeded();
    assert_eq!(gate.probed(Ok(())), Some(Health::Ok));
    let state = gate.state();
    assert_eq!(
        (state.health, state.reason, state.until),
        (Health::Ok, None, None)
    );
    assert_eq!(state.last_success, Some(state.since));
    let failure = state.last_failure.unwrap();
    assert_eq!(failure.reason, Reason::ReauthorizationRequired);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_opening_hears_of_it() {
    let gate = closed(Cause::Gone);
    let waiting = async {
        gate.opened().await;
        Instant::now()
    };
    let opening = async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        gate.probed(Ok(()));
        Instant::now()
    };
    let (heard, opened) = tokio::join!(waiting, opening);
    assert_eq!(heard, opened);
    gate.opened().await;
}
