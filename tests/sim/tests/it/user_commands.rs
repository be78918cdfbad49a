//! Commands called on behalf of a person (C19).

use serde_json::json;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_group_chat_takes_the_command_in_any_encoding() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "help", json!({"common": true})).await;
    let message = world
        .portal
        .user(1)
        .types(&world.dialog(), "hello")
        .unwrap();
    let params =
        json!({"MESSAGE_ID": message, "BOT_ID": bot, "COMMAND": "help", "COMMAND_PARAMS": "x"});
    let answer = world.call("im.message.command", params).await;
    assert_eq!(*answer.result(), true);
    let params = json!({"message_id": message, "bot_id": 12345, "command": "help"});
    world.call("im.message.command", params).await.result();
    let events = world.events(bot).await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].1["command"]["context"], "keyboard");
    assert_eq!(events[0].1["command"]["params"], "x");
    assert_eq!(events[0].1["user"]["id"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_private_dialog_needs_form_variables_in_upper_case() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "help", json!({})).await;
    let message = world.portal.user(1).types_to_bot(bot, "hello").unwrap();
    world.skip_events(bot).await;
    let params = json!({"MESSAGE_ID": message, "BOT_ID": bot, "COMMAND": "help"});
    assert_eq!(
        *world
            .call("im.message.command", params.clone())
            .await
            .result(),
        true
    );
    let entry = format!("im.message.command?MESSAGE_ID={message}&BOT_ID={bot}&COMMAND=help");
    let answer = world
        .form(
            "batch",
            &format!("cmd[0]={}", entry.replace('?', "%3F").replace('&', "%26")),
        )
        .await;
    assert_eq!(answer.result()["result"][0], true);
    let lower = format!("message_id={message}&bot_id={bot}&command=help");
    world.form("im.message.command", &lower).await.result();
    assert!(world.portal.pending_events(bot).is_empty());
    let form = format!("MESSAGE_ID={message}&BOT_ID={bot}&COMMAND=help&COMMAND_PARAMS=task+%231");
    world.form("im.message.command", &form).await.result();
    let (_, data) = world.events(bot).await.remove(0);
    assert_eq!(data["command"]["params"], "task #1");
    world
        .portal
        .set_quirks(|quirks| quirks.private_command_needs_form = false);
    world.call("im.message.command", params).await.result();
    assert_eq!(world.portal.pending_events(bot).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn in_a_private_dialog_only_the_named_bot_is_asked() {
    let world = World::new().await;
    let (bot, other) = (world.bot("a").await, world.bot("b").await);
    for id in [bot, other] {
        world.command(id, "help", json!({"common": true})).await;
    }
    let message = world.portal.user(1).types_to_bot(bot, "hello").unwrap();
    world.skip_events(bot).await;
    let form = format!("MESSAGE_ID={message}&BOT_ID={bot}&COMMAND=help");
    world.form("im.message.command", &form).await.result();
    assert_eq!(world.event_types(bot).await, ["COMMANDADD"]);
    assert!(world.portal.pending_events(other).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_keyboard_updated_without_its_bot_is_dead_in_a_private_dialog() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "help", json!({})).await;
    let send = json!({"dialogId": "1", "fields": {"message": "x"}});
    let sent = world.of_bot("imbot.v2.Chat.Message.send", bot, send).await;
    let sent = sent.result()["id"].as_i64().unwrap();
    for (keyboard, heard) in [
        (json!([{"TEXT": "Help", "COMMAND": "help"}]), 0),
        (
            json!({"BOT_ID": bot, "BUTTONS": [{"TEXT": "Help", "COMMAND": "help"}]}),
            1,
        ),
    ] {
        let update = json!({"messageId": sent, "fields": {"keyboard": keyboard}});
        world
            .of_bot("imbot.v2.Chat.Message.update", bot, update)
            .await
            .result();
        world.portal.user(1).presses(sent, "Help").unwrap();
        assert_eq!(world.portal.pending_events(bot).len(), heard);
    }
}

#[tokio::test(start_paused = true)]
async fn true_does_not_say_that_anybody_knew_the_command() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "help", json!({"common": true})).await;
    let message = world
        .portal
        .user(1)
        .types(&world.dialog(), "hello")
        .unwrap();
    for command in ["unknown", "/help"] {
        let params = json!({"MESSAGE_ID": message, "BOT_ID": bot, "COMMAND": command});
        assert_eq!(
            *world.call("im.message.command", params).await.result(),
            true
        );
    }
    assert!(world.portal.pending_events(bot).is_empty());
}

#[tokio::test(start_paused = true)]
async fn wrong_parameters_have_their_own_names() {
    let world = World::new().await;
    let other = world.portal.add_group_chat("Other", &[world.anna]);
    let foreign = world
        .portal
        .user(world.anna)
        .types(&other.dialog_id(), "x")
        .unwrap();
    for (params, expected) in [
        (json!({}), "MESSAGE_ID_ERROR"),
        (json!({"MESSAGE_ID": 5}), "BOT_ID_ERROR"),
        (json!({"MESSAGE_ID": 5, "BOT_ID": 5}), "COMMAND_ERROR"),
        (
            json!({"MESSAGE_ID": 5, "BOT_ID": 5, "COMMAND": "x"}),
            "PARAMS_ERROR",
        ),
        (
            json!({"MESSAGE_ID": foreign, "BOT_ID": 5, "COMMAND": "x"}),
            "PARAMS_ERROR",
        ),
    ] {
        let answer = world.call("im.message.command", params).await;
        assert_eq!((answer.status, answer.error()), (400, expected));
    }
}
