//! Fetching the events of many bots.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{self as pb, AssumptionEvidence};
use bitrix24_sim::{Encoding, Fault, Request};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::scene::{Scene, called, number, until};

const FETCH: &str = "imbot.v2.Event.get";

/// So many bots, each with the command `/help` and in a room of its own. Their Bitrix24 ids.
pub(crate) async fn register(scene: &Scene, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    for index in 0..count {
        let mut bots = scene.bots.clone();
        let bot_code = format!("bot{index}");
        let properties = pb::BotProperties {
            name: Some(format!("Bot {index}")),
            ..pb::BotProperties::default()
        };
        let wish = pb::RegisterBotRequest {
            bot_code: bot_code.clone(),
            properties: Some(properties),
            ..pb::RegisterBotRequest::default()
        };
        let mut request = tonic::Request::new(wish);
        request.set_timeout(Duration::from_secs(120));
        let registered = bots.register_bot(request).await.unwrap().into_inner();
        let command = pb::RegisterCommandRequest {
            bot_code,
            ..crate::scene::help()
        };
        let mut request = tonic::Request::new(command);
        request.set_timeout(Duration::from_secs(120));
        bots.register_command(request).await.unwrap();
        ids.push(registered.bot.unwrap().id);
    }
    ids
}

/// All fetches that arrived, alone or with others.
fn fetches(scene: &Scene) -> Vec<Request> {
    scene.portal.journal().calls(FETCH)
}

/// How many requests fetched.
fn requests(fetches: &[Request]) -> usize {
    let alone = fetches.iter().filter(|fetch| fetch.batch.is_none()).count();
    let batches: BTreeSet<_> = fetches.iter().filter_map(|fetch| fetch.batch).collect();
    alone + batches.len()
}

fn bot_of(fetch: &Request) -> i64 {
    number(&fetch.params["botId"]).unwrap()
}

/// The longest time between two fetches of each bot.
pub(crate) fn longest_pauses(scene: &Scene) -> HashMap<i64, Duration> {
    let mut last = HashMap::new();
    let mut longest: HashMap<i64, Duration> = HashMap::new();
    let fetches = fetches(scene);
    let ended = fetches.iter().map(|fetch| fetch.at).max().unwrap();
    let began = fetches.iter().map(|fetch| fetch.at).min().unwrap();
    let bots: BTreeSet<_> = fetches.iter().map(bot_of).collect();
    let seen = fetches.iter().map(|fetch| (bot_of(fetch), fetch.at));
    for (bot, at) in seen.chain(bots.iter().map(|bot| (*bot, ended))) {
        let before = last.insert(bot, at).unwrap_or(began);
        let pause = longest.entry(bot).or_default();
        *pause = (*pause).max(at - before);
    }
    longest
}

/// Adds a bot to a room and types its command there.
fn call(scene: &Scene, bot_id: i64, params: &str) {
    let room = scene.portal.add_group_chat("Room", &[scene.anna, bot_id]);
    let anna = scene.portal.user(scene.anna);
    anna.types(&room.dialog_id(), &format!("/help {params}"))
        .unwrap();
}

async fn evidence(scene: &Scene) -> (AssumptionEvidence, bool) {
    let assumptions = scene.shown().await.assumptions;
    let found = assumptions.iter().find(|it| it.name == "batched_polls");
    let found = found.unwrap();
    (found.evidence(), found.relied_upon)
}

