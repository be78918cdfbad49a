//! Every sample request the portal serves is accepted, and answered in the sample's shape.

use serde_json::{Value, json};

use crate::world::{Answer, World};

macro_rules! sample {
    ($name:literal) => {
        serde_json::from_str::<Value>(include_str!(concat!("../fixtures/", $name, ".json")))
            .unwrap()
    };
}

/// Entities whose samples are reduced: the portal shows more.
const REDUCED: [&str; 6] = ["users", "user", "chat", "message", "bot", "time"];

/// Compares names and types; values may differ.
#[track_caller]
fn same_shape(sample: &Value, real: &Value, at: &str) {
    match (sample, real) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(sample), Value::Array(real)) if sample.is_empty() => {
            assert!(real.is_empty())
        }
        (Value::Array(sample), Value::Object(_)) if sample.is_empty() => {}
        (Value::Object(sample), Value::Object(real)) => {
            for (name, value) in sample {
                let other = real
                    .get(name)
                    .unwrap_or_else(|| panic!("{at}.{name} is missing"));
                same_shape(value, other, &format!("{at}.{name}"));
            }
            let reduced = REDUCED.iter().any(|entity| at.contains(entity));
            let more = real.keys().find(|name| !sample.contains_key(*name));
            assert!(
                reduced || more.is_none(),
                "{at} has {more:?} beyond the sample"
            );
        }
        (Value::Array(sample), Value::Array(real)) => {
            if let (Some(sample), Some(real)) = (sample.first(), real.first()) {
                same_shape(sample, real, &format!("{at}[]"));
            }
        }
        // Dates of activity are `false` when unknown.
        (Value::String(_), Value::Bool(false)) => {}
        _ => {
            let kind = |value: &Value| std::mem::discriminant(value);
            assert_eq!(kind(sample), kind(real), "{at}: {sample} against {real}");
        }
    }
}

/// The ids and names of the samples, as this portal knows them.
struct Stage {
    world: World,
    bot: i64,
    command: i64,
    message: i64,
}

const SAMPLE_TOKEN: &str = "my_bot_token";

impl Stage {
    async fn set() -> Self {
        let world = World::new().await;
        let register = sample!("imbot.v2.Bot.register.basic.request");
        let answer = world.call("imbot.v2.Bot.register", register).await;
        let bot = answer.result()["bot"]["id"].as_i64().unwrap();
        world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
        let mut stage = Self {
            world,
            bot,
            command: 0,
            message: 0,
        };
        let answer = stage
            .call(
                "imbot.v2.Command.register",
                sample!("imbot.v2.Command.register.basic.request"),
            )
            .await;
        stage.command = answer.result()["command"]["id"].as_i64().unwrap();
        let typed = stage
            .world
            .portal
            .user(1)
            .types(&stage.world.dialog(), "/help topic");
        stage.message = typed.unwrap();
        stage
    }

    async fn call(&self, method: &str, mut request: Value) -> Answer {
        self.adapt(&mut request);
        self.world.call(method, request).await
    }

