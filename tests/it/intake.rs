//! Each event of the portal stands in the log once: two that look alike are two, one that is told twice is one.

use std::{collections::BTreeSet, path::Path, time::Duration};

use bitrix24_gateway::{
    clock::Clock,
    proto::v1::{self as pb, keyboard_button::Kind},
    store::{self, Filter, Item, Limit, Store},
};
use bitrix24_sim::{EntityShape, Fault};
use rusqlite::Connection;
use serde_json::Value;
use tokio::time::sleep;

use crate::scene::{Scene, called, command_added, content, number, until};

const FETCH: &str = "imbot.v2.Event.get";

/// What the log of a gateway that has stopped holds: type and content of each event.
async fn kept(scene: &mut Scene) -> Vec<(String, Value)> {
    scene.stop().await;
    let config = store::Config {
        dir: scene.store_dir(),
        keys: store::KeySource::File(scene.folder().join("keys")),
    };
    let store = Store::open(config, Clock::system()).await.unwrap().store;
    let all = Limit {
        rows: 1000,
        bytes: usize::MAX,
    };
    let page = store.read(0, all, Filter::default()).await.unwrap();
    assert_eq!(page.next_after, page.head);
    store.close().await;
    let events = page.entries.into_iter().filter_map(|stored| {
        let Item::Event(event) = stored.entry.item else {
            return None;
        };
        Some((event.kind, serde_json::from_slice(&event.body.0).unwrap()))
    });
    events.collect()
}

/// The parameters of the commands among them.
fn params(events: &[(String, Value)]) -> Vec<String> {
    let calls = events
        .iter()
        .filter(|(kind, _)| kind == "ONIMBOTV2COMMANDADD");
    calls
        .map(|(_, body)| body["data"]["command"]["params"].as_str().unwrap().into())
        .collect()
}

/// How often the portal handed out an event that the log holds once.
pub(crate) fn times_told(scene: &Scene, wanted: &str) -> usize {
    let fetches = scene.portal.journal().calls(FETCH).into_iter();
    let told = fetches.filter(|fetch| {
        let events = fetch.answer["result"]["events"].as_array();
        events.is_some_and(|events| {
            events
                .iter()
                .any(|event| event["data"]["command"]["params"] == wanted)
        })
    });
    told.count()
}

/// Lets every append to the log fail, or no longer.
pub(crate) fn refuse_appends(store: &Path, refuse: bool) {
    let change = if refuse {
        "CREATE TRIGGER refused BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'refused'); END"
    } else {
        "DROP TRIGGER refused"
    };
    let connection = Connection::open(store.join("store.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.execute_batch(change).unwrap();
}

#[tokio::test(start_paused = true)]
async fn button_that_two_people_press_in_one_second_is_two_events() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.helper().await;
    let button = pb::KeyboardButton {
        text: "Help".to_owned(),
        kind: Some(Kind::Command(pb::ButtonCommand {
            command: "help".to_owned(),
            params: "me".to_owned(),
        })),
        ..pb::KeyboardButton::default()
    };
    let request = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(pb::MessageContent {
            keyboard: Some(pb::Keyboard {
                buttons: vec![button],
                ..pb::Keyboard::default()
            }),
            ..content("Press")
        }),
        ..pb::SendMessageRequest::default()
    };
    let sent = scene.messages().send_message(request).await.unwrap();
    let message_id = sent.into_inner().message_id.unwrap();
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    for person in [scene.anna, scene.john, scene.anna] {
        let person = scene.portal.user(person);
        person.presses(message_id, "Help").unwrap();
    }
    let mut pressed_by = Vec::new();
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let (_, event) = stream.event().await;
        assert_eq!(called(&event).params, "me");
        pressed_by.push(command_added(&event).user.unwrap().id);
        ids.insert(event.event_id);
    }
    assert_eq!(pressed_by, [scene.anna, scene.john, scene.anna]);
    assert_eq!(ids.len(), 3);
    assert_eq!(params(&kept(&mut scene).await), ["me"; 3]);
}

