//! Messages that nobody asked for.

use bitrix24_gateway::proto::v1 as pb;
use prost_types::Duration;
use tonic::Code;

use super::{long, refused_for, refused_with, scene};
use crate::scene::content;

fn link(text: &str, address: &str) -> pb::Keyboard {
    let kind = pb::keyboard_button::Kind::Link(address.to_owned());
    pb::Keyboard {
        buttons: vec![pb::KeyboardButton {
            text: text.to_owned(),
            kind: Some(kind),
            ..pb::KeyboardButton::default()
        }],
        ..pb::Keyboard::default()
    }
}

fn hello() -> pb::SendMessageRequest {
    pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: "chat5".to_owned(),
        content: Some(content("Hello")),
        ..pb::SendMessageRequest::default()
    }
}

#[tokio::test(start_paused = true)]
async fn send_message_tells_every_broken_rule() {
    let (scene, calls) = scene().await;
    let said = |content| pb::SendMessageRequest { content, ..hello() };
    let forward = |ids: Vec<i64>| pb::SendMessageRequest {
        forward_message_ids: ids,
        ..hello()
    };
    let key = |key: &str| pb::SendMessageRequest {
        idempotency_key: key.to_owned(),
        ..hello()
    };
    let keyboard_alone = pb::MessageContent {
        keyboard: Some(link("Open", "/")),
        ..pb::MessageContent::default()
    };
    let wrong_link = pb::MessageContent {
        keyboard: Some(link("Open", "example.com")),
        ..content("Hello")
    };
    let rows: Vec<(&str, pb::SendMessageRequest, &[&str])> = vec![
        ("nothing to say", said(None), &["content.text"]),
        ("no text", said(Some(content(" "))), &["content.text"]),
        (
            "keyboard alone",
            said(Some(keyboard_alone.clone())),
            &["content.text"],
        ),
        (
            "long text",
            said(Some(content(&long(20_001)))),
            &["content.text"],
        ),
        (
            "wrong button",
            said(Some(wrong_link)),
            &["content.keyboard.buttons[0].link"],
        ),
        (
            "content of nothing beside a forward",
            pb::SendMessageRequest {
                content: Some(keyboard_alone),
                ..forward(vec![1])
            },
            &["content.text"],
        ),
        (
            "no dialog",
            pb::SendMessageRequest {
                dialog_id: String::new(),
                ..hello()
            },
            &["dialog_id"],
        ),
        (
            "reply to 0",
            pb::SendMessageRequest {
                reply_id: Some(0),
                ..hello()
            },
            &["reply_id"],
        ),
        (
            "reply by a forward",
            pb::SendMessageRequest {
                reply_id: Some(1),
                content: None,
                ..forward(vec![1])
            },
            &["reply_id"],
        ),
        (
            "forwards of 0 and less",
            forward(vec![1, 0, 2, -1]),
            &["forward_message_ids[1]", "forward_message_ids[3]"],
        ),
        (
            "101 forwards",
            forward(vec![0; 101]),
            &["forward_message_ids"],
        ),
        (
            "key of 129 bytes",
            key(&"k".repeat(129)),
            &["idempotency_key"],
        ),
        ("key of 130 bytes", key(&long(65)), &["idempotency_key"]),
        ("key of two lines", key("a\nb"), &["idempotency_key"]),
        ("key with a null", key("a\0"), &["idempotency_key"]),
        (
            "key with a C1 control",
            key("a\u{85}"),
            &["idempotency_key"],
        ),
        (
            "everything at once",
            pb::SendMessageRequest {
                portal: "/".to_owned(),
                bot_code: "/".to_owned(),
                dialog_id: "/".to_owned(),
                content: None,
                reply_id: Some(-1),
                forward_message_ids: Vec::new(),
                idempotency_key: "\t".to_owned(),
                ..pb::SendMessageRequest::default()
            },
            &[
                "portal",
                "bot_code",
                "dialog_id",
                "content.text",
                "reply_id",
                "idempotency_key",
            ],
        ),
    ];
    let mut messages = scene.messages();
    for (name, request, fields) in rows {
        refused_for((name, messages.send_message(request).await), fields);
    }
    let elsewhere = pb::SendMessageRequest {
        portal: "elsewhere".to_owned(),
        ..hello()
    };
    refused_with(
        ("portal", messages.send_message(elsewhere).await),
        Code::NotFound,
        "UNKNOWN_PORTAL",
    );
    let nobody = pb::SendMessageRequest {
        bot_code: "nobody".to_owned(),
        ..hello()
    };
    refused_with(
        ("bot", messages.send_message(nobody).await),
        Code::NotFound,
        "UNKNOWN_BOT",
    );
    assert_eq!(scene.calls().len(), calls, "{:?}", scene.calls());
}