    fn adapt(&self, request: &mut Value) {
        for (name, value) in [
            ("botId", json!(self.bot)),
            ("BOT_ID", json!(self.bot)),
            ("botToken", json!(SAMPLE_TOKEN)),
            ("commandId", json!(self.command)),
            ("messageId", json!(self.message)),
            ("MESSAGE_ID", json!(self.message)),
            ("dialogId", json!(self.world.dialog())),
        ] {
            if request.get(name).is_some() {
                request[name] = value;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sample_bot_calls_are_served() {
    let stage = Stage::set().await;
    let ok = sample!("imbot.v2.Bot.register.ok.response");
    let register = sample!("imbot.v2.Bot.register.basic.request");
    let answer = stage.call("imbot.v2.Bot.register", register).await;
    same_shape(&ok, &answer.body, "register");
    let get = stage
        .call(
            "imbot.v2.Bot.get",
            sample!("imbot.v2.Bot.get.by-code.request"),
        )
        .await;
    same_shape(&sample!("imbot.v2.Bot.get.ok.response"), &get.body, "get");
    let foreign = json!({"botToken": "other", "code": "support_bot"});
    let get = stage.world.call("imbot.v2.Bot.get", foreign).await;
    same_shape(
        &sample!("imbot.v2.Bot.get.ok-brief-foreign.response"),
        &get.body,
        "get",
    );
    let list = stage
        .call(
            "imbot.v2.Bot.list",
            sample!("imbot.v2.Bot.list.filtered.request"),
        )
        .await;
    same_shape(
        &sample!("imbot.v2.Bot.list.ok.response"),
        &list.body,
        "list",
    );
    let list = stage
        .world
        .call("imbot.v2.Bot.list", json!({"botToken": "other"}))
        .await;
    same_shape(
        &sample!("imbot.v2.Bot.list.empty.response"),
        &list.body,
        "list",
    );
    assert_eq!(list.result()["bots"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn sample_command_calls_are_served() {
    let stage = Stage::set().await;
    let method = "imbot.v2.Command.register";
    let ok = sample!("imbot.v2.Command.register.ok.response");
    for request in [
        sample!("imbot.v2.Command.register.basic.request"),
        sample!("imbot.v2.Command.register.fields-form.request"),
    ] {
        same_shape(&ok, &stage.call(method, request).await.body, "register");
    }
    let flat = sample!("imbot.v2.Command.register.legacy-flat.request");
    assert_eq!(stage.call(method, flat).await.status, 400);
    let list = stage.call(
        "imbot.v2.Command.list",
        sample!("imbot.v2.Command.list.basic.request"),
    );
    same_shape(
        &sample!("imbot.v2.Command.list.ok.response"),
        &list.await.body,
        "list",
    );
    for request in [
        sample!("imbot.v2.Command.update.translations.request"),
        sample!("imbot.v2.Command.update.delete-translation.request"),
    ] {
        let answer = stage.call("imbot.v2.Command.update", request).await;
        same_shape(
            &sample!("imbot.v2.Command.update.ok.response"),
            &answer.body,
            "update",
        );
    }
    let titles = stage.world.portal.commands(stage.bot)[0].titles.clone();
    assert_eq!(titles, [("de".to_owned(), "Hilfe".to_owned())]);
    let request = sample!("imbot.v2.Command.answer.basic.request");
    let answer = stage.call("imbot.v2.Command.answer", request.clone()).await;
    same_shape(
        &sample!("imbot.v2.Command.answer.ok-object.response"),
        &answer.body,
        "answer",
    );
    stage
        .world
        .portal
        .set_quirks(|quirks| quirks.answer_is_object = false);
    let answer = stage.call("imbot.v2.Command.answer", request).await;
    same_shape(
        &sample!("imbot.v2.Command.answer.ok-bare-true.response"),
        &answer.body,
        "answer",
    );
    assert_eq!(stage.world.portal.messages(&stage.world.dialog()).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn sample_messages_are_served() {
    let stage = Stage::set().await;
    for request in [
        sample!("imbot.v2.Chat.Message.send.text.request"),
        sample!("imbot.v2.Chat.Message.send.bbcode.request"),
        sample!("imbot.v2.Chat.Message.send.keyboard-link.request"),
        sample!("imbot.v2.Chat.Message.send.keyboard-buttons-object.request"),
        sample!("imbot.v2.Chat.Message.send.attach-short.request"),
        sample!("imbot.v2.Chat.Message.send.attach-full.request"),
        sample!("imbot.v2.Chat.Message.send.attach-card.request"),
    ] {
        let answer = stage.call("imbot.v2.Chat.Message.send", request).await;
        same_shape(
            &sample!("imbot.v2.Chat.Message.send.ok.response"),
            &answer.body,
            "send",
        );
        let listed = sample!("imbot.v2.Chat.Message.send.ok-empty-map-as-list.response");
        same_shape(&listed, &answer.body, "send");
    }
}

#[tokio::test(start_paused = true)]
async fn sample_event_calls_are_served() {
    let stage = Stage::set().await;
    let basic = sample!("imbot.v2.Event.get.basic.request");
    let answer = stage.call("imbot.v2.Event.get", basic).await;
    same_shape(
        &sample!("imbot.v2.Event.get.ok.response")["time"],
        &answer.body["time"],
        "time",
    );
    let three = sample!("imbot.v2.Event.get.three-events.response");
    let samples = three["result"]["events"].as_array().unwrap();
    stage
        .world
        .portal
        .user(1)
        .types_to_bot(stage.bot, "Hello bot!")
        .unwrap();
    let answer = stage
        .call("imbot.v2.Event.get", json!({"botId": 0, "botToken": ""}))
        .await;
    let events = answer.result()["events"].as_array().unwrap();
    assert_eq!(events.len(), 3);
    for event in events {
        let sample = samples
            .iter()
            .find(|sample| sample["type"] == event["type"])
            .unwrap();
        same_shape(sample, event, "event");
    }
    let ack = sample!("imbot.v2.Event.get.ack.request");
    let answer = stage.call("imbot.v2.Event.get", ack).await;
    assert_eq!(answer.result()["events"].as_array().unwrap().len(), 3);
    let user_events = sample!("imbot.v2.Event.get.with-user-events.request");
    let answer = stage.call("imbot.v2.Event.get", user_events).await;
    assert_eq!(
        answer.body,
        sample!("imbot.v2.Event.get.user-not-subscribed.error")
    );
}

#[tokio::test(start_paused = true)]
async fn a_system_message_looks_like_its_sample() {
    let stage = Stage::set().await;
    let supervisor = stage.world.bot_of("s", "supervisor").await;
    stage
        .world
        .portal
        .add_bot_to_chat(supervisor, stage.world.chat.id, 1)
        .unwrap();
    stage
        .world
        .portal
        .posts_system(stage.world.chat.id, "Hello bot!")
        .unwrap();
    let (_, data) = stage.world.events(supervisor).await.pop().unwrap();
    let sample = sample!("ONIMBOTV2MESSAGEADD.fetch-empty-arrays.event");
    same_shape(&sample["data"], &data, "data");
    assert_eq!(
        (&data["user"], &data["message"]["params"]),
        (&json!([]), &json!([]))
    );
}

#[tokio::test(start_paused = true)]
async fn sample_user_commands_are_served() {
    let stage = Stage::set().await;
    let ok = sample!("im.message.command.ok.response");
    let request = sample!("im.message.command.basic.request");
    same_shape(
        &ok["result"],
        stage.call("im.message.command", request).await.result(),
        "",
    );
    let form = include_str!("../fixtures/im.message.command.basic.form");
    let form = form.replace("34261", &stage.message.to_string());
    let answer = stage.world.form("im.message.command", &form).await;
    same_shape(&ok["result"], answer.result(), "");
}

#[tokio::test(start_paused = true)]
async fn sample_batches_are_served() {
    let stage = Stage::set().await;
    for request in [
        sample!("batch.independent.request"),
        sample!("batch.linked.request"),
    ] {
        let answer = stage.world.call("batch", request).await;
        let names = sample!("batch.ok.response")["result"]
            .as_object()
            .unwrap()
            .clone();
        let result = answer.result().as_object().unwrap();
        assert!(names.keys().eq(result.keys()));
        assert_eq!(result["result"]["get_user"]["ID"], "1");
        let errors = result["result_error"].as_object().unwrap().values();
        let mut codes = errors.map(|error| &error["error"]);
        assert!(codes.all(|code| code == "ERROR_METHOD_NOT_FOUND"));
    }
}

#[tokio::test(start_paused = true)]
async fn sample_errors_are_word_for_word() {
    let stage = Stage::set().await;
    let world = &stage.world;
    let bot = |more: Value| {
        let mut params = json!({"botId": stage.bot, "botToken": SAMPLE_TOKEN});
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        params
    };
    let taken =
        json!({"fields": {"code": "support_bot", "botToken": "x", "properties": {"name": "A"}}});
    let bare = json!({"fields": {"botToken": "x"}});
    let long = json!({"fields": {"botToken": "x".repeat(41)}});
    let absent = json!({"botId": 9999, "botToken": "x"});
    for (method, params, sample) in [
        (
            "imbot.v2.Bot.register",
            taken,
            sample!("imbot.v2.Bot.register.bot-code-already-taken.error"),
        ),
        (
            "imbot.v2.Bot.register",
            bare,
            sample!("imbot.v2.Bot.register.bot-code-required.error"),
        ),
        (
            "imbot.v2.Bot.register",
            long,
            sample!("imbot.v2.Bot.register.bot-token-invalid-length.error"),
        ),
        (
            "imbot.v2.Bot.list",
            json!({}),
            sample!("imbot.v2.Bot.list.bot-token-not-specified.error"),
        ),
        (
            "imbot.v2.Bot.get",
            absent.clone(),
            sample!("imbot.v2.Bot.get.bot-not-found.error"),
        ),
        (
            "imbot.v2.Event.get",
            absent,
            sample!("imbot.v2.Event.get.bot-not-found.error"),
        ),
        (
            "imbot.v2.Command.list",
            json!({"botId": stage.bot, "botToken": "x"}),
            sample!("imbot.v2.Command.answer.bot-ownership-error.error"),
        ),
        (
            "imbot.v2.Command.register",
            bot(json!({"fields": {"command": ""}})),
            sample!("imbot.v2.Command.register.command-required.error"),
        ),
        (
            "imbot.v2.Command.update",
            bot(json!({"commandId": 1, "fields": {"hidden": true}})),
            sample!("imbot.v2.Command.update.command-not-found.error"),
        ),
        (
            "imbot.v2.Chat.Message.send",
            bot(json!({"dialogId": world.dialog()})),
            sample!("imbot.v2.Chat.Message.send.empty-message.error"),
        ),
        (
            "im.message.command",
            json!({}),
            sample!("im.message.command.message-id-error.error"),
        ),
        (
            "im.message.command",
            json!({"MESSAGE_ID": 1, "BOT_ID": 1, "COMMAND": "x"}),
            sample!("im.message.command.params-error.error"),
        ),
        (
            "no.such.method",
            json!({}),
            sample!("system.error-method-not-found.error"),
        ),
    ] {
        assert_eq!(world.call(method, params).await.body, sample, "{method}");
    }
    let answer = world
        .attempt("/rest/1/x/profile", "application/json", String::new())
        .await
        .unwrap();
    assert_eq!(answer.body, sample!("system.invalid-credentials.error"));
}
