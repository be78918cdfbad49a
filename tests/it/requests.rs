//! What leaves for the portal, against the documented samples.
//!
//! Each sample that we send is brought about through the API, and the request in the portal's journal
//! compared with it value by value; only ids, tokens and offsets are this portal's own. A sample that
//! is in neither table fails a test.

use std::{collections::BTreeSet, fs, time::Duration};

use bitrix24_gateway::proto::v1::{
    self as pb, attach_block::Block, keyboard_button::Kind, update_command_request,
};
use bitrix24_sim::Encoding;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::scene::{Scene, answer, content, until};

/// Samples of what we send.
const SENT: [&str; 19] = [
    "im.message.command.basic.form",
    "im.message.command.basic.request.json",
    "imbot.v2.Bot.get.by-code.request.json",
    "imbot.v2.Bot.register.basic.request.json",
    "imbot.v2.Chat.Message.send.attach-card.request.json",
    "imbot.v2.Chat.Message.send.attach-full.request.json",
    "imbot.v2.Chat.Message.send.attach-short.request.json",
    "imbot.v2.Chat.Message.send.bbcode.request.json",
    "imbot.v2.Chat.Message.send.keyboard-buttons-object.request.json",
    "imbot.v2.Chat.Message.send.keyboard-link.request.json",
    "imbot.v2.Chat.Message.send.text.request.json",
    "imbot.v2.Command.answer.basic.request.json",
    "imbot.v2.Command.list.basic.request.json",
    "imbot.v2.Command.register.basic.request.json",
    "imbot.v2.Command.register.fields-form.request.json",
    "imbot.v2.Command.update.delete-translation.request.json",
    "imbot.v2.Command.update.translations.request.json",
    "imbot.v2.Event.get.ack.request.json",
    "imbot.v2.Event.get.basic.request.json",
];

/// Samples of what we do not send.
const NOT_SENT: [(&str, &str); 6] = [
    (
        "batch.independent.request.json",
        "entries: portal/wire/batch/tests.rs",
    ),
    (
        "batch.linked.request.json",
        "refused as an entry: portal/wire/batch/tests.rs",
    ),
    (
        "imbot.v2.Bot.list.filtered.request.json",
        "not called; read by the simulated portal's tests",
    ),
    (
        "imbot.v2.Command.register.legacy-flat.request.json",
        "the older form, which must never leave: see below",
    ),
    (
        "imbot.v2.Event.get.with-user-events.request.json",
        "not asked for; read by the simulated portal's tests",
    ),
    (
        "oauth.refresh.basic.request.json",
        "there is no refresh: webhooks only",
    ),
];

/// What is this portal's own, by name: its value in a sample means nothing here.
const OWN: [&str; 10] = [
    "botId",
    "botToken",
    "commandId",
    "messageId",
    "dialogId",
    "offset",
    "limit",
    "BOT_ID",
    "MESSAGE_ID",
    "code",
];

