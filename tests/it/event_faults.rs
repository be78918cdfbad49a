//! Trouble of hours while events are fetched: everybody is told what is going on, every event comes once,
//! nobody else is slowed, and in the end there is no storm.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, PortalChangeKind, PortalState, stream_start::Position,
    subscribe_command_events_response::Item,
};
use bitrix24_sim::{Condition, EntityShape, Request};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    intake::refuse_appends,
    polls::{longest_pauses, register},
    scene::{Scene, Stream, called, number},
    watching::Watching,
};

const FETCH: &str = "imbot.v2.Event.get";
const HOUR: Duration = Duration::from_secs(3600);

/// Rooms of Anna and one bot each.
struct Rooms(Vec<String>);

impl Rooms {
    fn of(scene: &Scene, bots: &[i64]) -> Self {
        let room = |bot: &i64| scene.portal.add_group_chat("Room", &[scene.anna, *bot]);
        Self(bots.iter().map(|bot| room(bot).dialog_id()).collect())
    }

    /// Anna types `/help <words>` in each room. What she typed.
    fn type_everywhere(&self, scene: &Scene, words: &str) -> Vec<String> {
        let type_in = |(index, room): (usize, &String)| {
            let params = format!("{words} {index}");
            let anna = scene.portal.user(scene.anna);
            anna.types(room, &format!("/help {params}")).unwrap();
            params
        };
        self.0.iter().enumerate().map(type_in).collect()
    }
}

async fn subscribe(scene: &mut Scene) -> Stream {
    let now = Position::Point(pb::StreamStartPoint::Now.into());
    scene.subscribe(from(now)).await
}

fn from(position: Position) -> pb::SubscribeCommandEventsRequest {
    pb::SubscribeCommandEventsRequest {
        start: Some(pb::StreamStart {
            position: Some(position),
        }),
        heartbeat_interval: Some(Duration::from_secs(10).try_into().unwrap()),
        ..pb::SubscribeCommandEventsRequest::default()
    }
}

