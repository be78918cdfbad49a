//! Who waits for whom.

use std::{collections::HashMap, time::Duration};

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::{Encoding, Limits};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::{answer, answers_in_many_dialogs, rate_refusals};
use crate::{polls, scene::Scene};

/// How long the busy caller keeps its calls waiting.
const TIME: Duration = Duration::from_secs(90);

/// What the portal works on an answer and on a fetch.
const WORK: Duration = Duration::from_millis(30);

/// A portal in which `requests` wait for as long as the test lasts.
async fn flood(
    scene: &Scene,
    requests: &[pb::AnswerCommandRequest],
) -> Vec<impl Future<Output = ()> + use<>> {
    let until = Instant::now() + TIME;
    let busy = scene.another_caller().await;
    let calls = requests.iter().map(|request| {
        let (busy, request) = (busy.clone(), request.clone());
        let call = tokio::spawn(async move {
            while Instant::now() < until {
                answer(busy.clone(), request.clone(), Duration::from_secs(120))
                    .await
                    .unwrap();
            }
        });
        async move { call.await.unwrap() }
    });
    calls.collect()
}

fn works(scene: &Scene) {
    scene.answers_tell_times();
    scene.portal.set_latency(None, WORK);
    scene.portal.set_limits(Limits {
        execution_time: Duration::ZERO,
        ..scene.portal.limits()
    });
}

#[tokio::test(start_paused = true)]
async fn quiet_caller_is_answered_within_two_seconds_and_every_bot_fetched_beside_a_thousand_calls()
{
    let mut scene = Scene::start().await;
    works(&scene);
    let ids = polls::register(&scene, 60).await;
    // The bots are quiet, and permits are there.
    sleep(Duration::from_secs(120)).await;
    let requests = answers_in_many_dialogs(&mut scene, 1100).await;
    let (theirs, mine) = requests.split_at(1000);
    scene.portal.journal().clear();
    let flood = flood(&scene, theirs).await;
    let quiet = scene.another_caller().await;
    let answers = mine.iter().zip(0_u32..).map(|(request, index)| {
        let (quiet, request) = (quiet.clone(), request.clone());
        async move {
            // At every phase of the portal's seconds.
            sleep(Duration::from_millis(2000) + Duration::from_millis(797) * index).await;
            let asked = Instant::now();
            answer(quiet, request, Duration::from_secs(60))
                .await
                .unwrap();
            asked.elapsed()
        }
    });
    let mut waits = join_all(answers).await;
    waits.sort();
    let p99 = waits[waits.len() * 99 / 100];
    assert!(p99 < Duration::from_secs(2), "{p99:?} of {waits:?}");
    join_all(flood).await;
    assert_eq!(rate_refusals(&scene), 0);
    assert_eq!(scene.portal.journal().dropped(), 0);
    let pauses = polls::longest_pauses(&scene);
    for id in ids {
        assert!(pauses[&id] <= Duration::from_secs(30), "{:?}", pauses[&id]);
    }
}

/// Two hundred bots of one portal: as many as it is to serve well.
#[tokio::test(start_paused = true)]
async fn two_hundred_bots_are_fetched_every_half_minute_under_any_load_of_answers() {
    let mut scene = Scene::start().await;
    scene.portal.set_limits(Limits {
        bots_per_owner: None,
        ..scene.portal.limits()
    });
    works(&scene);
    let ids = polls::register(&scene, 200).await;
    sleep(Duration::from_secs(60)).await;
    let requests = answers_in_many_dialogs(&mut scene, 600).await;
    scene.portal.journal().clear();
    join_all(flood(&scene, &requests).await).await;
    assert_eq!(scene.portal.journal().dropped(), 0);
    let pauses = polls::longest_pauses(&scene);
    let longest = ids.iter().map(|id| pauses[id]).max().unwrap();
    assert!(longest <= Duration::from_secs(30), "{longest:?}");
    assert_eq!(rate_refusals(&scene), 0);
}

#[tokio::test(start_paused = true)]
async fn answers_travel_together_though_the_portal_tells_no_times() {
    let mut scene = Scene::start().await;
    scene.portal.set_quirks(|quirks| quirks.time = false);
    scene.portal.set_latency(None, WORK);
    let requests = answers_in_many_dialogs(&mut scene, 600).await;
    sleep(Duration::from_secs(60)).await;
    scene.portal.journal().clear();
    let calls = requests
        .into_iter()
        .map(|request| answer(scene.bots.clone(), request, Duration::from_secs(120)));
    for outcome in join_all(calls).await {
        outcome.unwrap();
    }
    let mut sizes: HashMap<u64, usize> = HashMap::new();
    for answer in scene.portal.journal().calls("imbot.v2.Command.answer") {
        if answer.encoding == Encoding::BatchEntry {
            *sizes.entry(answer.batch.unwrap()).or_default() += 1;
        }
    }
    assert!(sizes.values().sum::<usize>() > 500, "{sizes:?}");
}