fn text(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bitrix24");
    fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

fn sample(name: &str) -> Value {
    assert!(SENT.contains(&name), "{name}");
    serde_json::from_str(&text(name)).unwrap()
}

/// The value with its portal's own parts replaced by what kind of value they are.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::Number(_) if OWN.contains(&name.as_str()) => json!("a number"),
                    Value::String(_) if OWN.contains(&name.as_str()) => json!("a text"),
                    _ => plain(value),
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn last(scene: &Scene, method: &str) -> Value {
    let request = scene
        .portal
        .journal()
        .calls(method)
        .pop()
        .unwrap_or_else(|| panic!("no {method}"));
    assert_eq!(request.encoding, Encoding::Json, "{method}");
    request.params
}

fn is_sample(sent: &Value, name: &str) {
    assert_eq!(plain(sent), plain(&sample(name)), "{name}");
}

#[test]
fn every_sample_request_is_sent_or_said_not_to_be() {
    let listed: BTreeSet<_> = SENT
        .into_iter()
        .chain(NOT_SENT.into_iter().map(|(name, _)| name))
        .map(str::to_owned)
        .collect();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bitrix24");
    let present: BTreeSet<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".request.json") || *name == "im.message.command.basic.form")
        .collect();
    assert_eq!(listed, present);
    // And a test here names each that is sent, once in the table and once where it is compared.
    let tests = include_str!("requests.rs");
    for name in SENT {
        assert!(
            tests.matches(&format!("\"{name}\"")).count() > 1,
            "{name} is compared with nothing"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn bots_are_registered_and_read_as_documented() {
    let mut scene = Scene::start().await;
    let request = pb::RegisterBotRequest {
        bot_code: "support_bot".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Support Bot".to_owned()),
            work_position: Some("AI Assistant".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    scene.bots.register_bot(request).await.unwrap();
    // Registration looks by code first.
    let get = last(&scene, "imbot.v2.Bot.get");
    is_sample(&get, "imbot.v2.Bot.get.by-code.request.json");
    assert_eq!(get["code"], "support_bot");
    let register = last(&scene, "imbot.v2.Bot.register");
    is_sample(&register, "imbot.v2.Bot.register.basic.request.json");
    assert_eq!(register["fields"]["code"], "support_bot");
}

#[tokio::test(start_paused = true)]
async fn commands_are_registered_listed_and_changed_as_documented() {
    let mut scene = Scene::start().await;
    let bot_id = scene.helper().await;
    let old = scene.portal.commands(bot_id)[0].id;
    let remove = pb::UnregisterCommandRequest {
        bot_code: "helper".to_owned(),
        target: Some(pb::unregister_command_request::Target::CommandId(old)),
        ..pb::UnregisterCommandRequest::default()
    };
    let texts = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(language, text)| ((*language).to_owned(), (*text).to_owned()))
            .collect()
    };
    scene.bots.unregister_command(remove.clone()).await.unwrap();
    let command = pb::RegisterCommandRequest {
        bot_code: "helper".to_owned(),
        command: "help".to_owned(),
        title: texts(&[("en", "Help")]),
        hidden: Some(false),
        ..pb::RegisterCommandRequest::default()
    };
    scene.bots.register_command(command.clone()).await.unwrap();
    let register = "imbot.v2.Command.register";
    let sent = last(&scene, register);
    is_sample(&sent, "imbot.v2.Command.register.fields-form.request.json");
    is_sample(
        &last(&scene, "imbot.v2.Command.list"),
        "imbot.v2.Command.list.basic.request.json",
    );

    let made = scene.portal.commands(bot_id)[0].id;
    let remove = pb::UnregisterCommandRequest {
        target: Some(pb::unregister_command_request::Target::CommandId(made)),
        ..remove
    };
    scene.bots.unregister_command(remove).await.unwrap();
    let command = pb::RegisterCommandRequest {
        title: texts(&[("en", "Show help"), ("de", "Hilfe anzeigen")]),
        params: texts(&[("en", "query"), ("de", "Anfrage")]),
        hidden: None,
        ..command
    };
    scene.bots.register_command(command).await.unwrap();
    is_sample(
        &last(&scene, register),
        "imbot.v2.Command.register.basic.request.json",
    );

    let command_id = scene.portal.commands(bot_id)[0].id;
    let change = pb::UpdateCommandRequest {
        bot_code: "helper".to_owned(),
        target: Some(update_command_request::Target::CommandId(command_id)),
        title: texts(&[("en", "Updated help"), ("de", "Aktualisierte Hilfe")]),
        ..pb::UpdateCommandRequest::default()
    };
    scene.bots.update_command(change.clone()).await.unwrap();
    let update = "imbot.v2.Command.update";
    is_sample(
        &last(&scene, update),
        "imbot.v2.Command.update.translations.request.json",
    );
    let change = pb::UpdateCommandRequest {
        title: texts(&[("de", "Hilfe")]),
        remove_title_languages: vec!["en".to_owned()],
        ..change
    };
    scene.bots.update_command(change).await.unwrap();
    is_sample(
        &last(&scene, update),
        "imbot.v2.Command.update.delete-translation.request.json",
    );

    let journal = scene.portal.journal();
    for request in [journal.calls(register), journal.calls(update)].concat() {
        for flat in [
            "command",
            "title",
            "params",
            "hidden",
            "common",
            "extranetSupport",
        ] {
            assert!(
                request.params.get(flat).is_none(),
                "the older flat form: {}",
                request.params
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_fetched_and_acknowledged_as_documented() {
    let mut scene = Scene::start().await;
    let bot_id = scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    stream.event().await;
    let fetch = "imbot.v2.Event.get";
    until("the event is acknowledged", || {
        scene.portal.pending_events(bot_id).is_empty()
    })
    .await;
    let fetched = scene.portal.journal().calls(fetch);
    // The first fetch acknowledges nothing.
    assert!(
        fetched[0].params.get("offset").is_none(),
        "{}",
        fetched[0].params
    );
    let sent = last(&scene, fetch);
    is_sample(&sent, "imbot.v2.Event.get.basic.request.json");
    let mut without_limit = sent;
    without_limit.as_object_mut().unwrap().remove("limit");
    is_sample(&without_limit, "imbot.v2.Event.get.ack.request.json");
}

#[tokio::test(start_paused = true)]
async fn commands_are_executed_by_the_documented_form() {
    let mut scene = Scene::start().await;
    let bot_id = scene.helper().await;
    let message_id = scene.anna_types("hello");
    let request = pb::ExecuteCommandRequest {
        bot_id,
        message_id,
        command: "task".to_owned(),
        params: "task #1".to_owned(),
        ..pb::ExecuteCommandRequest::default()
    };
    scene.bots.execute_command(request).await.unwrap();
    let sent = scene
        .portal
        .journal()
        .calls("im.message.command")
        .pop()
        .unwrap();
    assert_eq!(sent.encoding, Encoding::Form);
    // Everything in a form is text.
    let as_text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let form = text("im.message.command.basic.form");
    let form: Vec<_> = form
        .trim()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .collect();
    let json = sample("im.message.command.basic.request.json");
    let members = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(members(&sent.params), members(&json));
    assert_eq!(
        members(&sent.params),
        form.iter().map(|(name, _)| (*name).to_owned()).collect()
    );
    for (name, own) in [("BOT_ID", bot_id), ("MESSAGE_ID", message_id)] {
        assert_eq!(as_text(&sent.params[name]), own.to_string());
    }
    for name in ["COMMAND", "COMMAND_PARAMS"] {
        assert_eq!(sent.params[name], json[name]);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_and_messages_are_sent_as_documented() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let bot_id = scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let here = "Here is the help text...";
    scene.anna_types("/help");
    let (_, event) = stream.event().await;
    scene
        .bots
        .answer_command(answer(&event, here))
        .await
        .unwrap();
    let sent = last(&scene, "imbot.v2.Command.answer");
    is_sample(&sent, "imbot.v2.Command.answer.basic.request.json");

    for (name, content) in messages(bot_id) {
        scene.anna_types("/help");
        let (_, event) = stream.event().await;
        // Beyond the answer window.
        sleep(Duration::from_secs(700)).await;
        let request = pb::AnswerCommandRequest {
            content: Some(content),
            if_window_closed: pb::IfWindowClosed::SendMessage.into(),
            ..answer(&event, "")
        };
        let answered = scene
            .bots
            .answer_command(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            answered.outcome(),
            pb::AnswerOutcome::SentAsMessage,
            "{name}"
        );
        is_sample(&last(&scene, "imbot.v2.Chat.Message.send"), name);
    }
}

/// The messages of the samples, as a caller says them.
fn messages(bot_id: i64) -> Vec<(&'static str, pb::MessageContent)> {
    let button = |text: &str, kind: Kind| pb::KeyboardButton {
        text: text.to_owned(),
        kind: Some(kind),
        ..pb::KeyboardButton::default()
    };
    let attached = |text: &str, attach: pb::Attach| pb::MessageContent {
        attach: Some(attach),
        ..content(text)
    };
    let block = |block: Block| pb::AttachBlock { block: Some(block) };
    let available = || {
        block(Block::Message(
            "The API will be available in the update [B]im 24.0.0[/B]".to_owned(),
        ))
    };
    let open = pb::KeyboardButton {
        bg_color_token: pb::ColorToken::Primary.into(),
        ..button("Open", Kind::Link("https://example.com".to_owned()))
    };
    let put = pb::ButtonAction {
        r#type: pb::ButtonActionType::Put.into(),
        value: "/help".to_owned(),
    };
    let new_line = pb::KeyboardButton {
        kind: Some(Kind::NewLine(pb::ButtonNewLine {})),
        ..pb::KeyboardButton::default()
    };
    vec![
        (
            "imbot.v2.Chat.Message.send.text.request.json",
            content("Enter search string"),
        ),
        (
            "imbot.v2.Chat.Message.send.bbcode.request.json",
            content(
                "[b]Important message[/b][br]Open [url=https://bitrix24.com]site[/url][br][send=/help]Help[/send]",
            ),
        ),
        (
            "imbot.v2.Chat.Message.send.keyboard-link.request.json",
            pb::MessageContent {
                keyboard: Some(pb::Keyboard {
                    buttons: vec![open],
                    ..pb::Keyboard::default()
                }),
                ..content("Hello from bot!")
            },
        ),
        (
            "imbot.v2.Chat.Message.send.keyboard-buttons-object.request.json",
            pb::MessageContent {
                keyboard: Some(pb::Keyboard {
                    buttons: vec![
                        button(
                            "Open website",
                            Kind::Link("https://www.example.com/".to_owned()),
                        ),
                        new_line,
                        button("Insert command", Kind::Action(put)),
                    ],
                    bot_id: Some(bot_id),
                    extra: None,
                }),
                ..content("Select action")
            },
        ),
        (
            "imbot.v2.Chat.Message.send.attach-short.request.json",
            attached(
                "Text block",
                pb::Attach {
                    blocks: vec![available()],
                    ..pb::Attach::default()
                },
            ),
        ),
        (
            "imbot.v2.Chat.Message.send.attach-full.request.json",
            attached(
                "Attachment with primary color",
                pb::Attach {
                    blocks: vec![available()],
                    id: Some(1),
                    color_token: pb::ColorToken::Primary.into(),
                    color: "#29619b".to_owned(),
                    extra: None,
                },
            ),
        ),
        (
            "imbot.v2.Chat.Message.send.attach-card.request.json",
            attached("Task Card", card()),
        ),
    ]
}

fn card() -> pb::Attach {
    use pb::AttachGridDisplay as Display;
    let item = |display: Display, name: &str, value: &str, width| pb::AttachGridItem {
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
    let site = || "https://shelenkov.com/".to_owned();
    let summary = "It is necessary to implement the ability to add structured entities to messages and \
                   notifications in the messenger.";
    let blocks = vec![
        Block::User(pb::AttachUser {
            name: "Mantis Notifications".to_owned(),
            avatar: Some("https://files.shelenkov.com/bitrix/images/mantis2.jpg".to_owned()),
            link: Some(site()),
            ..pb::AttachUser::default()
        }),
        Block::Link(pb::AttachLink {
            link: site(),
            name: Some("Open Mantis from external network".to_owned()),
            ..pb::AttachLink::default()
        }),
        line(),
        grid(vec![
            item(Display::Line, "Project", "BUGS", Some(100)),
            item(Display::Line, "Category", "im", Some(100)),
            item(Display::Block, "Summary", summary, None),
        ]),
        line(),
        grid(vec![
            item(Display::Row, "New Request", "", Some(100)),
            item(Display::Row, "Assigned To", "Eugene Shelenkov", Some(100)),
            item(
                Display::Row,
                "Deadline",
                "11/04/2015 05:50:43 PM",
                Some(100),
            ),
        ]),
    ];
    pb::Attach {
        blocks: blocks
            .into_iter()
            .map(|block| pb::AttachBlock { block: Some(block) })
            .collect(),
        ..pb::Attach::default()
    }
}
