//! Bots (C17).

use bitrix24_sim::{Effect, Limits, TokenLengthCheck};
use serde_json::{Value, json};

use crate::world::{TOKEN, World};

async fn register(world: &World, fields: Value) -> crate::world::Answer {
    world
        .call("imbot.v2.Bot.register", json!({"fields": fields}))
        .await
}

fn good() -> Value {
    json!({"code": "a", "botToken": TOKEN, "properties": {"name": "A"}})
}

fn good_with(name: &str, value: Value) -> Value {
    let mut fields = good();
    fields[name] = value;
    fields
}

#[tokio::test(start_paused = true)]
async fn a_new_bot_has_the_documented_defaults() {
    let world = World::new().await;
    let answer = register(&world, good()).await;
    let bot = &answer.result()["bot"];
    for (name, expected) in [
        ("code", json!("a")),
        ("type", json!("bot")),
        ("eventMode", json!("fetch")),
        ("isHidden", json!(false)),
        ("isSupportOpenline", json!(false)),
        ("isReactionsEnabled", json!(true)),
        ("backgroundId", Value::Null),
        ("moduleId", json!("rest")),
    ] {
        assert_eq!(bot[name], expected, "{name}");
    }
    assert!(bot.get("appId").is_none());
    assert_eq!(answer.result()["users"][0]["type"], "bot");
}

