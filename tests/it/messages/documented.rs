//! What the documentation of Bitrix24 sends and what it answers.

use std::{collections::BTreeSet, fs, path::Path};

use bitrix24_gateway::proto::v1::{self as pb, attach_block::Block, keyboard_button::Kind};
use bitrix24_sim::Fault;
use serde_json::{Value, json};
use tonic::Code;

use super::{
    DELETE, NOTIFY, SEND, UPDATE, blocks, button, change, delete, notify, params, say, stage,
};
use crate::scene::{Told, content, failure, told};

/// What the documentation sends, as a caller says it.
fn documented() -> Vec<(&'static str, &'static str, pb::MessageContent)> {
    let news = || Block::Message("The API will be available in the update [B]im 24.0.0[/B]".into());
    let item =
        |name: &str, value: &str, display: pb::AttachGridDisplay, width| pb::AttachGridItem {
            display: display.into(),
            name: Some(name.to_owned()),
            value: Some(value.to_owned()),
            width,
            ..pb::AttachGridItem::default()
        };
    let grid = |items| Block::Grid(pb::AttachGrid { items });
    let line = || {
        Block::Delimiter(pb::AttachDelimiter {
            size: Some(200),
            color: "#c6c6c6".to_owned(),
        })
    };
    let with_attach = |text: &str, attach| pb::MessageContent {
        attach: Some(attach),
        ..content(text)
    };
    let with_keyboard = |text: &str, keyboard| pb::MessageContent {
        keyboard: Some(keyboard),
        ..content(text)
    };
    let card = vec![
        Block::User(pb::AttachUser {
            name: "Mantis Notifications".to_owned(),
            avatar: Some("https://files.shelenkov.com/bitrix/images/mantis2.jpg".to_owned()),
            link: Some("https://shelenkov.com/".to_owned()),
            ..pb::AttachUser::default()
        }),
        Block::Link(pb::AttachLink {
            name: Some("Open Mantis from external network".to_owned()),
            link: "https://shelenkov.com/".to_owned(),
            ..pb::AttachLink::default()
        }),
        line(),
        grid(vec![
            item("Project", "BUGS", pb::AttachGridDisplay::Line, Some(100)),
            item("Category", "im", pb::AttachGridDisplay::Line, Some(100)),
            item(
                "Summary",
                "It is necessary to implement the ability to add structured entities to messages and notifications in the messenger.",
                pb::AttachGridDisplay::Block,
                None,
            ),
        ]),
        line(),
        grid(vec![
            item("New Request", "", pb::AttachGridDisplay::Row, Some(100)),
            item(
                "Assigned To",
                "Eugene Shelenkov",
                pb::AttachGridDisplay::Row,
                Some(100),
            ),
            item(
                "Deadline",
                "11/04/2015 05:50:43 PM",
                pb::AttachGridDisplay::Row,
                Some(100),
            ),
        ]),
    ];
    let put = pb::ButtonAction {
        r#type: pb::ButtonActionType::Put.into(),
        value: "/help".to_owned(),
    };
    let three = pb::Keyboard {
        bot_id: Some(456),
        buttons: vec![
            button(
                "Open website",
                Kind::Link("https://www.example.com/".to_owned()),
            ),
            button("", Kind::NewLine(pb::ButtonNewLine {})),
            button("Insert command", Kind::Action(put)),
        ],
        extra: None,
    };
    let open = pb::KeyboardButton {
        bg_color_token: pb::ColorToken::Primary.into(),
        ..button("Open", Kind::Link("https://example.com".to_owned()))
    };
    let one = pb::Keyboard {
        buttons: vec![open],
        ..pb::Keyboard::default()
    };
    let full = pb::Attach {
        id: Some(1),
        color_token: pb::ColorToken::Primary.into(),
        color: "#29619b".to_owned(),
        ..blocks(vec![news()])
    };
    let codes = "[b]Important message[/b][br]Open [url=https://bitrix24.com]site[/url][br][send=/help]Help[/send]";
    vec![
        ("text", "chat5", content("Enter search string")),
        ("bbcode", "chat2725", content(codes)),
        (
            "attach-short",
            "chat20921",
            with_attach("Text block", blocks(vec![news()])),
        ),
        (
            "attach-full",
            "chat20921",
            with_attach("Attachment with primary color", full),
        ),
        (
            "attach-card",
            "chat20921",
            with_attach("Task Card", blocks(card)),
        ),
        (
            "keyboard-link",
            "chat5",
            with_keyboard("Hello from bot!", one),
        ),
        (
            "keyboard-buttons-object",
            "chat2725",
            with_keyboard("Select action", three),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn documented_requests_are_sent_value_by_value() {
    let (scene, mut messages, bot_id) = stage().await;
    let token = scene.portal.bot_by_code("helper").unwrap().token;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bitrix24");
    let mut tried = BTreeSet::new();
    for (name, dialog, said) in documented() {
        let file = format!("{SEND}.{name}.request.json");
        let mut wanted: Value =
            serde_json::from_slice(&fs::read(folder.join(&file)).unwrap()).unwrap();
        wanted["botId"] = json!(bot_id);
        wanted["botToken"] = json!(token);
        let request = pb::SendMessageRequest {
            dialog_id: dialog.to_owned(),
            content: Some(said),
            ..say(&scene, "")
        };
        // There are no such chats here, but the request is what counts.
        let _refused = messages.send_message(request).await.unwrap_err();
        assert_eq!(params(&scene, SEND), wanted, "{name}");
        tried.insert(file);
    }
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let all = names.filter(|name| name.starts_with(SEND) && name.ends_with(".request.json"));
    assert_eq!(tried, all.collect());
}

/// What each error of the contract means to a caller.
fn documented_errors() -> Vec<(&'static str, Vec<&'static str>, Told)> {
    let every = || vec![SEND, UPDATE, DELETE, NOTIFY];
    let wrong = || failure(Code::InvalidArgument, "PORTAL_REFUSED", "no");
    let denied = || failure(Code::PermissionDenied, "ACCESS_DENIED", "no");
    let token = || failure(Code::FailedPrecondition, "BOT_TOKEN_REJECTED", "no");
    let unknown = || failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown");
    let no_message = || failure(Code::NotFound, "MESSAGE_NOT_FOUND", "no");
    let changes = || vec![UPDATE, DELETE];
    vec![
        ("BOT_TOKEN_NOT_SPECIFIED", every(), token()),
        ("BOT_ID_REQUIRED", every(), wrong()),
        (
            "BOT_NOT_FOUND",
            every(),
            failure(Code::NotFound, "BOT_NOT_FOUND", "no"),
        ),
        ("BOT_OWNERSHIP_ERROR", every(), token()),
        ("ACCESS_DENIED", every(), denied()),
        ("EMPTY_MESSAGE", vec![SEND], wrong()),
        ("SENDING_FAILED", vec![SEND], unknown()),
        ("MESSAGE_DUPLICATED_BY_UUID", vec![SEND], unknown()),
        ("ATTACH_ERROR", vec![SEND, UPDATE], wrong()),
        ("ATTACH_OVERSIZE", vec![SEND, UPDATE], wrong()),
        ("KEYBOARD_ERROR", vec![SEND, UPDATE], wrong()),
        ("REPLY_ERROR", vec![SEND], wrong()),
        ("TOO_MANY_MESSAGES", vec![SEND], wrong()),
        ("WRONG_UUID", vec![SEND], wrong()),
        (
            "MESSAGE_NOT_FOUND",
            vec![SEND, UPDATE, DELETE],
            no_message(),
        ),
        (
            "CHAT_NOT_FOUND",
            vec![SEND, NOTIFY],
            failure(Code::NotFound, "CHAT_NOT_FOUND", "no"),
        ),
        ("TEXT_FIELD_DISABLED", vec![SEND], denied()),
        ("MESSAGE_ACCESS_DENIED", changes(), denied()),
        (
            "MESSAGE_TOO_OLD_FOR_DELETION",
            vec![DELETE],
            failure(Code::FailedPrecondition, "PORTAL_REFUSED", "no"),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_documented_error_has_its_meaning() {
    let (scene, mut messages, _) = stage().await;
    for (code, methods, expected) in documented_errors() {
        for method in methods {
            for status in [400, 403] {
                let fault = Fault::error(status, code, "In other words");
                scene.portal.faults().on(method, fault);
                let outcome = match method {
                    SEND => messages.send_message(say(&scene, "x")).await.map(drop),
                    UPDATE => {
                        let request = pb::UpdateMessageRequest {
                            text: Some("x".to_owned()),
                            ..change(1)
                        };
                        messages.update_message(request).await.map(drop)
                    }
                    DELETE => messages.delete_message(delete(1)).await.map(drop),
                    _ => messages.notify_action(notify(&scene)).await.map(drop),
                };
                assert_eq!(
                    told(&outcome.unwrap_err()),
                    expected,
                    "{method}: {status} {code}"
                );
            }
        }
    }
}
