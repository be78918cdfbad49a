//! Where a stream begins, what it shows, and what it says in silence.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, stream_start::Position, subscribe_command_events_response::Item,
};
use bitrix24_sim::Fault;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::scene::{Scene, called, failure, help, helper, told, until};

fn from(position: Position) -> pb::SubscribeCommandEventsRequest {
    pb::SubscribeCommandEventsRequest {
        start: Some(pb::StreamStart {
            position: Some(position),
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    }
}

fn earliest() -> pb::SubscribeCommandEventsRequest {
    from(Position::Point(pb::StreamStartPoint::Earliest.into()))
}

/// Types commands one after the other and waits until the gateway has them all.
async fn history(scene: &mut Scene, texts: &[&str]) {
    let mut live = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    for text in texts {
        scene.anna_types(&format!("/help {text}"));
        assert_eq!(live.params().await, *text);
        sleep(Duration::from_secs(30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn stream_begins_now_at_the_earliest_at_a_time_or_after_a_cursor() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    history(&mut scene, &["one", "two", "three"]).await;

    let mut all = scene.subscribe(earliest()).await;
    let (cursor, first) = all.event().await;
    assert_eq!(called(&first).params, "one");
    let (_, second) = all.event().await;
    assert_eq!(all.params().await, "three");

    let mut rest = scene.subscribe(from(Position::AfterCursor(cursor))).await;
    assert_eq!(
        (rest.params().await, rest.params().await),
        ("two".to_owned(), "three".to_owned())
    );

    let received = second.received_at.unwrap();
    let mut since = scene.subscribe(from(Position::Time(received))).await;
    assert_eq!(
        (since.params().await, since.params().await),
        ("two".to_owned(), "three".to_owned())
    );

    let mut live = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help four");
    assert_eq!(live.params().await, "four");
}

#[tokio::test(start_paused = true)]
async fn every_stream_gets_everything() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut first = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let mut second = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    for text in ["one", "two"] {
        scene.anna_types(&format!("/help {text}"));
    }
    for stream in [&mut first, &mut second] {
        assert_eq!(
            (stream.params().await, stream.params().await),
            ("one".to_owned(), "two".to_owned())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn filters_leave_out_other_bots_and_commands() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let other = pb::RegisterBotRequest {
        bot_code: "other".to_owned(),
        ..helper()
    };
    let id = scene
        .bots
        .register_bot(other)
        .await
        .unwrap()
        .into_inner()
        .bot
        .unwrap()
        .id;
    scene
        .portal
        .add_bot_to_chat(id, scene.chat.id, scene.anna)
        .unwrap();
    for (bot, command) in [("other", "more"), ("helper", "less")] {
        let request = pb::RegisterCommandRequest {
            bot_code: bot.to_owned(),
            command: command.to_owned(),
            ..help()
        };
        scene.bots.register_command(request).await.unwrap();
    }
    let mut by_bot = scene
        .subscribe(pb::SubscribeCommandEventsRequest {
            bot_codes: vec!["other".to_owned()],
            ..pb::SubscribeCommandEventsRequest::default()
        })
        .await;
    let mut by_command = scene
        .subscribe(pb::SubscribeCommandEventsRequest {
            commands: vec!["less".to_owned()],
            ..pb::SubscribeCommandEventsRequest::default()
        })
        .await;
    for text in ["/help a", "/more b", "/less c"] {
        scene.anna_types(text);
    }
    assert_eq!(by_bot.params().await, "b");
    assert_eq!(by_command.params().await, "c");
}

#[tokio::test(start_paused = true)]
async fn several_commands_of_one_message_come_one_by_one_and_plain_messages_do_not() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("hello @all");
    scene.anna_types("/help one\nsome words\n/help two");
    assert_eq!(
        (stream.params().await, stream.params().await),
        ("one".to_owned(), "two".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_heartbeats_that_tell_the_portals_state() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let interval = Duration::from_secs(7);
    let request = pb::SubscribeCommandEventsRequest {
        heartbeat_interval: Some(interval.try_into().unwrap()),
        ..pb::SubscribeCommandEventsRequest::default()
    };
    let mut stream = scene.subscribe(request).await;
    let started = Instant::now();
    let (cursor, Item::Heartbeat(beat)) = stream.next().await.unwrap() else {
        panic!("no heartbeat");
    };
    assert_eq!(started.elapsed().as_secs(), interval.as_secs());
    assert_eq!(beat.portals.len(), 1);
    assert_eq!(beat.portals[0].state(), pb::PortalState::Ok);
    assert!(beat.portals[0].last_successful_poll.is_some());
    scene.subscribe(from(Position::AfterCursor(cursor))).await;

    scene.portal.remove_webhook(&scene.portal.webhook_url());
    for _ in 0..20 {
        if let Item::Heartbeat(beat) = stream.next().await.unwrap().1
            && beat.portals[0].state() == pb::PortalState::ReauthorizationRequired
        {
            assert_eq!(beat.portals[0].reason, "REAUTHORIZATION_REQUIRED");
            let until = beat.portals[0].until.unwrap();
            assert!(until.seconds > beat.sent_at.unwrap().seconds);
            return;
        }
    }
    panic!("no heartbeat told that the credential is refused");
}

#[tokio::test(start_paused = true)]
async fn slow_reader_gets_everything_in_order() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    for number in 0..300 {
        scene.anna_types(&format!("/help {number}"));
        sleep(Duration::from_millis(20)).await;
    }
    let portal = scene.portal.clone();
    let bot = portal.bot_by_code("helper").unwrap().id;
    until("the portal handed over all events", || {
        portal.pending_events(bot).len() <= 1
    })
    .await;
    for number in 0..300 {
        assert_eq!(stream.params().await, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn expired_history_is_out_of_range_for_a_cursor() {
    let mut scene = Scene::with(&[("events.retention", "1h")]).await;
    scene.helper().await;
    history(&mut scene, &["one", "two"]).await;
    let (cursor, _) = scene.subscribe(earliest()).await.event().await;
    sleep(Duration::from_secs(2 * 3600)).await;
    history(&mut scene, &["three"]).await;
    let refused = scene
        .bots
        .subscribe_command_events(from(Position::AfterCursor(cursor)))
        .await
        .unwrap_err();
    assert_eq!(
        told(&refused),
        failure(Code::OutOfRange, "CURSOR_EXPIRED", "no")
    );
    assert_eq!(scene.subscribe(earliest()).await.params().await, "three");
}

#[tokio::test(start_paused = true)]
async fn day_without_the_portal_is_a_gap() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    history(&mut scene, &["one"]).await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let away = Fault::html(503).always();
    scene.portal.faults().on("imbot.v2.Event.get", away);
    sleep(Duration::from_secs(25 * 3600)).await;
    scene.portal.faults().clear();
    loop {
        if let (_, Item::Gap(gap)) = stream.next().await.unwrap() {
            assert_eq!(gap.reason(), pb::GapReason::NotPolled);
            assert_eq!(gap.bot_code, "helper");
            let (from, until) = (gap.from.unwrap().seconds, gap.until.unwrap().seconds);
            assert!(until - from > 24 * 3600);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn quiet_and_busy_bots_are_polled_at_their_own_pace() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let polls = |scene: &Scene| scene.portal.journal().calls("imbot.v2.Event.get").len();
    sleep(Duration::from_secs(120)).await;
    let before = polls(&scene);
    sleep(Duration::from_secs(60)).await;
    assert!(
        (10..=13).contains(&(polls(&scene) - before)),
        "{}",
        polls(&scene) - before
    );
    scene.anna_types("/help");
    sleep(Duration::from_secs(6)).await;
    let before = polls(&scene);
    sleep(Duration::from_secs(30)).await;
    assert!(
        (27..=31).contains(&(polls(&scene) - before)),
        "{}",
        polls(&scene) - before
    );
}