/// Reads until everything typed has come, and then for a while: each came once, and nothing else.
async fn each_comes_once(stream: &mut Stream, typed: &[String]) {
    let mut heard: BTreeMap<String, usize> = BTreeMap::new();
    let expected: BTreeSet<_> = typed.iter().cloned().collect();
    let mut silent = 0;
    let began = Instant::now();
    while silent < 3 {
        match stream.next().await.unwrap().1 {
            Item::Event(event) => *heard.entry(called(&event).params).or_default() += 1,
            Item::Heartbeat(_) if heard.len() >= expected.len() => silent += 1,
            Item::Heartbeat(_) => assert!(began.elapsed() < HOUR / 3, "{} came", heard.len()),
            Item::Gap(gap) => panic!("{gap:?}"),
        }
    }
    assert_eq!(heard.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert!(heard.values().all(|times| *times == 1), "{heard:?}");
}

/// What a heartbeat says that was sent just now, whatever was sent before.
async fn told_now(scene: &Scene, stream: &mut Stream) -> pb::PortalHealth {
    loop {
        if let Item::Heartbeat(beat) = stream.next().await.unwrap().1 {
            let now = scene.sim.clock().now().as_secs();
            if u64::try_from(beat.sent_at.unwrap().seconds).unwrap() + 15 > now {
                return beat.portals[0].clone();
            }
        }
    }
}

/// Requests of the first seconds after a time of the portal.
fn soon_after(scene: &Scene, began: Duration, seconds: u64) -> usize {
    let soon = |request: &Request| {
        let in_time = request.at >= began && request.at < began + Duration::from_secs(seconds);
        in_time && request.batch.is_none()
    };
    scene
        .portal
        .journal()
        .requests()
        .iter()
        .filter(|it| soon(it))
        .count()
}

#[tokio::test(start_paused = true)]
async fn portal_that_is_down_for_three_hours_is_told_of_and_taken_up_without_a_storm() {
    let mut scene = Scene::start().await;
    let bots = register(&scene, 20).await;
    let rooms = Rooms::of(&scene, &bots);
    let mut stream = subscribe(&mut scene).await;
    sleep(Duration::from_secs(60)).await;
    let mut watching = Watching::open(scene.channel(), "").await;
    watching.begin().await;
    let mut typed = rooms.type_everywhere(&scene, "before");
    scene.portal.set_condition(Condition::Maintenance);
    let began = scene.sim.clock().now();
    for hour in 0..3 {
        sleep(HOUR).await;
        typed.extend(rooms.type_everywhere(&scene, &format!("hour {hour}")));
    }
    let told = told_now(&scene, &mut stream).await;
    let away = [PortalState::Unreachable, PortalState::Parked];
    assert!(away.contains(&told.state()), "{told:?}");
    assert_ne!(told.reason, "");
    let (_, kinds, change) = watching.change().await;
    assert_eq!(kinds, [PortalChangeKind::StateChanged]);
    assert!(away.contains(&change.now.unwrap().state()));
    assert!(away.contains(&scene.shown().await.state()));
    let asked = soon_after(&scene, began, 3 * 3600);
    assert!(asked < 3 * 3600 / 20, "{asked} requests in vain");

    scene.portal.set_condition(Condition::Open);
    scene.portal.journal().clear();
    let before = scene.portal.journal().arrivals();
    // Probes grow rare, up to 20 minutes.
    let back = Instant::now();
    while scene.portal.journal().arrivals() == before {
        assert!(back.elapsed() < HOUR / 2, "nobody asks any more");
        sleep(Duration::from_millis(100)).await;
    }
    let back = scene.portal.journal().requests()[0].at;
    each_comes_once(&mut stream, &typed).await;
    let storm = soon_after(&scene, back, 10);
    assert!(storm <= 15, "{storm} requests in ten seconds");
    let told = told_now(&scene, &mut stream).await;
    assert_eq!(told.state(), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn store_that_takes_nothing_for_an_hour_loses_nothing_and_is_asked_rarely() {
    let mut scene = Scene::start().await;
    let bots = register(&scene, 10).await;
    let rooms = Rooms::of(&scene, &bots);
    let mut stream = subscribe(&mut scene).await;
    sleep(Duration::from_secs(60)).await;
    refuse_appends(&scene.store_dir(), true);
    let began = scene.sim.clock().now();
    let mut typed = rooms.type_everywhere(&scene, "first");
    sleep(HOUR / 2).await;
    typed.extend(rooms.type_everywhere(&scene, "second"));
    sleep(HOUR / 2).await;
    let asked = soon_after(&scene, began, 3600);
    assert!(asked < 1800, "{asked} requests in an hour");
    // Nothing was acknowledged.
    for bot in &bots {
        assert_eq!(scene.portal.pending_events(*bot).len(), 2);
    }
    let told = told_now(&scene, &mut stream).await;
    let last = told.last_successful_poll.unwrap().seconds;
    let silent = i64::try_from(scene.sim.clock().now().as_secs()).unwrap() - last;
    assert!(silent > 55 * 60, "{told:?}");
    refuse_appends(&scene.store_dir(), false);
    let back = scene.sim.clock().now();
    each_comes_once(&mut stream, &typed).await;
    assert!(soon_after(&scene, back, 10) <= 11);
}

#[tokio::test(start_paused = true)]
async fn store_that_is_locked_for_seconds_delays_events_and_loses_none() {
    let mut scene = Scene::start().await;
    let bots = register(&scene, 3).await;
    let rooms = Rooms::of(&scene, &bots);
    let mut stream = subscribe(&mut scene).await;
    sleep(Duration::from_secs(60)).await;
    let connection = Connection::open(scene.store_dir().join("store.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    // By the real clock, which SQLite waits by: longer than it waits for a lock.
    let lock = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(10));
        connection.execute_batch("ROLLBACK").unwrap();
    });
    let typed = rooms.type_everywhere(&scene, "locked");
    each_comes_once(&mut stream, &typed).await;
    lock.join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn clock_that_is_set_by_an_hour_neither_stops_polling_nor_makes_a_gap() {
    for seconds in [-3600, 3600] {
        let mut scene = Scene::start().await;
        let bots = register(&scene, 5).await;
        let rooms = Rooms::of(&scene, &bots);
        let mut typed = rooms.type_everywhere(&scene, "before");
        sleep(Duration::from_secs(3)).await;
        scene.set_clock_by(seconds);
        scene.portal.journal().clear();
        typed.extend(rooms.type_everywhere(&scene, "after"));
        sleep(Duration::from_secs(60)).await;
        for (bot, pause) in longest_pauses(&scene) {
            assert!(pause <= Duration::from_secs(7), "bot {bot}: {pause:?}");
        }
        scene.restart().await;
        typed.extend(rooms.type_everywhere(&scene, "after the restart"));
        let earliest = Position::Point(pb::StreamStartPoint::Earliest.into());
        let mut all = scene.subscribe(from(earliest)).await;
        each_comes_once(&mut all, &typed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bot_that_cannot_be_fetched_for_an_hour_slows_no_other() {
    let limit = ("outbound.max_answer_bytes", "163840");
    let mut scene = Scene::with(&[limit]).await;
    scene.events_are_whole();
    let bots = register(&scene, 6).await;
    let rooms = Rooms::of(&scene, &bots);
    let mut stream = subscribe(&mut scene).await;
    sleep(Duration::from_secs(120)).await;
    // One event that is larger than any answer may be.
    let anna = scene.portal.user(scene.anna);
    // In JSON each of these takes six bytes, and the text is told twice.
    let huge = format!("x{}x", "\u{1}".repeat(19_000));
    anna.types(&rooms.0[0], &format!("/help {huge}")).unwrap();
    sleep(Duration::from_secs(120)).await;
    scene.portal.journal().clear();
    let healthy = Rooms(rooms.0[1..].to_vec());
    let mut typed = Vec::new();
    for round in 0..30 {
        typed.extend(healthy.type_everywhere(&scene, &format!("round {round}")));
        sleep(Duration::from_secs(120)).await;
    }
    let pauses = longest_pauses(&scene);
    // So little fits into an answer that only two travel together: every five seconds, and a turn.
    for bot in &bots[1..] {
        assert!(pauses[bot] <= Duration::from_secs(10), "{:?}", pauses[bot]);
    }
    assert!(
        pauses[&bots[0]] >= Duration::from_secs(30),
        "{:?}",
        pauses[&bots[0]]
    );
    each_comes_once(&mut stream, &typed).await;

    scene.set("outbound.max_answer_bytes", "1048576".to_owned());
    scene.restart().await;
    let mut stream = subscribe(&mut scene).await;
    typed = healthy.type_everywhere(&scene, "afterwards");
    typed.push(huge);
    each_comes_once(&mut stream, &typed).await;
}

#[tokio::test(start_paused = true)]
async fn event_of_a_megabyte_and_ten_thousand_that_wait_are_all_taken_in() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    // Room for a number that no event of the portal has.
    scene
        .portal
        .set_quirks(|quirks| quirks.event_id_gap = 1_000_000);
    let bots = register(&scene, 1).await;
    let rooms = Rooms::of(&scene, &bots);
    let mut stream = subscribe(&mut scene).await;
    rooms.type_everywhere(&scene, "first");
    stream.event().await;
    let fetches = scene.portal.journal().calls(FETCH).into_iter();
    let events = fetches.filter_map(|fetch| fetch.answer["result"]["events"].as_array().cloned());
    let is_command = |event: &Value| event["data"]["command"].is_object();
    let mut event = events.flatten().find(is_command).unwrap();
    let id = number(&event["eventId"]).unwrap();
    let large = "x".repeat(1 << 20);
    // Between those that there were and those that come.
    event["eventId"] = json!(id + 1);
    event["data"]["command"]["params"] = json!(large);
    let page = json!({"result": {"events": [event], "nextOffset": id + 2, "hasMore": false}});
    scene.answer_next(FETCH, &page);
    let (cursor, event) = stream.event().await;
    assert_eq!(called(&event).params, large);

    sleep(Duration::from_secs(60)).await;
    scene.stop().await;
    // Their number is the matter here, not what is in them.
    scene.portal.set_quirks(|quirks| {
        quirks.event_chat = EntityShape::IdOnly;
        quirks.event_user = EntityShape::IdOnly;
        quirks.event_message = EntityShape::IdOnly;
    });
    let mut typed = Vec::new();
    for index in 0..10_000 {
        typed.extend(rooms.type_everywhere(&scene, &index.to_string()));
    }
    scene.portal.journal().clear();
    scene.start_again().await;
    let mut stream = scene.subscribe(from(Position::AfterCursor(cursor))).await;
    each_comes_once(&mut stream, &typed).await;
    let fetches = scene.portal.journal().calls(FETCH);
    let largest = fetches.iter().map(|it| it.answer.to_string().len()).max();
    assert!(largest.unwrap() < 8 << 20, "{largest:?}");
}
