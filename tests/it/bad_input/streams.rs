//! Streams, cursors, and portals that are left out.

use bitrix24_gateway::proto::v1::{self as pb, stream_start::Position};
use prost_types::{Duration, Timestamp};
use tonic::Code;

use super::{long, refused_for, refused_with, scene};
use crate::scene::{Scene, answer, broken_fields, failure, helper, told};

fn from(position: Position) -> pb::SubscribeCommandEventsRequest {
    pb::SubscribeCommandEventsRequest {
        start: Some(pb::StreamStart {
            position: Some(position),
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    }
}

fn after(cursor: &str) -> pb::SubscribeCommandEventsRequest {
    from(Position::AfterCursor(cursor.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn subscribe_tells_every_broken_rule() {
    let (mut scene, calls) = scene().await;
    let base = pb::SubscribeCommandEventsRequest::default;
    let beat = |seconds, nanos| pb::SubscribeCommandEventsRequest {
        heartbeat_interval: Some(Duration { seconds, nanos }),
        ..base()
    };
    let names = |count| vec!["helper".to_owned(); count];
    let rows: Vec<(&str, pb::SubscribeCommandEventsRequest, &[&str])> = vec![
        (
            "heartbeat under 1 s",
            beat(0, 999_999_999),
            &["heartbeat_interval"],
        ),
        ("heartbeat over 60 s", beat(60, 1), &["heartbeat_interval"]),
        (
            "heartbeat before its time",
            beat(-5, 0),
            &["heartbeat_interval"],
        ),
        (
            "heartbeat beyond all numbers",
            beat(i64::MAX, i32::MAX),
            &["heartbeat_interval"],
        ),
        (
            "cursor of letters",
            after("garbage"),
            &["start.after_cursor"],
        ),
        ("empty cursor", after(""), &["start.after_cursor"]),
        (
            "event id for a cursor",
            after("e00000000000000ff-1"),
            &["start.after_cursor"],
        ),
        (
            "very long cursor",
            after(&"c".repeat(10_000)),
            &["start.after_cursor"],
        ),
        ("unknown point", from(Position::Point(3)), &["start.point"]),
        (
            "time after time",
            from(Position::Time(Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            })),
            &["start.time"],
        ),
        (
            "time before time",
            from(Position::Time(Timestamp {
                seconds: i64::MIN,
                nanos: 0,
            })),
            &["start.time"],
        ),
        (
            "nanoseconds beyond",
            from(Position::Time(Timestamp {
                seconds: 0,
                nanos: i32::MAX,
            })),
            &["start.time"],
        ),
        (
            "1001 bots",
            pb::SubscribeCommandEventsRequest {
                bot_codes: names(1001),
                ..base()
            },
            &["bot_codes"],
        ),
        (
            "everything at once",
            pb::SubscribeCommandEventsRequest {
                portal: "/".to_owned(),
                bot_codes: vec!["helper".to_owned(), "/".to_owned()],
                commands: vec!["/help".to_owned(), String::new()],
                heartbeat_interval: Some(Duration {
                    seconds: 61,
                    nanos: 0,
                }),
                ..after("x")
            },
            &[
                "portal",
                "bot_codes[1]",
                "commands[0]",
                "commands[1]",
                "start.after_cursor",
                "heartbeat_interval",
            ],
        ),
    ];
    for (name, request, fields) in rows {
        refused_for(
            (name, scene.bots.subscribe_command_events(request).await),
            fields,
        );
    }
    let elsewhere = pb::SubscribeCommandEventsRequest {
        portal: "elsewhere".to_owned(),
        ..base()
    };
    let elsewhere = scene.bots.subscribe_command_events(elsewhere).await;
    refused_with(("portal", elsewhere), Code::NotFound, "UNKNOWN_PORTAL");
    for right in [beat(1, 0), beat(60, 0), from(Position::Point(2))] {
        scene.bots.subscribe_command_events(right).await.unwrap();
    }
    assert_eq!(scene.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn cursors_that_lead_nowhere_say_why() {
    let (mut scene, calls) = scene().await;
    let info = scene
        .info()
        .get_server_info(pb::GetServerInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    let foreign = scene
        .bots
        .subscribe_command_events(after("c0123456789abcdef-1"))
        .await;
    refused_with(
        ("other log", foreign),
        Code::InvalidArgument,
        "FOREIGN_CURSOR",
    );
    let ahead = after(&format!("c{}-1000000", info.log_id));
    let ahead = scene.bots.subscribe_command_events(ahead).await;
    refused_with(
        ("beyond the end", ahead),
        Code::OutOfRange,
        "FOREIGN_CURSOR",
    );
    assert_eq!(scene.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn event_ids_that_lead_nowhere_say_why() {
    let (mut scene, calls) = scene().await;
    let info = scene
        .info()
        .get_server_info(pb::GetServerInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    let with_id = |event_id: String| {
        let event = pb::Event {
            event_id,
            ..pb::Event::default()
        };
        answer(&event, "late")
    };
    for garbage in ["", "garbage", "e-1", "e0123456789abcdef-0"] {
        let outcome = scene.bots.answer_command(with_id(garbage.to_owned())).await;
        refused_for(("garbage", outcome), &["event_id"]);
    }
    let cursor = scene
        .bots
        .answer_command(with_id(format!("c{}-1", info.log_id)))
        .await;
    refused_for(("cursor for an event id", cursor), &["event_id"]);
    let foreign = scene
        .bots
        .answer_command(with_id("e0123456789abcdef-1".to_owned()))
        .await;
    refused_with(
        ("other log", foreign),
        Code::InvalidArgument,
        "FOREIGN_CURSOR",
    );
    for seq in [1_000_000, u64::MAX] {
        let unknown = scene
            .bots
            .answer_command(with_id(format!("e{}-{seq}", info.log_id)))
            .await;
        refused_with(("unknown", unknown), Code::NotFound, "UNKNOWN_EVENT");
    }
    assert_eq!(scene.calls().len(), calls);
}

#[tokio::test(start_paused = true)]
async fn without_a_default_portal_one_must_be_named() {
    let mut scene = Scene::at("portals.acme.webhook_url", &[]).await;
    let register = scene.bots.register_bot(helper()).await;
    refused_with(
        ("register", register),
        Code::InvalidArgument,
        "NO_DEFAULT_PORTAL",
    );
    let get = pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    let get = scene.bots.get_bot(get).await;
    refused_with(("get", get), Code::InvalidArgument, "NO_DEFAULT_PORTAL");
    let list = scene.bots.list_bots(pb::ListBotsRequest::default()).await;
    refused_with(("list", list), Code::InvalidArgument, "NO_DEFAULT_PORTAL");
    assert!(scene.calls().is_empty());

    let named = pb::RegisterBotRequest {
        portal: "acme".to_owned(),
        ..helper()
    };
    scene.bots.register_bot(named).await.unwrap();
    // In a stream it means every portal.
    scene
        .bots
        .subscribe_command_events(pb::SubscribeCommandEventsRequest::default())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn very_wrong_request_still_gets_its_reason() {
    let (mut scene, calls) = scene().await;
    let many = pb::SubscribeCommandEventsRequest {
        bot_codes: vec![long(100); 1000],
        commands: vec![long(101); 1000],
        ..pb::SubscribeCommandEventsRequest::default()
    };
    let status = scene.bots.subscribe_command_events(many).await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::InvalidArgument, "INVALID_REQUEST", "no")
    );
    assert!(
        broken_fields(&status).starts_with(&["bot_codes[0]".to_owned(), "bot_codes[1]".to_owned()])
    );

    let mut request = crate::scene::help();
    request.title.insert(long(50_000), "Help".to_owned());
    let status = scene.bots.register_command(request).await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::InvalidArgument, "INVALID_REQUEST", "no")
    );
    // What clients of every language take: 8 KiB of trailers.
    let sent = status.message().len() * 3 + status.details().len() * 4 / 3;
    assert!(sent < 7 << 10, "{sent} bytes");
    assert_eq!(scene.calls().len(), calls);
}
