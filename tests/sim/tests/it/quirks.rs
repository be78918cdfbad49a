//! Where sources disagree, the portal can show either behaviour (C10, C25).

use bitrix24_sim::{
    AppInfo, BackgroundNull, BotForm, EmptyMap, EntityShape, ErrorStatus, ForwardShape, IdShape,
    LastActivity, MissingUuid, NothingIs, Quirks, RateLimitStatus, WrongCode,
};
use serde_json::{Value, json};

use crate::world::{TOKEN, World};

/// The data of the event of one private message, with `change` in force.
async fn event(change: impl FnOnce(&mut Quirks)) -> Value {
    let world = World::new().await;
    world.portal.set_quirks(change);
    let bot = world.bot("a").await;
    let bot = world.portal.bot_by_code("a").map_or(bot, |seen| seen.id);
    world.portal.user(1).types_to_bot(bot, "hi").unwrap();
    world.events(bot).await.remove(0).1
}

#[tokio::test(start_paused = true)]
async fn ids_can_be_strings() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "help", json!({})).await;
    world
        .portal
        .set_quirks(|quirks| quirks.ids = IdShape::Strings);
    let answer = world.of_bot("imbot.v2.Command.list", bot, json!({})).await;
    let command = &answer.result()["commands"][0];
    assert!(command["id"].is_string() && command["botId"] == json!(bot.to_string()));
}

#[tokio::test(start_paused = true)]
async fn empty_maps_have_three_shapes() {
    for (shape, expected) in [
        (EmptyMap::List, json!([])),
        (EmptyMap::Object, json!({})),
        (EmptyMap::Null, Value::Null),
    ] {
        let data = event(|quirks| quirks.empty_maps = shape).await;
        assert_eq!(data["message"]["params"], expected);
    }
}

#[tokio::test(start_paused = true)]
async fn events_can_be_reduced() {
    let data = event(|quirks| {
        quirks.event_chat = EntityShape::IdOnly;
        quirks.event_user = EntityShape::Empty;
        quirks.event_message = EntityShape::Sample;
    })
    .await;
    assert_eq!(data["chat"].as_object().unwrap().len(), 1);
    assert_eq!(data["user"], json!([]));
    assert!(data["message"]["text"] == "hi" && data["message"].get("chat_id").is_none());
}

#[tokio::test(start_paused = true)]
async fn events_vary_in_small_things() {
    let data = event(|_| {}).await;
    assert_eq!(data["message"]["uuid"], Value::Null);
    assert_eq!(data["message"]["chat_id"], data["message"]["chatId"]);
    assert_eq!(data["chat"]["parentChatId"], 0);
    let data = event(|quirks| {
        quirks.missing_uuid = MissingUuid::EmptyString;
        quirks.no_parent = NothingIs::Null;
        quirks.chat_color = false;
        quirks.last_activity = LastActivity::Date;
        quirks.unknown_fields = true;
    })
    .await;
    assert_eq!(data["message"]["uuid"], "");
    assert_eq!(
        (&data["chat"]["parentChatId"], &data["chat"]["color"]),
        (&Value::Null, &Value::Null)
    );
    assert!(data["user"]["lastActivityDate"].is_string());
    assert!(data["bot"]["introducedLater"].is_object());
}

