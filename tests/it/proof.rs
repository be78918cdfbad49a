//! Whatever goes wrong, nobody is told a lie.
//!
//! Callers call at random and the portal fails at random; afterwards its journal is held against what
//! each caller was told. `GATEWAY_PROOF_CALLS` sets the number of calls, `GATEWAY_PROOF_SEED` where
//! chance begins. A seed fixes what is asked and what goes wrong; which of two things of the same
//! moment comes first is up to the machine.

mod calls;
mod dice;
mod judge;
mod mishaps;
mod run;

use std::{collections::BTreeMap, time::Duration};

use bitrix24_gateway::proto::v1 as pb;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use self::{
    calls::Outcome,
    judge::Case,
    run::{World, lines},
};
use crate::scene::{Scene, content};

/// Calls in one life of a gateway; as many as the portal's journal holds with all they cause.
const ROUND: usize = 750;

/// What may pass between a caller's deadline and the end of its call.
const MARGIN: Duration = Duration::from_millis(20);

/// Long enough for every request to be given up and every ban to end.
const REST: Duration = Duration::from_secs(900);

/// How much of what should be tried was tried.
#[derive(Debug, Default)]
struct Tally {
    fine: usize,
    refused: usize,
    unknown: usize,
    together: usize,
    mishaps: usize,
    reasons: BTreeMap<String, usize>,
}

#[tokio::test(start_paused = true)]
async fn what_callers_are_told_is_what_happened_in_the_portal() {
    let calls = usize::try_from(number("GATEWAY_PROOF_CALLS").unwrap_or(1_500)).unwrap();
    // From here a call was once sent long after all who wanted it had left.
    let first = number("GATEWAY_PROOF_SEED").unwrap_or(2010);
    let mut tally = Tally::default();
    let rounds = calls.div_ceil(ROUND);
    for (round, seed) in (0..rounds).zip(first..) {
        let calls = ROUND.min(calls - round * ROUND);
        round_of(seed, calls, &mut tally).await;
    }
    eprintln!("{tally:?}");
    // Nothing is proved by calls that all end alike.
    assert!(tally.fine > calls / 4, "{tally:?}");
    assert!(tally.refused.min(tally.unknown) > calls / 50, "{tally:?}");
    assert!(tally.together.min(tally.mishaps) > calls / 30, "{tally:?}");
}

async fn round_of(seed: u64, calls: usize, tally: &mut Tally) {
    eprintln!("seed {seed}");
    let mut scene = Scene::start().await;
    scene.portal.set_latency(None, Duration::from_millis(20));
    let world = World::prepare(&mut scene, calls).await;
    let lines = lines(&scene).await;
    sleep(REST).await;
    scene.portal.journal().clear();
    for (dialog, _) in &world.dialogs {
        let typed = scene.portal.user(scene.anna).types(dialog, "/help");
        typed.unwrap();
    }
    let tasks = Handle::current().metrics().num_alive_tasks();
    world.run(lines.clone(), seed).await;
    scene.portal.faults().clear();
    sleep(REST).await;
    let left = Handle::current().metrics().num_alive_tasks();

    judge_all(&world, seed, calls, tally);
    assert!(
        left <= tasks,
        "seed {seed}: {tasks} tasks before and {left} after: something still waits"
    );
    fresh_calls_work_at_once(&mut scene, seed).await;
    scene.stop().await;
}

/// Counts what was told, and holds it against what happened.
fn judge_all(world: &World, seed: u64, calls: usize, tally: &mut Tally) {
    let notes = world.notes();
    let mut case = Case::open(world, &notes);
    case.hear();
    for attempt in &notes.attempts {
        if let Outcome::Failed(told) = &attempt.outcome {
            *tally.reasons.entry(told.reason.clone()).or_default() += 1;
        }
        match &attempt.outcome {
            Outcome::Failed(told) if told.executed == "unknown" => tally.unknown += 1,
            Outcome::Failed(_) | Outcome::Mute(_) => tally.refused += 1,
            _ => tally.fine += 1,
        }
    }
    let (together, mishaps) = case.travelled();
    tally.together += together;
    tally.mishaps += mishaps;
    let told: Vec<_> = case
        .charges
        .iter()
        .take(5)
        .map(|(wishes, charge)| {
            let histories: String = wishes.iter().map(|wish| case.history(*wish)).collect();
            format!("{charge}\n{histories}")
        })
        .collect();
    assert!(
        case.charges.is_empty(),
        "{} broken promises; GATEWAY_PROOF_SEED={seed} GATEWAY_PROOF_CALLS={calls}\n{}",
        case.charges.len(),
        told.join("\n")
    );
}

async fn fresh_calls_work_at_once(scene: &mut Scene, seed: u64) {
    let started = Instant::now();
    let send = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(content("fresh")),
        ..pb::SendMessageRequest::default()
    };
    scene.messages().send_message(send).await.unwrap();
    let update = pb::UpdateBotRequest {
        bot_code: "helper".to_owned(),
        is_hidden: Some(true),
        ..pb::UpdateBotRequest::default()
    };
    scene.bots.update_bot(update).await.unwrap();
    let took = started.elapsed();
    assert!(took < Duration::from_millis(500), "seed {seed}: {took:?}");
}

/// A number of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "how to test is not the gateway's configuration"
)]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a whole number"))
}
