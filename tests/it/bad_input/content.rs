//! What a bot says.

use bitrix24_gateway::proto::v1::{
    self as pb, answer_command_request::Target, attach_block::Block, keyboard_button::Kind,
};
use prost_types::{Struct, Value as PbValue, value};
use tonic::Code;

use super::{long, refused_for, refused_with, scene};
use crate::scene::{content, raw_answer};

fn with_content(content: Option<pb::MessageContent>) -> pb::AnswerCommandRequest {
    pb::AnswerCommandRequest {
        content,
        ..raw_answer(1, 1, "chat5", "")
    }
}

fn keys(pairs: &[(&str, &str)]) -> Struct {
    let text = |text: &str| PbValue {
        kind: Some(value::Kind::StringValue(text.to_owned())),
    };
    Struct {
        fields: pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), text(value)))
            .collect(),
    }
}

fn keyboard(keyboard: pb::Keyboard) -> pb::MessageContent {
    pb::MessageContent {
        keyboard: Some(keyboard),
        ..content("Choose")
    }
}

fn button(button: pb::KeyboardButton) -> pb::MessageContent {
    keyboard(pb::Keyboard {
        buttons: vec![button],
        ..pb::Keyboard::default()
    })
}

fn link() -> pb::KeyboardButton {
    pb::KeyboardButton {
        kind: Some(Kind::Link("https://example.com/".to_owned())),
        text: "Open".to_owned(),
        ..pb::KeyboardButton::default()
    }
}

fn of_kind(kind: Kind) -> pb::MessageContent {
    button(pb::KeyboardButton {
        kind: Some(kind),
        ..link()
    })
}

fn to(address: &str) -> pb::MessageContent {
    of_kind(Kind::Link(address.to_owned()))
}

fn action(r#type: i32, value: &str) -> pb::MessageContent {
    of_kind(Kind::Action(pb::ButtonAction {
        r#type,
        value: value.to_owned(),
    }))
}

fn attach(attach: pb::Attach) -> pb::MessageContent {
    pb::MessageContent {
        attach: Some(attach),
        ..content("Look")
    }
}

fn block(block: Option<Block>) -> pb::MessageContent {
    let blocks = vec![pb::AttachBlock { block }];
    attach(pb::Attach {
        blocks,
        ..pb::Attach::default()
    })
}

fn grid(item: pb::AttachGridItem) -> pb::MessageContent {
    block(Some(Block::Grid(pb::AttachGrid { items: vec![item] })))
}

#[tokio::test(start_paused = true)]
async fn answer_tells_every_broken_rule_of_its_target() {
    let (mut scene, calls) = scene().await;
    let base = || raw_answer(1, 1, "chat5", "Hello");
    let rows: Vec<(&str, pb::AnswerCommandRequest, &[&str])> = vec![
        (
            "no target",
            pb::AnswerCommandRequest {
                target: None,
                ..base()
            },
            &["event_id"],
        ),
        (
            "no bot",
            pb::AnswerCommandRequest {
                bot_code: String::new(),
                ..base()
            },
            &["bot_code"],
        ),
        (
            "ids of 0",
            raw_answer(0, 0, "chat5", "Hello"),
            &["invocation.command_id", "invocation.message_id"],
        ),
        (
            "negative id",
            raw_answer(1, -1, "chat5", "Hello"),
            &["invocation.message_id"],
        ),
        (
            "no dialog",
            raw_answer(1, 1, "", "Hello"),
            &["invocation.dialog_id"],
        ),
        (
            "chat without number",
            raw_answer(1, 1, "chat", "Hello"),
            &["invocation.dialog_id"],
        ),
        (
            "dialog of another kind",
            raw_answer(1, 1, "sg5", "Hello"),
            &["invocation.dialog_id"],
        ),
        (
            "user 0",
            raw_answer(1, 1, "0", "Hello"),
            &["invocation.dialog_id"],
        ),
        (
            "unknown if_window_closed",
            pb::AnswerCommandRequest {
                if_window_closed: 3,
                ..base()
            },
            &["if_window_closed"],
        ),
        (
            "everything at once",
            pb::AnswerCommandRequest {
                portal: "/".to_owned(),
                bot_code: "/".to_owned(),
                target: Some(Target::Invocation(pb::CommandInvocation::default())),
                content: None,
                if_window_closed: -1,
                idempotency_key: "a\nb".to_owned(),
                r#final: Some(false),
            },
            &[
                "portal",
                "bot_code",
                "content.text",
                "invocation.command_id",
                "invocation.message_id",
                "invocation.dialog_id",
                "if_window_closed",
                "idempotency_key",
                "final",
            ],
        ),
    ];
    for (name, request, fields) in rows {
        refused_for((name, scene.bots.answer_command(request).await), fields);
    }
    let elsewhere = pb::AnswerCommandRequest {
        portal: "elsewhere".to_owned(),
        ..base()
    };
    refused_with(
        ("portal", scene.bots.answer_command(elsewhere).await),
        Code::NotFound,
        "UNKNOWN_PORTAL",
    );
    let nobody = pb::AnswerCommandRequest {
        bot_code: "nobody".to_owned(),
        ..base()
    };
    refused_with(
        ("bot", scene.bots.answer_command(nobody).await),
        Code::NotFound,
        "UNKNOWN_BOT",
    );
    assert_eq!(scene.calls().len(), calls, "{:?}", scene.calls());
}