#[tokio::test(start_paused = true)]
async fn command_twice_in_a_message_is_as_many_events_as_the_portal_tells() {
    for (equal_pairs_too, expected) in [
        (false, vec!["one", "two"]),
        (true, vec!["one", "two", "one"]),
    ] {
        let mut scene = Scene::start().await;
        scene
            .portal
            .set_quirks(|quirks| quirks.repeated_commands_are_heard = equal_pairs_too);
        scene.helper().await;
        let mut stream = scene
            .subscribe(pb::SubscribeCommandEventsRequest::default())
            .await;
        scene.anna_types("/help one\n/help two\n/help one");
        for params in &expected {
            assert_eq!(stream.params().await, *params);
        }
        assert_eq!(params(&kept(&mut scene).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn reaction_that_is_set_and_taken_away_within_a_second_is_two_events() {
    let mut scene = Scene::start().await;
    scene
        .portal
        .set_quirks(|quirks| quirks.event_message = EntityShape::Full);
    scene.helper().await;
    let request = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(content("Like it")),
        ..pb::SendMessageRequest::default()
    };
    let sent = scene.messages().send_message(request).await.unwrap();
    let message_id = sent.into_inner().message_id.unwrap();
    for _ in 0..4 {
        let anna = scene.portal.user(scene.anna);
        anna.reacts(message_id, "like").unwrap();
    }
    sleep(Duration::from_secs(20)).await;
    let events = kept(&mut scene).await;
    let reactions = events
        .iter()
        .filter(|(kind, _)| kind == "ONIMBOTV2REACTIONCHANGE");
    let actions: Vec<_> = reactions
        .map(|(_, body)| body["data"]["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["add", "delete", "add", "delete"]);
}

#[tokio::test(start_paused = true)]
async fn page_that_is_told_again_after_lost_answers_stands_in_the_log_once() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    sleep(Duration::from_secs(5)).await;
    // What was typed waits in the portal when the first of them comes.
    scene.anna_types("/help one\n/help two");
    let lost = Fault::reset().after_effect().times(3);
    scene.portal.faults().on(FETCH, lost);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(scene.portal.faults().waiting(), 0);
    assert_eq!(params(&kept(&mut scene).await), ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn page_that_could_not_be_stored_is_told_again_and_stands_in_the_log_once() {
    let mut scene = Scene::start().await;
    let bot_id = scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help before");
    assert_eq!(stream.params().await, "before");
    sleep(Duration::from_secs(10)).await;
    refuse_appends(&scene.store_dir(), true);
    scene.anna_types("/help one\n/help two");
    until("the page came three times", || {
        times_told(&scene, "one") >= 3
    })
    .await;
    assert_eq!(scene.portal.pending_events(bot_id).len(), 2);
    refuse_appends(&scene.store_dir(), false);
    assert_eq!(stream.params().await, "one");
    assert_eq!(stream.params().await, "two");
    assert_eq!(params(&kept(&mut scene).await), ["before", "one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn page_that_was_stored_before_a_crash_and_never_acknowledged_stands_in_the_log_once() {
    let mut scene = Scene::start().await;
    let bot_id = scene.helper().await;
    for round in 0..3 {
        let mut stream = scene
            .subscribe(pb::SubscribeCommandEventsRequest::default())
            .await;
        scene.anna_types(&format!("/help {round}"));
        assert_eq!(stream.params().await, round.to_string());
        assert!(!scene.portal.pending_events(bot_id).is_empty());
        scene.crash_at_rest().await;
    }
    sleep(Duration::from_secs(20)).await;
    assert_eq!(scene.portal.pending_events(bot_id), Vec::<u64>::new());
    assert_eq!(params(&kept(&mut scene).await), ["0", "1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn page_that_was_fetched_but_not_stored_before_a_crash_stands_in_the_log_once() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    sleep(Duration::from_secs(10)).await;
    refuse_appends(&scene.store_dir(), true);
    scene.anna_types("/help one");
    until("the page came", || times_told(&scene, "one") > 0).await;
    scene.crash_at_rest().await;
    refuse_appends(&scene.store_dir(), false);
    let told = times_told(&scene, "one");
    until("the page came again", || times_told(&scene, "one") > told).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(params(&kept(&mut scene).await), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn page_that_the_portal_repeats_whatever_the_offset_stands_in_the_log_once() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help one");
    assert_eq!(stream.params().await, "one");
    let fetches = scene.portal.journal().calls(FETCH).into_iter().rev();
    let told = fetches.map(|fetch| fetch.answer);
    let page = told
        .into_iter()
        .find(|answer| answer["result"]["events"][0]["eventId"] != Value::Null)
        .unwrap();
    let highest = number(&page["result"]["nextOffset"]).unwrap();
    for _ in 0..3 {
        scene.answer_next(FETCH, &page);
    }
    until("it was told so often", || {
        scene.portal.faults().waiting() == 0
    })
    .await;
    scene.anna_types("/help two");
    assert_eq!(stream.params().await, "two");
    let sent = scene.portal.journal().calls(FETCH).pop().unwrap();
    assert!(number(&sent.params["offset"]).unwrap() >= highest);
    assert_eq!(params(&kept(&mut scene).await), ["one", "two"]);
}
