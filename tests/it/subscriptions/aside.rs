//! What is handed out no more, and what becomes of it.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, SetAsideReason};
use bitrix24_sim::Fault;
use tokio::time::sleep;

use super::stage::{WORK, named, request, seconds};
use crate::scene::{Scene, Stream};

/// Hands back what comes, so often.
async fn hand_back(scene: &Scene, stream: &mut Stream, times: usize) {
    for _ in 0..times {
        let handed = stream.handed().await;
        scene.extend(&handed, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_five_attempts_an_event_is_set_aside_and_its_dialog_goes_on() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help poison");
    scene.anna_types("/help next");
    hand_back(&scene, &mut stream, 5).await;
    assert_eq!(stream.handed().await.params(), "next");
    let aside = scene.set_aside().await;
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].reason(), SetAsideReason::AttemptsExhausted);
    assert_eq!(aside[0].delivery_attempts, 5);
    assert_eq!(scene.standing().await.set_aside, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_set_aside_is_redriven_with_new_attempts_or_dropped() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help poison");
    hand_back(&scene, &mut stream, 5).await;
    // Long enough for it to be too old otherwise.
    sleep(Duration::from_secs(1200)).await;
    let event_ids = vec![scene.set_aside().await[0].event.clone().unwrap().event_id];
    let redrive = pb::RedriveEventsRequest {
        subscription: WORK.to_owned(),
        event_ids,
        all: false,
    };
    let redriven = scene
        .events()
        .redrive_events(redrive.clone())
        .await
        .unwrap();
    assert_eq!(redriven.into_inner().redriven, 1);
    let redriven = scene.events().redrive_events(redrive).await.unwrap();
    assert_eq!(redriven.into_inner().redriven, 0, "it waits already");
    let handed = stream.handed().await;
    assert_eq!((handed.params(), handed.attempt), ("poison".to_owned(), 6));
    scene.extend(&handed, 0).await;
    hand_back(&scene, &mut stream, 4).await;
    stream.is_quiet().await;
    assert_eq!(scene.standing().await.set_aside, 1);
    let drop_all = pb::DropEventsRequest {
        subscription: WORK.to_owned(),
        all: true,
        ..pb::DropEventsRequest::default()
    };
    let dropped = scene.events().drop_events(drop_all).await.unwrap();
    assert_eq!(dropped.into_inner().dropped, 1);
    assert_eq!(scene.set_aside().await, []);
    stream.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn commands_that_are_too_old_when_their_turn_comes_are_expired_and_listed() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    drop(scene.work().await);
    scene.anna_types("/help old");
    sleep(Duration::from_secs(11 * 60)).await;
    scene.anna_types("/help new");
    let mut stream = scene.work().await;
    assert_eq!(stream.handed().await.params(), "new");
    let aside = scene.set_aside().await;
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].reason(), SetAsideReason::Expired);
    assert_eq!(aside[0].delivery_attempts, 0);
    let standing = scene.standing().await;
    assert_eq!((standing.expired, standing.set_aside), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn command_is_not_expired_because_the_clocks_differ_and_the_portal_was_not_heard_of_yet() {
    let (mut scene, params) = restarted_beside_a_silent_portal(Duration::ZERO).await;
    assert_eq!(scene.work().await.handed().await.params(), params);
    assert_eq!(scene.set_aside().await, []);
}

#[tokio::test(start_paused = true)]
async fn command_is_expired_by_our_clock_when_the_portal_was_not_heard_of_yet() {
    let (mut scene, _) = restarted_beside_a_silent_portal(Duration::from_secs(11 * 60)).await;
    scene.work().await.is_quiet().await;
    assert_eq!(scene.set_aside().await[0].reason(), SetAsideReason::Expired);
}

/// A command that was handed out before; the clock of the gateway's machine is an hour fast.
async fn restarted_beside_a_silent_portal(pause: Duration) -> (Scene, String) {
    let mut scene = Scene::start().await;
    scene.set_clock_by(3600);
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help me");
    let params = stream.handed().await.params();
    scene.stop().await;
    sleep(pause).await;
    scene.portal.faults().next(Fault::hang().always());
    scene.start_again().await;
    (scene, params)
}

#[tokio::test(start_paused = true)]
async fn commands_grow_too_old_while_they_wait_behind_others_and_free_their_dialog() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_processing = seconds(900);
    let mut stream = scene.subscribe(request(wish)).await;
    scene.anna_types("/help first");
    scene.anna_types("/help second");
    let first = stream.handed().await;
    sleep(Duration::from_secs(11 * 60)).await;
    scene.anna_types("/help third");
    sleep(Duration::from_secs(10)).await;
    scene.acknowledge(&first).await;
    assert_eq!(stream.handed().await.params(), "third");
    assert_eq!(scene.standing().await.expired, 1);
}

#[tokio::test(start_paused = true)]
async fn what_waited_when_a_store_was_copied_is_set_aside_in_the_copy_and_can_be_redriven() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help handed out");
    stream.handed().await;
    let chat = scene.another_chat();
    drop(stream);
    scene.types_in(chat, "/help not looked at");
    sleep(Duration::from_secs(30)).await;
    scene.restore().await;
    assert!(scene.portals().release());
    let mut stream = scene.work().await;
    stream.is_quiet().await;
    let aside = scene.set_aside().await;
    let reasons: Vec<_> = aside.iter().map(pb::SetAsideEvent::reason).collect();
    assert_eq!(reasons, [SetAsideReason::Restored; 2]);
    scene.types_in(chat, "/help new");
    let handed = stream.handed().await;
    assert_eq!(handed.params(), "new");
    scene.acknowledge(&handed).await;
    let redrive = pb::RedriveEventsRequest {
        subscription: WORK.to_owned(),
        all: true,
        ..pb::RedriveEventsRequest::default()
    };
    scene.events().redrive_events(redrive).await.unwrap();
    let mut again = vec![
        stream.handed().await.params(),
        stream.handed().await.params(),
    ];
    again.sort();
    assert_eq!(again, ["handed out", "not looked at"]);
}

#[tokio::test(start_paused = true)]
async fn history_that_retention_took_from_a_subscription_is_a_gap() {
    let mut scene = Scene::with(&[("events.retention", "1h")]).await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help handed out");
    stream.handed().await;
    drop(stream);
    scene.anna_types("/help not looked at");
    sleep(Duration::from_secs(3 * 3600)).await;
    let mut stream = scene.work().await;
    let gap = loop {
        let response = stream.0.message().await.unwrap().unwrap();
        match response.item.unwrap() {
            pb::subscribe_command_events_response::Item::Gap(gap) => break gap,
            pb::subscribe_command_events_response::Item::Event(event) => panic!("{event:?}"),
            pb::subscribe_command_events_response::Item::Heartbeat(_) => {}
        }
    };
    assert_eq!(gap.reason(), pb::GapReason::Retention);
}