#[tokio::test(start_paused = true)]
async fn forwards_have_two_shapes() {
    for (shape, is_text) in [
        (ForwardShape::Coded, true),
        (ForwardShape::Documented, false),
    ] {
        let world = World::new().await;
        world.portal.set_quirks(|quirks| quirks.forward = shape);
        let supervisor = world.bot_of("s", "supervisor").await;
        world
            .portal
            .add_bot_to_chat(supervisor, world.chat.id, 1)
            .unwrap();
        let original = world.portal.user(1).types(&world.dialog(), "x").unwrap();
        let key = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
        let send = json!({"dialogId": world.dialog(), "fields": {"forwardIds": {key: original}}});
        let sent = world
            .of_bot("imbot.v2.Chat.Message.send", supervisor, send)
            .await;
        let sent = sent.result()["uuidMap"][key].as_i64().unwrap();
        world.portal.user(1).reacts(sent, "like").unwrap();
        let (_, data) = world.events(supervisor).await.pop().unwrap();
        assert_eq!(data["message"]["forward"]["id"].is_string(), is_text);
        assert_eq!(data["message"]["forward"]["userId"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_vary_in_their_envelope() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({})).await;
    let message = world.portal.user(1).types_to_bot(bot, "/help").unwrap();
    world.portal.set_quirks(|quirks| {
        quirks.answer_is_object = false;
        quirks.time = false;
    });
    let params = json!({"commandId": command, "messageId": message, "dialogId": "1",
        "fields": {"message": "x"}});
    let answer = world.of_bot("imbot.v2.Command.answer", bot, params).await;
    assert_eq!(answer.body, json!({"result": true}));
}

#[tokio::test(start_paused = true)]
async fn errors_vary_in_status_and_code() {
    let world = World::new().await;
    let call = || world.call("imbot.v2.Bot.list", json!({}));
    world
        .portal
        .set_quirks(|quirks| quirks.method_error_status = ErrorStatus::Forbidden);
    assert_eq!(call().await.status, 403);
    world
        .portal
        .set_quirks(|quirks| quirks.numeric_error_codes = true);
    assert_eq!(call().await.body["error"], 0);
    world
        .portal
        .set_quirks(|quirks| quirks.errors_with_200 = true);
    assert_eq!(call().await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn authorization_errors_follow_the_pages_or_the_code() {
    let world = World::new().await;
    let wrong = || world.attempt("/rest/1/wrong/profile", "application/json", "{}".into());
    world
        .portal
        .set_quirks(|quirks| quirks.auth_errors_are_401 = false);
    assert_eq!(wrong().await.unwrap().status, 403);
    world
        .portal
        .set_quirks(|quirks| quirks.wrong_code = WrongCode::NoAuthFound);
    let answer = wrong().await.unwrap();
    assert_eq!((answer.status, answer.error()), (401, "NO_AUTH_FOUND"));
    world.portal.set_limits(bitrix24_sim::Limits {
        threshold: Some(0),
        ..Default::default()
    });
    for (status, expected) in [
        (RateLimitStatus::TooManyRequests, 429),
        (RateLimitStatus::Unauthorized, 401),
        (RateLimitStatus::ServiceUnavailable, 503),
    ] {
        world
            .portal
            .set_quirks(|quirks| quirks.rate_limit_status = status);
        let answer = world.call("profile", json!({})).await;
        assert_eq!(
            (answer.status, answer.error()),
            (expected, "QUERY_LIMIT_EXCEEDED")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_foreign_bot_and_the_application_can_be_hidden() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.portal.set_quirks(|quirks| {
        quirks.foreign_bot = BotForm::Reduced;
        quirks.app_info = AppInfo::Denied;
        quirks.background_null = BackgroundNull::Resets;
    });
    let answer = world
        .call("imbot.v2.Bot.get", json!({"botToken": "x", "botId": bot}))
        .await;
    assert_eq!(answer.result()["bot"].as_object().unwrap().len(), 3);
    let answer = world.call("app.info", json!({})).await;
    assert_eq!((answer.status, answer.error()), (400, "ACCESS_DENIED"));
    for value in [json!("mint"), Value::Null] {
        let params = json!({"botId": bot, "botToken": TOKEN, "fields": {"backgroundId": value}});
        world.call("imbot.v2.Bot.update", params).await.result();
    }
    assert_eq!(world.portal.bots()[0].background_id, None);
}

#[tokio::test(start_paused = true)]
async fn slashes_are_escaped_or_not() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "help", json!({})).await;
    let answer = world.of_bot("imbot.v2.Command.list", bot, json!({})).await;
    assert!(answer.raw.contains(r#""\/help""#));
    world
        .portal
        .set_quirks(|quirks| *quirks = Quirks::documented());
    let answer = world.of_bot("imbot.v2.Command.list", bot, json!({})).await;
    assert!(answer.raw.contains(r#""/help""#));
}
