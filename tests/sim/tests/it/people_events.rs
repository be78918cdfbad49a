//! Events of people (C12, C13, C23).

use bitrix24_sim::WebhookConfig;
use serde_json::{Value, json};

use crate::world::{Answer, TOKEN, World, path_of};

/// Calls a method with the webhook of another person.
async fn of_anna(world: &World, url: &str, method: &str, params: Value) -> Answer {
    let path = format!("{}{method}", path_of(url));
    let body = params.to_string();
    world
        .client
        .ask("POST", &path, "application/json", body)
        .await
        .unwrap()
}

fn webhook_of(world: &World, user_id: i64, scopes: &[&str]) -> String {
    world.portal.add_webhook(WebhookConfig {
        user_id,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        code: None,
    })
}

fn types_of(answer: &Answer) -> Vec<String> {
    let events = answer.result()["events"].as_array().unwrap().iter();
    events
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn user_events_need_a_scope_and_a_subscription() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let more = json!({"withUserEvents": true});
    let answer = world.of_bot("imbot.v2.Event.get", bot, more.clone()).await;
    assert_eq!(answer.error(), "USER_NOT_SUBSCRIBED");
    assert_eq!(
        *world
            .call("im.v2.Event.subscribe", json!({}))
            .await
            .result(),
        json!(true)
    );
    world.of_bot("imbot.v2.Event.get", bot, more).await.result();
    let url = webhook_of(&world, 1, &["imbot"]);
    let params = json!({"botId": bot, "botToken": TOKEN, "withUserEvents": true});
    let answer = of_anna(&world, &url, "imbot.v2.Event.get", params).await;
    assert_eq!(answer.error(), "SCOPE_ERROR");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_hears_of_all_that_happens_in_own_chats() {
    let world = World::new().await;
    let url = webhook_of(&world, world.anna, &["im"]);
    of_anna(&world, &url, "im.v2.Event.subscribe", json!({}))
        .await
        .result();
    let john = world.portal.user(1);
    let id = john.types(&world.dialog(), "hello").unwrap();
    john.edits(id, "hello!").unwrap();
    john.reacts(id, "like").unwrap();
    john.deletes(id).unwrap();
    let bot = world.bot("a").await;
    world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
    let send = json!({"dialogId": world.dialog(), "fields": {"message": "from the bot"}});
    world
        .of_bot("imbot.v2.Chat.Message.send", bot, send)
        .await
        .result();
    let other = world.portal.add_group_chat("T", &[1]);
    john.types(&other.dialog_id(), "secret").unwrap();

    let answer = of_anna(&world, &url, "im.v2.Event.get", json!({})).await;
    let expected = [
        "MESSAGEADD",
        "MESSAGEUPDATE",
        "REACTIONCHANGE",
        "MESSAGEDELETE",
        "JOINCHAT",
        "MESSAGEADD",
    ];
    assert_eq!(
        types_of(&answer),
        expected.map(|kind| format!("ONIMV2{kind}"))
    );
    let events = &answer.result()["events"];
    assert!(events[0]["data"].get("bot").is_none());
    assert_eq!(events[0]["data"]["user"]["id"], 1);
    assert_eq!(events[2]["data"]["action"], "add");
    assert_eq!(events[3]["data"]["messageId"], id);
    assert_eq!(events[4]["data"]["user"]["id"], bot);
    assert_eq!(events[5]["data"]["message"]["text"], "from the bot");
}

#[tokio::test(start_paused = true)]
async fn one_offset_acknowledges_the_bot_and_the_person() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world
        .call("im.v2.Event.subscribe", json!({}))
        .await
        .result();
    world
        .portal
        .user(world.anna)
        .types_to_bot(bot, "to the bot")
        .unwrap();
    world.portal.user(world.anna).types("1", "to john").unwrap();
    world.portal.user(1).types_to_bot(bot, "to both").unwrap();
    let more = json!({"withUserEvents": true, "limit": 2});
    let first = world.of_bot("imbot.v2.Event.get", bot, more).await;
    assert_eq!(
        types_of(&first),
        ["ONIMBOTV2MESSAGEADD", "ONIMV2MESSAGEADD"]
    );
    assert_eq!(first.result()["hasMore"], true);
    let more = json!({"withUserEvents": true, "offset": first.result()["nextOffset"]});
    let rest = world.of_bot("imbot.v2.Event.get", bot, more).await;
    assert_eq!(rest.result()["events"].as_array().unwrap().len(), 2);
    let own = world.call("im.v2.Event.get", json!({})).await;
    assert_eq!(types_of(&own), ["ONIMV2MESSAGEADD"]);
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_deletes_what_waits_or_leaves_it() {
    for deletes in [true, false] {
        let world = World::new().await;
        world
            .portal
            .set_quirks(|quirks| quirks.unsubscribe_deletes = deletes);
        world
            .call("im.v2.Event.subscribe", json!({}))
            .await
            .result();
        world.portal.user(world.anna).types("1", "hello").unwrap();
        world
            .call("im.v2.Event.unsubscribe", json!({}))
            .await
            .result();
        let nothing = world.call("im.v2.Event.get", json!({})).await;
        assert!(types_of(&nothing).is_empty());
        world
            .call("im.v2.Event.subscribe", json!({}))
            .await
            .result();
        let again = world.call("im.v2.Event.get", json!({})).await;
        assert_eq!(types_of(&again).is_empty(), deletes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_context_is_told_to_its_bot() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let params = json!({"dialogId": bot.to_string(), "context": {"from": "link"}});
    world
        .call("im.v2.Chat.Bot.sendContext", params)
        .await
        .result();
    let (kind, data) = world.events(bot).await.remove(0);
    assert_eq!(
        (kind.as_str(), &data["context"]),
        ("ONIMBOTV2CONTEXTGET", &json!({"from": "link"}))
    );
    assert_eq!(data["dialogId"], "1");
    let params = json!({"dialogId": "99", "context": {}});
    let answer = world.call("im.v2.Chat.Bot.sendContext", params).await;
    assert_eq!(answer.error(), "BOT_NOT_FOUND");
}
