//! A gateway that stops and starts goes on where it was.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, stream_start::Position, subscribe_command_events_response::Item,
};
use bitrix24_sim::Fault;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::scene::{Scene, answer, failure, raw_answer, told, until};

#[tokio::test(start_paused = true)]
async fn commands_typed_while_the_gateway_was_away_arrive_after_its_start() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
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
    scene.events_are_whole();
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

#[tokio::test(start_paused = true)]
async fn fifty_restarts_within_ten_minutes_meet_no_refusal() {
    let mut scene = Scene::start().await;
    let bot_id = scene.helper().await;
    let command_id = scene.portal.commands(bot_id)[0].id;
    let dialog = scene.chat.dialog_id();
    let message_id = scene.anna_types("/help");
    let began = Instant::now();
    for start in 0..50 {
        // Whoever starts anew has much to say at once.
        let calls = (0..40).map(|line| {
            let mut bots = scene.bots.clone();
            let request = raw_answer(command_id, message_id, &dialog, &format!("{start}: {line}"));
            async move {
                let mut request = tonic::Request::new(request);
                request.set_timeout(Duration::from_secs(8));
                bots.answer_command(request).await
            }
        });
        join_all(calls).await;
        if start % 2 == 0 {
            scene.restart().await;
        } else {
            scene.crash_at_rest().await;
        }
    }
    assert!(
        began.elapsed() < Duration::from_secs(600),
        "{:?}",
        began.elapsed()
    );
    let requests = scene.portal.journal().requests();
    let refused: Vec<_> = requests.iter().filter_map(|it| it.error()).collect();
    let refused: Vec<_> = refused
        .iter()
        .filter(|code| code.contains("LIMIT"))
        .collect();
    assert!(
        refused.is_empty(),
        "{} of {}",
        refused.len(),
        requests.len()
    );
    assert!(requests.len() > 300, "{} requests", requests.len());
}

#[tokio::test(start_paused = true)]
async fn method_that_is_banned_for_its_time_stays_so_over_a_restart() {
    let mut scene = Scene::start().await;
    let bot_id = scene.helper().await;
    let command_id = scene.portal.commands(bot_id)[0].id;
    let dialog = scene.chat.dialog_id();
    let message_id = scene.anna_types("/help");
    let request = raw_answer(command_id, message_id, &dialog, "hello");
    let limit = Fault::error(
        429,
        "OPERATION_TIME_LIMIT",
        "Method is blocked due to operation time limit.",
    );
    scene.portal.faults().on("imbot.v2.Command.answer", limit);
    for _ in 0..2 {
        let status = scene
            .bots
            .answer_command(request.clone())
            .await
            .unwrap_err();
        assert_eq!(told(&status).executed, "no");
        scene.restart().await;
        scene.crash_at_rest().await;
    }
    let answers = || {
        scene
            .portal
            .journal()
            .calls("imbot.v2.Command.answer")
            .len()
    };
    assert_eq!(answers(), 1, "only the first went out");
    sleep(Duration::from_secs(301)).await;
    scene.bots.clone().answer_command(request).await.unwrap();
    assert_eq!(answers(), 2);
}

#[tokio::test(start_paused = true)]
async fn two_names_for_one_portal_share_its_rate() {
    let mut scene = Scene::start().await;
    let url = scene.portal.webhook_url();
    scene.set("portals.twin.webhook_url", url);
    scene.restart().await;
    let bot_id = scene.helper().await;
    let message_id = scene.anna_types("/help");
    sleep(Duration::from_secs(60)).await;
    scene.portal.journal().clear();
    let calls = (0..100).map(|index| {
        let mut bots = scene.bots.clone();
        let portal = ["default", "twin"][index % 2].to_owned();
        async move {
            let request = pb::ExecuteCommandRequest {
                portal,
                bot_id,
                message_id,
                command: "nothing".to_owned(),
                ..pb::ExecuteCommandRequest::default()
            };
            let mut request = tonic::Request::new(request);
            request.set_timeout(Duration::from_secs(100));
            bots.execute_command(request).await
        }
    });
    for outcome in join_all(calls).await {
        outcome.unwrap();
    }
    let requests = scene.portal.journal().requests();
    let refused = requests.iter().filter(|it| it.error().is_some()).count();
    assert_eq!(refused, 0, "of {}", requests.len());
    assert!(requests.len() > 60, "{} requests", requests.len());
}