#[tokio::test(start_paused = true)]
async fn hundred_bots_of_which_ten_are_busy_cost_one_request_a_second() {
    let mut scene = Scene::start().await;
    let ids = register(&scene, 100).await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    sleep(Duration::from_secs(120)).await;
    scene.portal.journal().clear();
    let began = Instant::now();
    for round in 0..10 {
        for id in &ids[..10] {
            call(&scene, *id, &round.to_string());
        }
        sleep(Duration::from_secs(6)).await;
        for _ in 0..10 {
            stream.event().await;
        }
    }
    let fetches = fetches(&scene);
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    let requests = requests(&fetches);
    assert!(requests <= seconds + 1, "{requests} in {seconds} s");
    let pauses = longest_pauses(&scene);
    for (index, id) in ids.iter().enumerate() {
        let of_bot = fetches.iter().filter(|fetch| bot_of(fetch) == *id).count();
        assert!(
            pauses[id] <= Duration::from_secs(7),
            "{index}: {:?}",
            pauses[id]
        );
        if index < 10 {
            assert!(
                of_bot > seconds / 3,
                "{index}: {of_bot} fetches in {seconds} s"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn first_command_to_an_idle_bot_arrives_within_six_seconds() {
    let mut scene = Scene::start().await;
    let ids = register(&scene, 100).await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    // Longer than any of them counts as busy.
    sleep(Duration::from_secs(300)).await;
    for (index, id) in ids.iter().enumerate() {
        sleep(Duration::from_millis(300 + (index as u64 * 613) % 1000)).await;
        let typed = Instant::now();
        call(&scene, *id, &index.to_string());
        assert_eq!(stream.params().await, index.to_string());
        let took = typed.elapsed();
        assert!(took <= Duration::from_secs(6), "bot {index}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bots_fetched_together_send_the_offset_that_is_stored_for_each() {
    let mut scene = Scene::start().await;
    let ids = register(&scene, 20).await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    for id in &ids {
        call(&scene, *id, &id.to_string());
    }
    let mut heard = BTreeSet::new();
    while heard.len() < ids.len() {
        let (_, event) = stream.event().await;
        heard.insert(called(&event).params);
    }
    let portal = scene.portal.clone();
    until("everything is acknowledged", || {
        ids.iter().all(|id| portal.pending_events(*id).is_empty())
    })
    .await;
    let mut told: BTreeMap<i64, Option<i64>> = BTreeMap::new();
    let mut together = 0;
    for fetch in fetches(&scene) {
        let bot = bot_of(&fetch);
        let sent = number(&fetch.params["offset"]);
        if let Some(known) = told.get(&bot) {
            assert_eq!(sent, *known, "bot {bot}");
        }
        // Nothing is acknowledged before something came.
        let next = number(&fetch.answer["result"]["nextOffset"]).filter(|next| *next > 0);
        together += usize::from(fetch.encoding == Encoding::BatchEntry);
        told.insert(bot, next);
    }
    assert!(
        together > ids.len(),
        "{together} fetches travelled together"
    );
}

#[tokio::test(start_paused = true)]
async fn bot_that_is_gone_leaves_and_disturbs_none_of_those_it_was_fetched_with() {
    let scene = Scene::start().await;
    scene.errors_have_names();
    let ids = register(&scene, 10).await;
    sleep(Duration::from_secs(10)).await;
    scene.portal.remove_bot(ids[3]);
    sleep(Duration::from_secs(10)).await;
    scene.portal.journal().clear();
    sleep(Duration::from_secs(60)).await;
    let pauses = longest_pauses(&scene);
    let others = ids.iter().filter(|id| **id != ids[3]);
    for id in others {
        assert!(pauses[id] <= Duration::from_secs(6), "{:?}", pauses[id]);
    }
    assert!(!pauses.contains_key(&ids[3]));
}

#[tokio::test(start_paused = true)]
async fn late_word_that_a_bot_is_gone_does_not_count_once_it_was_registered_anew() {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    scene.helper().await;
    let id = |scene: &Scene| scene.portal.bot_by_code("helper").unwrap().id;
    scene.portal.remove_bot(id(&scene));
    let late = Fault::latency(Duration::from_secs(5)).after_effect();
    scene.portal.faults().on("imbot.v2.Event.get", late);
    let portal = scene.portal.clone();
    until("it is asked for", || portal.faults().waiting() == 0).await;
    scene.helper().await;
    sleep(Duration::from_secs(10)).await;
    let request = pb::SubscribeCommandEventsRequest::default();
    let mut stream = scene.subscribe(request).await;
    scene.anna_types("/help me");
    stream.event().await;
}

#[tokio::test(start_paused = true)]
async fn page_that_cannot_be_read_delays_only_its_own_bot() {
    let scene = Scene::start().await;
    let ids = register(&scene, 10).await;
    sleep(Duration::from_secs(120)).await;
    let nothing = json!({"events": [], "nextOffset": 0, "hasMore": false});
    let mut pages: Map<String, Value> = (0..10)
        .map(|place| (format!("c{place:02}"), nothing.clone()))
        .collect();
    pages["c00"] = json!({"events": 5});
    let body = json!({"result": {"result": pages}}).to_string();
    let answer = Fault::raw(200, &[("content-type", "application/json")], body);
    scene.portal.journal().clear();
    scene.portal.faults().on("batch", answer.after_effect());
    let portal = scene.portal.clone();
    until("a page was not read", || portal.faults().waiting() == 0).await;
    let fetched = fetches(&scene);
    let last = fetched.last().unwrap();
    let members: Vec<_> = fetched
        .iter()
        .filter(|fetch| fetch.batch == last.batch)
        .map(bot_of)
        .collect();
    assert!(members.len() > 1, "{members:?}");
    sleep(Duration::from_millis(3500)).await;
    // It is tried again soon, and the others when they are due.
    let soon = fetches(&scene).into_iter();
    let soon = soon.filter(|fetch| fetch.at > last.at);
    let soon: Vec<_> = soon
        .map(|fetch| bot_of(&fetch))
        .filter(|bot| members.contains(bot))
        .collect();
    assert_eq!(soon, [members[0]]);
    sleep(Duration::from_secs(30)).await;
    let pauses = longest_pauses(&scene);
    for id in &ids {
        assert!(pauses[id] <= Duration::from_secs(6), "{:?}", pauses[id]);
    }
}

#[tokio::test(start_paused = true)]
async fn request_that_hangs_holds_up_only_those_in_it_and_they_come_back() {
    let scene = Scene::start().await;
    let ids = register(&scene, 60).await;
    sleep(Duration::from_secs(120)).await;
    scene.portal.faults().on("batch", Fault::hang());
    until("a request hangs", || scene.portal.faults().waiting() == 0).await;
    scene.portal.journal().clear();
    // Not until the hanging one is given up.
    sleep(Duration::from_secs(60)).await;
    let pauses = longest_pauses(&scene);
    assert!(pauses.len() >= 10, "{} bots are fetched", pauses.len());
    let longest = pauses.values().max().unwrap();
    assert!(*longest <= Duration::from_secs(7), "{longest:?}");
    sleep(Duration::from_secs(60)).await;
    scene.portal.journal().clear();
    sleep(Duration::from_secs(30)).await;
    let pauses = longest_pauses(&scene);
    for id in &ids {
        assert!(pauses[id] <= Duration::from_secs(7), "{:?}", pauses[id]);
    }
}

#[tokio::test(start_paused = true)]
async fn events_too_large_for_one_answer_come_in_portions() {
    for bytes in ["65536", "524288"] {
        let mut scene = Scene::with(&[("outbound.max_answer_bytes", bytes)]).await;
        scene.events_are_whole();
        let ids = register(&scene, 8).await;
        let mut stream = scene
            .subscribe(pb::SubscribeCommandEventsRequest::default())
            .await;
        sleep(Duration::from_secs(60)).await;
        let long = "x".repeat(15_000);
        for id in &ids {
            for index in 0..10 {
                call(&scene, *id, &format!("{id} {index} {long}"));
            }
        }
        let mut heard = BTreeSet::new();
        while heard.len() < ids.len() * 10 {
            let (_, event) = stream.event().await;
            heard.insert(called(&event).params);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bots_are_fetched_alone_where_the_operator_wants_that_or_the_portal_refuses() {
    let mut together = Scene::start().await;
    let ids = register(&together, 5).await;
    let travelled = |scene: &Scene| {
        let fetches = fetches(scene).into_iter();
        fetches
            .filter(|fetch| fetch.encoding == Encoding::BatchEntry)
            .count()
    };
    sleep(Duration::from_secs(30)).await;
    assert!(travelled(&together) > 20);
    assert_eq!(evidence(&together).await, (AssumptionEvidence::Holds, true));
    arrives(&mut together, &ids).await;

    let mut alone = Scene::with(&[("assume.batched_polls", "off")]).await;
    let ids = register(&alone, 5).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(travelled(&alone), 0);
    assert_eq!(
        evidence(&alone).await,
        (AssumptionEvidence::Unspecified, false)
    );
    arrives(&mut alone, &ids).await;

    let mut refusing = Scene::start().await;
    let refused = Fault::error(405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Not in a batch");
    refusing
        .portal
        .faults()
        .on(FETCH, refused.in_batch().always());
    let ids = register(&refusing, 5).await;
    sleep(Duration::from_secs(30)).await;
    assert!((1..=5).contains(&travelled(&refusing)));
    assert_eq!(
        evidence(&refusing).await,
        (AssumptionEvidence::Fails, false)
    );
    // Other calls are not concerned.
    let assumptions = refusing.shown().await.assumptions;
    let calls = assumptions.iter().find(|it| it.name == "batched_calls");
    assert!(calls.unwrap().relied_upon);
    refusing.portal.journal().clear();
    arrives(&mut refusing, &ids).await;
    let pauses = longest_pauses(&refusing);
    for id in &ids {
        assert!(pauses[id] <= Duration::from_secs(10), "{:?}", pauses[id]);
    }
}

/// A command of each bot reaches a stream.
async fn arrives(scene: &mut Scene, ids: &[i64]) {
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    for id in ids {
        call(scene, *id, &id.to_string());
        assert_eq!(stream.params().await, id.to_string());
    }
}
