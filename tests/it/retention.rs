//! What is kept of each bot, and who is told what is gone.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, stream_start::Position, subscribe_command_events_response::Item,
};
use tokio::time::sleep;

use crate::scene::{Scene, called, help, helper};

/// More than is kept of 15,000 characters each.
const CHATS: usize = 120;

fn from(position: Position, bot_codes: &[&str]) -> pb::SubscribeCommandEventsRequest {
    pb::SubscribeCommandEventsRequest {
        start: Some(pb::StreamStart {
            position: Some(position),
        }),
        bot_codes: bot_codes.iter().map(|&code| code.to_owned()).collect(),
        ..pb::SubscribeCommandEventsRequest::default()
    }
}

/// A chatty and a quiet bot in one chat.
async fn stage() -> Scene {
    let mut scene = Scene::with(&[("events.retention_bytes", "1048576")]).await;
    scene.events_are_whole();
    scene.helper().await;
    let quiet = pb::RegisterBotRequest {
        bot_code: "quiet".to_owned(),
        ..helper()
    };
    let quiet = scene.bots.register_bot(quiet).await.unwrap().into_inner();
    let command = pb::RegisterCommandRequest {
        bot_code: "quiet".to_owned(),
        command: "calm".to_owned(),
        ..help()
    };
    scene.bots.register_command(command).await.unwrap();
    let id = quiet.bot.unwrap().id;
    let added = scene.portal.add_bot_to_chat(id, scene.chat.id, scene.anna);
    added.unwrap();
    scene
}

/// The gaps of a stream up to the event with these parameters, and how many events came before it.
async fn up_to(
    scene: &mut Scene,
    request: pb::SubscribeCommandEventsRequest,
    params: &str,
) -> (Vec<pb::Gap>, usize) {
    let mut stream = scene.subscribe(request).await;
    let (mut gaps, mut events) = (Vec::new(), 0);
    loop {
        match stream.next().await.unwrap().1 {
            Item::Gap(gap) => gaps.push(gap),
            Item::Event(event) if called(&event).params == params => return (gaps, events),
            Item::Event(_) => events += 1,
            Item::Heartbeat(_) => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bot_that_is_talked_to_without_end_loses_its_own_history_and_its_readers_are_told() {
    let mut scene = stage().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/calm first");
    let (cursor, first) = stream.event().await;
    assert_eq!(called(&first).params, "first");
    let long = "x".repeat(15_000);
    for index in 0..CHATS {
        scene.anna_types(&format!("/help {index} {long}"));
        stream.event().await;
    }
    scene.anna_types("/calm last");
    assert_eq!(stream.params().await, "last");
    sleep(Duration::from_secs(11 * 60)).await;

    let after = Position::AfterCursor(cursor);
    let (gaps, events) = up_to(&mut scene, from(after.clone(), &[]), "last").await;
    assert!((10..CHATS - 10).contains(&events), "{events} are left");
    let [gap] = &gaps[..] else {
        panic!("{gaps:?}");
    };
    assert_eq!(gap.reason(), pb::GapReason::Retention);
    assert_eq!(
        (gap.portal.as_str(), gap.bot_code.as_str()),
        ("default", "helper")
    );
    assert_eq!(gap.from, first.received_at);
    let until = gap.until.unwrap();
    assert!(until.seconds > first.received_at.unwrap().seconds);

    let nothing = (Vec::new(), 0);
    let quiet = from(after, &["quiet"]);
    assert_eq!(up_to(&mut scene, quiet, "last").await, nothing);
    let earliest = Position::Point(pb::StreamStartPoint::Earliest.into());
    let all = from(earliest, &[]);
    assert_eq!(up_to(&mut scene, all, "first").await, nothing);
    let since = Position::Time(first.received_at.unwrap());
    let told = up_to(&mut scene, from(since, &[]), "last").await;
    assert_eq!((told.0.len(), told.1), (1, events + 1));
    let since = Position::Time(until);
    let told = up_to(&mut scene, from(since, &["quiet", "helper"]), "last").await;
    assert_eq!(told.0.len(), 1, "the newest that is gone came then");
}

#[tokio::test(start_paused = true)]
async fn reader_who_is_too_slow_is_told_of_each_bot_once_and_gets_what_is_left() {
    let mut scene = stage().await;
    let mut slow = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let long = "x".repeat(15_000);
    let mut live = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    for index in 0..2 * CHATS {
        scene.anna_types(&format!("/help {index} {long}"));
        live.event().await;
    }
    scene.anna_types("/calm last");
    assert_eq!(live.params().await, "last");
    sleep(Duration::from_secs(11 * 60)).await;
    let mut heard = Vec::new();
    let mut gaps = Vec::new();
    loop {
        match slow.next().await.unwrap().1 {
            Item::Gap(gap) => gaps.push(gap.bot_code),
            Item::Event(event) if called(&event).params == "last" => break,
            Item::Event(event) => {
                let params = called(&event).params;
                let number = params.split(' ').next().unwrap();
                heard.push(number.parse::<usize>().unwrap());
            }
            Item::Heartbeat(_) => {}
        }
    }
    assert_eq!(gaps, ["helper"]);
    let missing = heard.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    assert_eq!(missing.count(), 1, "{heard:?}");
    assert_eq!(heard.last(), Some(&(2 * CHATS - 1)));
}