#[tokio::test(start_paused = true)]
async fn registration_checks_in_the_order_of_the_contract() {
    let world = World::new().await;
    for (fields, expected) in [
        (json!({}), "BOT_TOKEN_NOT_SPECIFIED"),
        (
            json!({"botToken": "x".repeat(41)}),
            "BOT_TOKEN_INVALID_LENGTH",
        ),
        (
            json!({"botToken": "t", "eventMode": "x"}),
            "BOT_CODE_REQUIRED",
        ),
        (
            json!({"botToken": "t", "code": "a", "eventMode": "x"}),
            "BOT_PROPERTIES_REQUIRED",
        ),
        (
            good_with("eventMode", json!("push")),
            "BOT_INVALID_EVENT_MODE",
        ),
        (
            good_with("eventMode", json!("webhook")),
            "BOT_WEBHOOK_URL_REQUIRED",
        ),
        (good_with("type", json!("human")), "BOT_INVALID_TYPE"),
        (
            good_with("properties", json!({"name": "A", "avatar": "eA=="})),
            "BOT_AVATAR_INCORRECT_TYPE",
        ),
    ] {
        let answer = register(&world, fields).await;
        assert_eq!((answer.status, answer.error()), (400, expected));
    }
    let mut webhook = good_with("eventMode", json!("webhook"));
    webhook["webhookUrl"] = json!("https://localhost/x");
    assert_eq!(
        register(&world, webhook).await.error(),
        "BOT_INVALID_CALLBACK"
    );
    assert!(world.portal.bots().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_repeat_returns_the_existing_bot_and_ignores_all_fields() {
    let world = World::new().await;
    let first = register(&world, good()).await.result()["bot"]["id"].clone();
    let mut other = good_with("type", json!("nonsense"));
    other["properties"]["name"] = json!("B");
    let answer = register(&world, other).await;
    assert_eq!(answer.result()["bot"]["id"], first);
    assert_eq!(answer.result()["users"][0]["name"], "A");
    assert_eq!(world.portal.bots().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_code_belongs_to_the_token_that_registered_it() {
    let world = World::new().await;
    register(&world, good()).await.result();
    let answer = register(&world, good_with("botToken", json!("other"))).await;
    assert_eq!(answer.error(), "BOT_CODE_ALREADY_TAKEN");
    let answer = register(&world, good_with("code", json!("marta"))).await;
    assert_eq!(answer.error(), "BOT_CODE_ALREADY_TAKEN");
}

#[tokio::test(start_paused = true)]
async fn a_token_at_the_top_level_is_preferred() {
    let world = World::new().await;
    let params = json!({"botToken": "top", "fields": good()});
    world.call("imbot.v2.Bot.register", params).await.result();
    assert_eq!(world.portal.bots()[0].token.as_deref(), Some("top"));
}

#[tokio::test(start_paused = true)]
async fn a_long_token_is_refused_at_the_chosen_moment() {
    let world = World::new().await;
    register(&world, good()).await.result();
    let long = good_with("botToken", json!("x".repeat(41)));
    assert_eq!(
        register(&world, long.clone()).await.error(),
        "BOT_TOKEN_INVALID_LENGTH"
    );
    world
        .portal
        .set_quirks(|quirks| quirks.token_length = TokenLengthCheck::OnCreation);
    assert_eq!(
        register(&world, long).await.error(),
        "BOT_CODE_ALREADY_TAKEN"
    );
    register(&world, good_with("botToken", json!(TOKEN)))
        .await
        .result();
}

#[tokio::test(start_paused = true)]
async fn an_owner_has_a_hundred_bots_at_most() {
    let world = World::new().await;
    world.portal.set_limits(Limits {
        bots_per_owner: Some(2),
        ..Limits::none()
    });
    for code in ["a", "b"] {
        register(&world, good_with("code", json!(code)))
            .await
            .result();
    }
    let answer = register(&world, good_with("code", json!("c"))).await;
    assert_eq!(answer.error(), "BOT_LIMIT_EXCEEDED");
}

#[tokio::test(start_paused = true)]
async fn partial_properties_reset_the_others() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let update = json!({"fields": {"properties": {"name": "New", "color": "nonsense"}}});
    world
        .of_bot("imbot.v2.Bot.update", bot, update)
        .await
        .result();
    let seen = &world.portal.bots()[0];
    assert_eq!((seen.name.as_str(), seen.last_name.as_str()), ("New", ""));
    assert_eq!(seen.work_position, "Chat bot");
    world
        .portal
        .set_quirks(|quirks| quirks.partial_properties_reset = false);
    let update = json!({"fields": {"properties": {"workPosition": "W", "color": "lightBlue"}}});
    world
        .of_bot("imbot.v2.Bot.update", bot, update)
        .await
        .result();
    let update = json!({"fields": {"properties": {"name": ""}}});
    world
        .of_bot("imbot.v2.Bot.update", bot, update)
        .await
        .result();
    let seen = &world.portal.bots()[0];
    assert_eq!(
        (seen.name.as_str(), seen.work_position.as_str()),
        ("New", "W")
    );
    assert_eq!(seen.color, "#4ba5c3");
}

#[tokio::test(start_paused = true)]
async fn null_does_not_reset_the_background_but_an_empty_text_does() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    for (value, expected) in [
        (json!("mint"), Some("mint")),
        (Value::Null, Some("mint")),
        (json!(""), None),
    ] {
        let update = json!({"fields": {"backgroundId": value}});
        world
            .of_bot("imbot.v2.Bot.update", bot, update)
            .await
            .result();
        assert_eq!(world.portal.bots()[0].background_id.as_deref(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn rotation_trims_the_token_and_the_old_one_fails_at_once() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let rotate = json!({"fields": {"botToken": " next "}});
    world
        .of_bot("imbot.v2.Bot.update", bot, rotate.clone())
        .await
        .result();
    let answer = world.of_bot("imbot.v2.Bot.update", bot, rotate).await;
    assert_eq!(answer.error(), "BOT_OWNERSHIP_ERROR");
    let again = json!({"botId": bot, "botToken": "next", "fields": {"botToken": "next"}});
    world.call("imbot.v2.Bot.update", again).await.result();
    let effects = world.portal.journal().effects();
    let rotations = effects
        .iter()
        .filter(|e| matches!(e, Effect::TokenRotated { .. }));
    assert_eq!(rotations.count(), 1);
    let long = json!({"botId": bot, "botToken": "next", "fields": {"botToken": "x".repeat(41)}});
    let answer = world.call("imbot.v2.Bot.update", long).await;
    assert_eq!(answer.error(), "BOT_TOKEN_INVALID_LENGTH");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_bot_cannot_be_rotated_to() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    register(
        &world,
        json!({"code": "b", "botToken": "b", "properties": {"name": "B"}}),
    )
    .await;
    let rotate = json!({"fields": {"botToken": "b"}});
    let answer = world.of_bot("imbot.v2.Bot.update", bot, rotate).await;
    assert_eq!(answer.error(), "BOT_TOKEN_ROTATION_FAILED");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_callback_is_noticed_after_everything_else_was_saved() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let fields = json!({"botToken": "next", "isHidden": true, "eventMode": "webhook",
        "webhookUrl": "https://nowhere"});
    let answer = world
        .of_bot("imbot.v2.Bot.update", bot, json!({"fields": fields}))
        .await;
    assert_eq!(answer.error(), "BOT_INVALID_CALLBACK");
    let seen = &world.portal.bots()[0];
    assert!(seen.hidden && seen.token.as_deref() == Some("next"));
    assert_eq!(
        (seen.event_mode.as_str(), seen.webhook_url.as_str()),
        ("webhook", "")
    );
}

#[tokio::test(start_paused = true)]
async fn anybody_gets_a_bot_but_only_the_owner_sees_how_it_hears() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let own = world
        .call("imbot.v2.Bot.get", json!({"botToken": TOKEN, "code": "a"}))
        .await;
    assert_eq!(own.result()["bot"]["eventMode"], "fetch");
    let foreign = world
        .call("imbot.v2.Bot.get", json!({"botToken": "x", "botId": bot}))
        .await;
    assert!(foreign.result()["bot"].get("eventMode").is_none());
    let builtin = world
        .call(
            "imbot.v2.Bot.get",
            json!({"botToken": TOKEN, "code": "marta"}),
        )
        .await;
    assert!(builtin.result()["bot"].get("eventMode").is_none());
    let nobody = world
        .call("imbot.v2.Bot.get", json!({"botToken": TOKEN}))
        .await;
    assert_eq!(nobody.error(), "PARAMS_REQUIRED");
    let absent = world
        .call("imbot.v2.Bot.get", json!({"botToken": TOKEN, "code": "z"}))
        .await;
    assert_eq!(absent.error(), "BOT_NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn lists_show_the_bots_of_the_token_by_pages() {
    let world = World::new().await;
    world.bot("a").await;
    world.bot_of("b", "supervisor").await;
    let list = async |more: Value| {
        let mut params = json!({"botToken": TOKEN});
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = world.call("imbot.v2.Bot.list", params).await;
        let result = answer.result().clone();
        (
            result["bots"].as_array().unwrap().len(),
            result["hasNextPage"] == true,
        )
    };
    assert_eq!(list(json!({})).await, (2, false));
    assert_eq!(list(json!({"limit": 2})).await, (2, true));
    assert_eq!(list(json!({"limit": 2, "offset": 2})).await, (0, false));
    assert_eq!(
        list(json!({"filter": {"type": "supervisor"}})).await,
        (1, false)
    );
    assert_eq!(list(json!({"filter": {"type": "human"}})).await, (2, false));
    assert_eq!(list(json!({"botToken": "wrong"})).await, (0, false));
    world
        .portal
        .set_quirks(|quirks| quirks.unknown_type_lists_nothing = true);
    assert_eq!(list(json!({"filter": {"type": "human"}})).await, (0, false));
}

#[tokio::test(start_paused = true)]
async fn an_unregistered_bot_takes_commands_and_events_with_it() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "help", json!({})).await;
    world.portal.user(1).types_to_bot(bot, "hi").unwrap();
    let answer = world
        .of_bot("imbot.v2.Bot.unregister", bot, json!({}))
        .await;
    assert_eq!(*answer.result(), json!({"result": true}));
    let answer = world
        .of_bot("imbot.v2.Bot.unregister", bot, json!({}))
        .await;
    assert_eq!(answer.error(), "BOT_NOT_FOUND");
    assert!(world.portal.commands(bot).is_empty() && world.portal.pending_events(bot).is_empty());
    let again = world.bot("a").await;
    assert_ne!(again, bot);
}

#[tokio::test(start_paused = true)]
async fn older_revisions_lack_newer_things() {
    let config = bitrix24_sim::PortalConfig {
        revision: [32, 1, 1, 1],
        ..bitrix24_sim::PortalConfig::default()
    };
    let world = World::with(config).await;
    let answer = world.call("imbot.v2.Revision.get", json!({})).await;
    assert_eq!(answer.error(), "ERROR_METHOD_NOT_FOUND");
    let answer = world.call("imbot.v2.Bot.list", json!({})).await;
    assert_eq!(answer.error(), "CLIENT_ID_NOT_SPECIFIED");
    assert!(register(&world, good()).await.result()["bot"]["appId"].is_string());
}