#[tokio::test(start_paused = true)]
async fn text_is_needed_and_at_most_20_000_characters() {
    let (mut scene, calls) = scene().await;
    let keyboard_alone = pb::MessageContent {
        text: String::new(),
        ..button(link())
    };
    for (name, wrong) in [
        ("no content", None),
        ("no text", Some(content(""))),
        ("blank text", Some(content(" \n\t\u{a0} "))),
        ("keyboard alone", Some(keyboard_alone)),
        ("20,001 characters", Some(content(&long(20_001)))),
    ] {
        refused_for(
            (name, scene.bots.answer_command(with_content(wrong)).await),
            &["content.text"],
        );
    }
    assert_eq!(scene.calls().len(), calls);

    let message = scene.anna_types("/help");
    let dialog = scene.chat.dialog_id();
    let command = scene.portal.commands(scene.portal.bots()[0].id)[0].id;
    scene
        .bots
        .answer_command(raw_answer(command, message, &dialog, &long(20_000)))
        .await
        .unwrap();
    assert!(scene.texts().contains(&long(20_000)));
}

#[tokio::test(start_paused = true)]
async fn keyboard_is_checked_key_by_key() {
    let (mut scene, calls) = scene().await;
    let first = "content.keyboard.buttons[0]";
    let at = |field: &str| vec![format!("{first}.{field}")];
    let rows: Vec<(&str, pb::MessageContent, Vec<String>)> = vec![
        (
            "no button",
            keyboard(pb::Keyboard::default()),
            vec!["content.keyboard.buttons".to_owned()],
        ),
        (
            "bot 0",
            keyboard(pb::Keyboard {
                buttons: vec![link()],
                bot_id: Some(0),
                extra: None,
            }),
            vec!["content.keyboard.bot_id".to_owned()],
        ),
        (
            "extra BUTTONS and lower case",
            keyboard(pb::Keyboard {
                buttons: vec![link()],
                bot_id: None,
                extra: Some(keys(&[("BUTTONS", "x"), ("colors", "x")])),
            }),
            vec![
                "content.keyboard.extra".to_owned(),
                "content.keyboard.extra".to_owned(),
            ],
        ),
        (
            "no kind and no text",
            button(pb::KeyboardButton::default()),
            [vec![first.to_owned()], at("text")].concat(),
        ),
        (
            "no text",
            button(pb::KeyboardButton {
                text: String::new(),
                ..link()
            }),
            at("text"),
        ),
        (
            "blank text",
            button(pb::KeyboardButton {
                text: " ".to_owned(),
                ..link()
            }),
            at("text"),
        ),
        ("empty link", to(""), at("link")),
        ("link without scheme", to("example.com"), at("link")),
        ("javascript", to("javascript:alert(1)"), at("link")),
        ("scheme alone", to("https://"), at("link")),
        (
            "other host by a double slash",
            to("//example.com/"),
            at("link"),
        ),
        ("file", to("file:///etc/passwd"), at("link")),
        (
            "colour of two digits",
            button(pb::KeyboardButton {
                bg_color: "#ab".to_owned(),
                ..link()
            }),
            at("bg_color"),
        ),
        (
            "colours by name, without #, with other letters",
            button(pb::KeyboardButton {
                text_color: "red".to_owned(),
                off_bg_color: "df532d".to_owned(),
                off_text_color: "#ggg".to_owned(),
                ..link()
            }),
            [at("text_color"), at("off_bg_color"), at("off_text_color")].concat(),
        ),
        (
            "unknown context, display and token; width 0",
            button(pb::KeyboardButton {
                context: 4,
                display: 3,
                bg_color_token: 5,
                width: Some(0),
                ..link()
            }),
            [
                at("context"),
                at("display"),
                at("width"),
                at("bg_color_token"),
            ]
            .concat(),
        ),
        (
            "block without command",
            button(pb::KeyboardButton {
                block: Some(true),
                ..link()
            }),
            at("block"),
        ),
        (
            "new line with a text",
            of_kind(Kind::NewLine(pb::ButtonNewLine {})),
            vec![first.to_owned()],
        ),
        (
            "command with a slash",
            of_kind(Kind::Command(pb::ButtonCommand {
                command: "/help".to_owned(),
                params: String::new(),
            })),
            at("command.command"),
        ),
        (
            "application 0",
            of_kind(Kind::Application(pb::ButtonApplication {
                id: 0,
                params: String::new(),
            })),
            at("application.id"),
        ),
        ("action without type", action(0, "x"), at("action.type")),
        ("unknown action", action(8, "x"), at("action.type")),
        (
            "PUT without value",
            action(pb::ButtonActionType::Put.into(), ""),
            at("action.value"),
        ),
        (
            "DIALOG of neither form",
            action(pb::ButtonActionType::Dialog.into(), "support"),
            at("action.value"),
        ),
        (
            "extra in lower case",
            button(pb::KeyboardButton {
                extra: Some(keys(&[("badge", "1")])),
                ..link()
            }),
            at("extra"),
        ),
        (
            "extra that a field gives",
            button(pb::KeyboardButton {
                extra: Some(keys(&[("TEXT", "x"), ("NEW", "x")])),
                ..link()
            }),
            at("extra"),
        ),
        (
            "raw of nothing",
            of_kind(Kind::Raw(Struct::default())),
            at("raw"),
        ),
        (
            "raw in lower case",
            button(pb::KeyboardButton {
                kind: Some(Kind::Raw(keys(&[("text", "x")]))),
                ..pb::KeyboardButton::default()
            }),
            at("raw"),
        ),
        (
            "raw that a field gives",
            of_kind(Kind::Raw(keys(&[("TEXT", "x")]))),
            at("raw"),
        ),
        (
            "60,000 bytes",
            button(pb::KeyboardButton {
                text: "x".repeat(60_000),
                ..link()
            }),
            vec!["content.keyboard".to_owned()],
        ),
        (
            "two wrong buttons",
            keyboard(pb::Keyboard {
                buttons: vec![
                    link(),
                    pb::KeyboardButton {
                        text: String::new(),
                        ..link()
                    },
                    pb::KeyboardButton {
                        bg_color: "x".to_owned(),
                        ..link()
                    },
                ],
                ..pb::Keyboard::default()
            }),
            vec![
                "content.keyboard.buttons[1].text".to_owned(),
                "content.keyboard.buttons[2].bg_color".to_owned(),
            ],
        ),
    ];
    for (name, content, fields) in rows {
        let outcome = scene.bots.answer_command(with_content(Some(content))).await;
        refused_for(
            (name, outcome),
            &fields.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    assert_eq!(scene.calls().len(), calls, "{:?}", scene.calls());
}

#[tokio::test(start_paused = true)]
async fn attach_is_checked_key_by_key() {
    let (mut scene, calls) = scene().await;
    let first = "content.attach.blocks[0]";
    let at = |field: &str| vec![format!("{first}.{field}")];
    let message = || pb::AttachBlock {
        block: Some(Block::Message("Hello".to_owned())),
    };
    let file = |link: &str, size| pb::AttachFile {
        link: link.to_owned(),
        size,
        name: None,
    };
    let right = "https://example.com/";
    let rows: Vec<(&str, pb::MessageContent, Vec<String>)> = vec![
        (
            "no block",
            attach(pb::Attach::default()),
            vec!["content.attach.blocks".to_owned()],
        ),
        (
            "colour of two digits, unknown token",
            attach(pb::Attach {
                blocks: vec![message()],
                color: "#12".to_owned(),
                color_token: 9,
                ..pb::Attach::default()
            }),
            vec![
                "content.attach.color_token".to_owned(),
                "content.attach.color".to_owned(),
            ],
        ),
        (
            "extra BLOCKS",
            attach(pb::Attach {
                blocks: vec![message()],
                extra: Some(keys(&[("BLOCKS", "x")])),
                ..pb::Attach::default()
            }),
            vec!["content.attach.extra".to_owned()],
        ),
        (
            "extra that a field gives, and lower case",
            attach(pb::Attach {
                blocks: vec![message()],
                id: Some(1),
                extra: Some(keys(&[("ID", "x"), ("id", "x")])),
                ..pb::Attach::default()
            }),
            vec![
                "content.attach.extra".to_owned(),
                "content.attach.extra".to_owned(),
            ],
        ),
        ("no kind", block(None), vec![first.to_owned()]),
        (
            "empty message",
            block(Some(Block::Message(String::new()))),
            at("message"),
        ),
        (
            "link to nowhere, with a preview by javascript, both descriptions, no height and ids of 0",
            block(Some(Block::Link(pb::AttachLink {
                link: String::new(),
                description: Some("x".to_owned()),
                html: Some("x".to_owned()),
                preview: Some("javascript:x".to_owned()),
                height: Some(0),
                user_id: Some(0),
                chat_id: Some(-1),
                ..pb::AttachLink::default()
            }))),
            [
                at("link.link"),
                at("link.html"),
                at("link.preview"),
                at("link.height"),
                at("link.user_id"),
                at("link.chat_id"),
            ]
            .concat(),
        ),
        (
            "user without name, with a wrong picture, kind and bot",
            block(Some(Block::User(pb::AttachUser {
                avatar: Some("picture.png".to_owned()),
                avatar_type: 4,
                bot_id: Some(0),
                ..pb::AttachUser::default()
            }))),
            [
                at("user.name"),
                at("user.avatar"),
                at("user.bot_id"),
                at("user.avatar_type"),
            ]
            .concat(),
        ),
        (
            "grid of nothing",
            block(Some(Block::Grid(pb::AttachGrid::default()))),
            at("grid.items"),
        ),
        (
            "grid without layout",
            grid(pb::AttachGridItem::default()),
            at("grid.items[0].display"),
        ),
        (
            "grid of unknown layout, wrong colour, link and width",
            grid(pb::AttachGridItem {
                display: 5,
                color: "#12345".to_owned(),
                link: Some("ftp://example.com".to_owned()),
                width: Some(-1),
                ..pb::AttachGridItem::default()
            }),
            [
                at("grid.items[0].display"),
                at("grid.items[0].width"),
                at("grid.items[0].color"),
                at("grid.items[0].link"),
            ]
            .concat(),
        ),
        (
            "no picture",
            block(Some(Block::Images(pb::AttachImages::default()))),
            at("images.items"),
        ),
        (
            "second picture without link",
            block(Some(Block::Images(pb::AttachImages {
                items: vec![
                    pb::AttachImage {
                        link: right.to_owned(),
                        ..pb::AttachImage::default()
                    },
                    pb::AttachImage::default(),
                ],
            }))),
            at("images.items[1].link"),
        ),
        (
            "no file",
            block(Some(Block::Files(pb::AttachFiles::default()))),
            at("files.items"),
        ),
        (
            "file of less than nothing",
            block(Some(Block::Files(pb::AttachFiles {
                items: vec![file(right, Some(-1))],
            }))),
            at("files.items[0].size"),
        ),
        (
            "delimiter of no size and colour",
            block(Some(Block::Delimiter(pb::AttachDelimiter {
                size: Some(0),
                color: "grey".to_owned(),
            }))),
            [at("delimiter.size"), at("delimiter.color")].concat(),
        ),
        (
            "raw in lower case",
            block(Some(Block::Raw(pb::AttachRaw {
                key: "vote".to_owned(),
                value: None,
            }))),
            at("raw.key"),
        ),
        (
            "60,000 bytes",
            block(Some(Block::Message("x".repeat(60_000)))),
            vec!["content.attach".to_owned()],
        ),
        (
            "third block",
            attach(pb::Attach {
                blocks: vec![message(), message(), pb::AttachBlock { block: None }],
                ..pb::Attach::default()
            }),
            vec!["content.attach.blocks[2]".to_owned()],
        ),
    ];
    for (name, content, fields) in rows {
        let outcome = scene.bots.answer_command(with_content(Some(content))).await;
        refused_for(
            (name, outcome),
            &fields.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    }
    assert_eq!(scene.calls().len(), calls, "{:?}", scene.calls());
}
