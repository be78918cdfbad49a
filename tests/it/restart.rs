//! A gateway that stops and starts goes on where it was.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, stream_start::Position, subscribe_command_events_response::Item,
};
use bitrix24_sim::Fault;
use tokio::time::sleep;
use tonic::Code;

use crate::scene::{Scene, answer, failure, told, until};

#[tokio::test(start_paused = true)]
async fn commands_typed_while_the_gateway_was_away_arrive_after_its_start() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help before");
    let (cursor, _) = stream.event().await;
    scene.stop().await;
    let ended = loop {
        if let Err(status) = stream.next().await {
            break status;
        }
    };
    assert_eq!(
        told(&ended),
        failure(Code::Unavailable, "GATEWAY_STOPPING", "no")
    );
    scene.anna_types("/help meanwhile");
    scene.start_again().await;
    let start = pb::StreamStart {
        position: Some(Position::AfterCursor(cursor)),
    };
    let request = pb::SubscribeCommandEventsRequest {
        start: Some(start),
        ..pb::SubscribeCommandEventsRequest::default()
    };
    let mut stream = scene.subscribe(request).await;
    let (_, event) = stream.event().await;
    assert_eq!(crate::scene::called(&event).params, "meanwhile");
    scene
        .bots
        .answer_command(answer(&event, "welcome back"))
        .await
        .unwrap();
    assert!(scene.texts().contains(&"welcome back".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn event_is_durable_before_the_portal_may_forget_it() {
    let mut scene = Scene::start().await;
    let bot_id = scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    stream.event().await;
    // The gateway has it; the portal forgets it only at the next fetch.
    assert!(!scene.portal.pending_events(bot_id).is_empty());
    let portal = scene.portal.clone();
    until("the offset was sent", || {
        portal.pending_events(bot_id).is_empty()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn page_whose_answer_was_lost_is_fetched_again_and_delivered_once() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene
        .portal
        .faults()
        .on("imbot.v2.Event.get", Fault::reset().after_effect().times(2));
    scene.anna_types("/help one");
    assert_eq!(stream.params().await, "one");
    scene.anna_types("/help two");
    assert_eq!(stream.params().await, "two");
}

#[tokio::test(start_paused = true)]
async fn answer_window_is_known_after_a_restart() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    let (_, event) = stream.event().await;
    scene.stop().await;
    sleep(Duration::from_secs(11 * 60)).await;
    scene.start_again().await;
    let refused = scene
        .bots
        .answer_command(answer(&event, "too late"))
        .await
        .unwrap_err();
    assert_eq!(told(&refused).reason, "ANSWER_WINDOW_CLOSED");
}

#[tokio::test(start_paused = true)]
async fn day_away_is_a_gap_after_the_start() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    sleep(Duration::from_secs(10)).await;
    scene.stop().await;
    sleep(Duration::from_secs(30 * 3600)).await;
    scene.start_again().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    loop {
        if let (_, Item::Gap(gap)) = stream.next().await.unwrap() {
            assert_eq!(gap.reason(), pb::GapReason::NotPolled);
            return;
        }
    }
}