#[tokio::test(start_paused = true)]
async fn key_of_128_bytes_and_a_hundred_forwards_are_allowed() {
    let (scene, _) = scene().await;
    let id = scene.anna_types("to be forwarded");
    let request = pb::SendMessageRequest {
        dialog_id: scene.chat.dialog_id(),
        forward_message_ids: vec![id; 100],
        idempotency_key: long(64),
        ..hello()
    };
    let sent = scene.messages().send_message(request).await.unwrap();
    assert_eq!(sent.into_inner().forwarded_message_ids.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn update_message_tells_every_broken_rule() {
    let (scene, calls) = scene().await;
    let base = || pb::UpdateMessageRequest {
        bot_code: "helper".to_owned(),
        message_id: 7,
        ..pb::UpdateMessageRequest::default()
    };
    let text = |text: &str| pb::UpdateMessageRequest {
        text: Some(text.to_owned()),
        ..base()
    };
    let rows: Vec<(&str, pb::UpdateMessageRequest, &[&str])> = vec![
        ("nothing to change", base(), &["text"]),
        ("no text", text(""), &["text"]),
        ("blank text", text(" \n"), &["text"]),
        (
            "no text and no buttons",
            pb::UpdateMessageRequest {
                remove_keyboard: true,
                ..text("")
            },
            &["text"],
        ),
        (
            "buttons alone",
            pb::UpdateMessageRequest {
                keyboard: Some(link("Open", "/")),
                ..text("")
            },
            &["text"],
        ),
        ("long text", text(&long(20_001)), &["text"]),
        (
            "message 0",
            pb::UpdateMessageRequest {
                message_id: 0,
                ..text("Hello")
            },
            &["message_id"],
        ),
        (
            "buttons and none",
            pb::UpdateMessageRequest {
                keyboard: Some(link("Open", "/")),
                remove_keyboard: true,
                ..base()
            },
            &["remove_keyboard"],
        ),
        (
            "wrong button and block",
            pb::UpdateMessageRequest {
                keyboard: Some(link("", "/")),
                attach: Some(pb::Attach::default()),
                ..base()
            },
            &["attach.blocks", "keyboard.buttons[0].text"],
        ),
        (
            "large keyboard",
            pb::UpdateMessageRequest {
                keyboard: Some(link(&"x".repeat(60_000), "/")),
                ..base()
            },
            &["keyboard"],
        ),
        (
            "everything at once",
            pb::UpdateMessageRequest {
                portal: "/".to_owned(),
                bot_code: String::new(),
                message_id: -1,
                idempotency_key: "\r".to_owned(),
                ..pb::UpdateMessageRequest::default()
            },
            &[
                "portal",
                "bot_code",
                "message_id",
                "text",
                "idempotency_key",
            ],
        ),
    ];
    let mut messages = scene.messages();
    for (name, request, fields) in rows {
        refused_for((name, messages.update_message(request).await), fields);
    }
    assert_eq!(scene.calls().len(), calls, "{:?}", scene.calls());
}

#[tokio::test(start_paused = true)]
async fn delete_message_and_notify_action_tell_every_broken_rule() {
    let (scene, calls) = scene().await;
    let mut messages = scene.messages();
    let delete = pb::DeleteMessageRequest {
        portal: "/".to_owned(),
        bot_code: "/".to_owned(),
        message_id: 0,
        complete: true,
        idempotency_key: long(65),
    };
    refused_for(
        ("delete", messages.delete_message(delete).await),
        &["portal", "bot_code", "message_id", "idempotency_key"],
    );
    let notify = pb::NotifyActionRequest {
        portal: "/".to_owned(),
        bot_code: "/".to_owned(),
        dialog_id: "/".to_owned(),
        action: 12,
        duration: Some(Duration::default()),
        idempotency_key: long(65),
    };
    refused_for(
        ("notify", messages.notify_action(notify).await),
        &[
            "portal",
            "bot_code",
            "dialog_id",
            "action",
            "duration",
            "idempotency_key",
        ],
    );
    for (name, seconds, nanos) in [
        ("0 s", 0, 0),
        ("601 s", 601, 0),
        ("-1 s", -1, 0),
        ("1.5 s", 1, 500_000_000),
        ("half a second", 0, 500_000_000),
        ("a lie", i64::MAX, i32::MAX),
    ] {
        let request = pb::NotifyActionRequest {
            bot_code: "helper".to_owned(),
            dialog_id: "chat5".to_owned(),
            duration: Some(Duration { seconds, nanos }),
            ..pb::NotifyActionRequest::default()
        };
        refused_for((name, messages.notify_action(request).await), &["duration"]);
    }
    assert_eq!(scene.calls().len(), calls, "{:?}", scene.calls());
}

#[tokio::test(start_paused = true)]
async fn key_of_megabytes_is_refused_before_the_portal() {
    let (scene, calls) = scene().await;
    let mut messages = scene.messages();
    let key = |length| pb::SendMessageRequest {
        idempotency_key: "k".repeat(length),
        ..hello()
    };
    let outcome = messages.send_message(key(1 << 20)).await;
    refused_for(("a megabyte", outcome), &["idempotency_key"]);
    let outcome = messages.send_message(key(10 << 20)).await;
    refused_with(
        ("ten megabytes", outcome),
        Code::OutOfRange,
        "UNREADABLE_REQUEST",
    );
    assert_eq!(scene.calls().len(), calls);
}
