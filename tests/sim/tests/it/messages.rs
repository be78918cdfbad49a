//! Sending, changing and deleting messages (C15, C20, C22).

use std::time::Duration;

use bitrix24_sim::Effect;
use serde_json::{Value, json};

use crate::world::World;

const KEY: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

async fn world() -> (World, i64) {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
    (world, bot)
}

async fn send(world: &World, bot: i64, fields: Value) -> crate::world::Answer {
    let more = json!({"dialogId": world.dialog(), "fields": fields});
    world.of_bot("imbot.v2.Chat.Message.send", bot, more).await
}

async fn sent(world: &World, bot: i64, fields: Value) -> i64 {
    send(world, bot, fields).await.result()["id"]
        .as_i64()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_message_is_trimmed_and_cut() {
    let (world, bot) = world().await;
    let id = sent(&world, bot, json!({"message": " hello \n"})).await;
    assert_eq!(world.portal.message(id).unwrap().text, "hello");
    let id = sent(&world, bot, json!({"message": "x".repeat(25_000)})).await;
    let text = world.portal.message(id).unwrap().text;
    assert!(text.len() == 20_000 && text.ends_with(" (...)"));
}

#[tokio::test(start_paused = true)]
async fn a_private_dialog_is_opened_on_demand() {
    let (world, bot) = world().await;
    let more = json!({"dialogId": world.anna.to_string(), "fields": {"message": "hi"}});
    world
        .of_bot("imbot.v2.Chat.Message.send", bot, more)
        .await
        .result();
    let messages = world.portal.messages(&format!("{bot}:{}", world.anna));
    assert_eq!(messages[0].text, "hi");
}

#[tokio::test(start_paused = true)]
async fn a_bot_writes_only_where_it_is_a_member() {
    let (world, bot) = world().await;
    world.portal.remove_from_chat(bot, world.chat.id).unwrap();
    assert_eq!(
        send(&world, bot, json!({"message": "x"})).await.error(),
        "ACCESS_DENIED"
    );
    let more = json!({"dialogId": "chat1", "fields": {"message": "x"}});
    let answer = world.of_bot("imbot.v2.Chat.Message.send", bot, more).await;
    assert_eq!(answer.error(), "CHAT_NOT_FOUND");
}

#[tokio::test(start_paused = true)]
async fn impossible_messages_are_refused() {
    let (world, bot) = world().await;
    for (fields, expected) in [
        (json!({}), "EMPTY_MESSAGE"),
        (json!({"message": "  "}), "EMPTY_MESSAGE"),
        (
            json!({"keyboard": [{"TEXT": "a", "LINK": "/x"}]}),
            "EMPTY_MESSAGE",
        ),
        (
            json!({"message": "x", "keyboard": [{"TEXT": "a"}]}),
            "KEYBOARD_ERROR",
        ),
        (
            json!({"message": "x", "attach": [{"NOVELTY": 1}]}),
            "ATTACH_ERROR",
        ),
        (json!({"message": "x", "replyId": 5}), "REPLY_ERROR"),
        (json!({"forwardIds": {"x": 5}}), "WRONG_UUID"),
        (json!({"forwardIds": {KEY: 5}}), "MESSAGE_NOT_FOUND"),
    ] {
        let answer = send(&world, bot, fields.clone()).await;
        assert_eq!((answer.status, answer.error()), (400, expected), "{fields}");
    }
    let large = json!({"attach": [{"MESSAGE": "x".repeat(60_000)}]});
    assert_eq!(
        send(&world, bot, large.clone()).await.error(),
        "ATTACH_ERROR"
    );
    world
        .portal
        .set_quirks(|quirks| quirks.oversize_has_own_code = true);
    assert_eq!(send(&world, bot, large).await.error(), "ATTACH_OVERSIZE");
}

#[tokio::test(start_paused = true)]
async fn a_key_posts_once_for_a_month() {
    let (world, bot) = world().await;
    let fields = json!({"message": "x", "templateId": KEY});
    let id = sent(&world, bot, fields.clone()).await;
    assert_eq!(sent(&world, bot, fields.clone()).await, id);
    assert_eq!(world.portal.message(id).unwrap().uuid.as_deref(), Some(KEY));
    world
        .sim
        .clock()
        .advance(Duration::from_secs(32 * 24 * 3600));
    assert_ne!(sent(&world, bot, fields).await, id);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_refuses_a_second_message_until_the_first_is_sent() {
    let (world, bot) = world().await;
    let fields = json!({"message": "x", "templateId": KEY});
    let slow = bitrix24_sim::Fault::latency(Duration::from_secs(30));
    world.portal.faults().next(slow);
    let first = tokio::time::timeout(Duration::from_secs(1), sent(&world, bot, fields.clone()));
    assert!(first.await.is_err());
    let answer = send(&world, bot, fields.clone()).await;
    assert_eq!(answer.error(), "MESSAGE_DUPLICATED_BY_UUID");
    tokio::time::sleep(Duration::from_secs(30)).await;
    sent(&world, bot, fields).await;
    assert_eq!(world.portal.messages(&world.dialog()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_no_key_protects_from_nothing() {
    let (world, bot) = world().await;
    for fields in [
        json!({"message": "x", "templateId": KEY.to_uppercase()}),
        json!({"message": "x", "templateId": "order-7"}),
        json!({"message": "x", "templateId": KEY, "system": true}),
    ] {
        let first = sent(&world, bot, fields.clone()).await;
        assert_ne!(sent(&world, bot, fields).await, first);
    }
    world
        .portal
        .set_quirks(|quirks| quirks.template_id_is_a_key = false);
    let fields = json!({"message": "x", "templateId": KEY});
    let first = sent(&world, bot, fields.clone()).await;
    assert_ne!(sent(&world, bot, fields).await, first);
}

#[tokio::test(start_paused = true)]
async fn forwards_answer_with_a_map_and_without_an_id() {
    let (world, bot) = world().await;
    let original = world.portal.user(1).types(&world.dialog(), "look").unwrap();
    let answer = send(&world, bot, json!({"forwardIds": {KEY: original}})).await;
    assert_eq!(answer.result()["id"], Value::Null);
    let id = answer.result()["uuidMap"][KEY].as_i64().unwrap();
    let copy = world.portal.message(id).unwrap();
    assert_eq!(
        (copy.text.as_str(), copy.forwarded_from),
        ("look", Some(original))
    );
    let update = json!({"messageId": id, "fields": {"message": "x"}});
    let answer = world
        .of_bot("imbot.v2.Chat.Message.update", bot, update)
        .await;
    assert_eq!(answer.error(), "MESSAGE_ACCESS_DENIED");
}

#[tokio::test(start_paused = true)]
async fn an_update_sets_values_and_an_emptied_message_is_deleted() {
    let (world, bot) = world().await;
    let keyboard = json!([{"TEXT": "a", "COMMAND": "x"}]);
    let id = sent(&world, bot, json!({"message": "x", "keyboard": keyboard})).await;
    let update = async |fields: Value| {
        let more = json!({"messageId": id, "fields": fields});
        world
            .of_bot("imbot.v2.Chat.Message.update", bot, more)
            .await
    };
    assert_eq!(
        world.portal.message(id).unwrap().keyboard.unwrap()["BOT_ID"],
        bot
    );
    update(json!({"message": "y", "keyboard": keyboard, "urlPreview": "N"}))
        .await
        .result();
    let seen = world.portal.message(id).unwrap();
    assert_eq!((seen.text.as_str(), seen.url_preview), ("y", false));
    assert_eq!(seen.keyboard.unwrap()["BOT_ID"], 0);
    update(json!({"keyboard": "N"})).await.result();
    assert!(world.portal.message(id).unwrap().keyboard.is_none());
    update(json!({"message": ""})).await.result();
    assert!(world.portal.message(id).is_none());
    assert_eq!(
        update(json!({"message": "z"})).await.error(),
        "MESSAGE_NOT_FOUND"
    );
}

#[tokio::test(start_paused = true)]
async fn a_bot_changes_only_its_own_messages() {
    let (world, bot) = world().await;
    let theirs = world.portal.user(1).types(&world.dialog(), "x").unwrap();
    let system = sent(&world, bot, json!({"message": "x", "system": true})).await;
    let (update, delete) = (
        "imbot.v2.Chat.Message.update",
        "imbot.v2.Chat.Message.delete",
    );
    for id in [theirs, system] {
        let more = json!({"messageId": id, "fields": {"message": "y"}});
        let error = async |method| {
            let answer = world.of_bot(method, bot, more.clone()).await;
            answer.error().to_owned()
        };
        assert_eq!(error(update).await, "MESSAGE_ACCESS_DENIED");
        assert_eq!(error(delete).await, "ACCESS_DENIED");
        let quirks = |on: bool| {
            world.portal.set_quirks(|quirks| {
                quirks.foreign_message_has_own_code = !on;
                quirks.powerless_delete_is_true = on;
            });
        };
        quirks(true);
        assert_eq!(error(update).await, "ACCESS_DENIED");
        world.of_bot(delete, bot, more.clone()).await.result();
        assert!(!world.portal.message(id).unwrap().deleted);
        quirks(false);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_soft_or_complete() {
    let (world, bot) = world().await;
    let delete = async |id: i64, complete: bool| {
        let more = json!({"messageId": id, "complete": complete});
        world
            .of_bot("imbot.v2.Chat.Message.delete", bot, more)
            .await
    };
    let id = sent(&world, bot, json!({"message": "x"})).await;
    assert_eq!(*delete(id, false).await.result(), json!({"result": true}));
    assert!(world.portal.message(id).unwrap().deleted);
    delete(id, true).await.result();
    assert!(world.portal.message(id).is_none());
    assert_eq!(delete(id, true).await.error(), "MESSAGE_NOT_FOUND");
    world
        .portal
        .set_quirks(|quirks| quirks.absent_message_is_denied = true);
    assert_eq!(delete(id, true).await.error(), "ACCESS_DENIED");
}

#[tokio::test(start_paused = true)]
async fn a_busy_bot_is_shown_where_it_is_a_member() {
    let (world, bot) = world().await;
    let code = "IMBOT_AGENT_ACTION_THINKING";
    let more = json!({"dialogId": world.dialog(), "statusMessageCode": code, "duration": 30});
    let method = "imbot.v2.Chat.InputAction.notify";
    let answer = world.of_bot(method, bot, more.clone()).await;
    assert_eq!(*answer.result(), json!({"result": true}));
    let shown = Effect::ActionShown {
        bot_id: bot,
        chat_id: world.chat.id,
        code: Some(code.to_owned()),
    };
    assert!(world.portal.journal().effects().contains(&shown));
    world.portal.remove_from_chat(bot, world.chat.id).unwrap();
    assert_eq!(
        world.of_bot(method, bot, more).await.error(),
        "ACCESS_DENIED"
    );
}
