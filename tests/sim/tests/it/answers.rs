//! Answering commands, and the time there is for it (C18.5).

use std::time::Duration;

use bitrix24_sim::{Effect, Message};
use serde_json::{Value, json};

use crate::world::World;

const MINUTE: Duration = Duration::from_secs(60);

/// Answers `/help` and says what the chat shows of it.
async fn answer(
    world: &World,
    bot: i64,
    command: i64,
    message: i64,
    fields: Value,
) -> Option<Message> {
    let before = world.portal.journal().effects().len();
    let params = json!({"commandId": command, "messageId": message, "dialogId": "chat1",
        "fields": fields});
    let told = world.of_bot("imbot.v2.Command.answer", bot, params).await;
    assert_eq!(*told.result(), json!({"result": true}));
    let effects = world.portal.journal().effects().split_off(before);
    effects.into_iter().find_map(|effect| match effect {
        Effect::MessagePosted { message_id, .. } => world.portal.message(message_id),
        _ => None,
    })
}

fn text() -> Value {
    json!({"message": "Here"})
}

#[tokio::test(start_paused = true)]
async fn an_answer_goes_to_the_dialog_of_the_message_whatever_dialog_is_named() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({})).await;
    world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
    let message = world
        .portal
        .user(1)
        .types(&world.dialog(), "/help")
        .unwrap();
    let posted = answer(&world, bot, command, message, text()).await.unwrap();
    assert_eq!((posted.chat_id, posted.author_id), (world.chat.id, bot));
    assert_eq!(posted.text, "Here");
}

#[tokio::test(start_paused = true)]
async fn after_ten_minutes_the_answer_is_true_and_nothing_is_posted() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({})).await;
    world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
    let message = world
        .portal
        .user(1)
        .types(&world.dialog(), "/help")
        .unwrap();
    world
        .sim
        .clock()
        .advance(10 * MINUTE - Duration::from_millis(1));
    assert!(
        answer(&world, bot, command, message, text())
            .await
            .is_some()
    );
    world.sim.clock().advance(Duration::from_millis(1));
    assert!(
        answer(&world, bot, command, message, text())
            .await
            .is_none()
    );
    let dropped = Effect::AnswerDropped {
        bot_id: bot,
        chat_id: world.chat.id,
    };
    assert!(world.portal.journal().effects().contains(&dropped));
}

#[tokio::test(start_paused = true)]
async fn every_later_command_of_the_bot_in_the_dialog_prolongs_the_window() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({"common": true})).await;
    let message = world
        .portal
        .user(1)
        .types(&world.dialog(), "/help")
        .unwrap();
    world.sim.clock().advance(9 * MINUTE);
    let params = format!("MESSAGE_ID={message}&BOT_ID={bot}&COMMAND=help");
    world.form("im.message.command", &params).await.result();
    world.sim.clock().advance(9 * MINUTE);
    assert!(
        answer(&world, bot, command, message, text())
            .await
            .is_some()
    );
    world.sim.clock().advance(MINUTE);
    assert!(
        answer(&world, bot, command, message, text())
            .await
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_in_another_dialog_prolongs_nothing() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({"common": true})).await;
    let message = world
        .portal
        .user(1)
        .types(&world.dialog(), "/help")
        .unwrap();
    world.sim.clock().advance(9 * MINUTE);
    let other = world.portal.add_group_chat("Other", &[1]);
    world
        .portal
        .user(1)
        .types(&other.dialog_id(), "/help")
        .unwrap();
    world.sim.clock().advance(MINUTE);
    assert!(
        answer(&world, bot, command, message, text())
            .await
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_command_typed_in_the_private_dialog_can_always_be_answered() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({})).await;
    let message = world.portal.user(1).types_to_bot(bot, "/help").unwrap();
    world.sim.clock().advance(60 * MINUTE);
    let posted = answer(&world, bot, command, message, text()).await.unwrap();
    assert_eq!(posted.author_id, bot);
}

#[tokio::test(start_paused = true)]
async fn a_button_in_the_private_dialog_gives_ten_minutes() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({})).await;
    let keyboard = json!([{"TEXT": "Help", "COMMAND": "help"}]);
    let send = json!({"dialogId": "1", "fields": {"message": "Press", "keyboard": keyboard}});
    let sent = world.of_bot("imbot.v2.Chat.Message.send", bot, send).await;
    let message = sent.result()["id"].as_i64().unwrap();
    world.portal.user(1).presses(message, "Help").unwrap();
    assert!(
        answer(&world, bot, command, message, text())
            .await
            .is_some()
    );
    world.sim.clock().advance(10 * MINUTE);
    assert!(
        answer(&world, bot, command, message, text())
            .await
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_command_opens_no_window() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({})).await;
    world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
    let message = world
        .portal
        .user(1)
        .types(&world.dialog(), "hello")
        .unwrap();
    assert!(
        answer(&world, bot, command, message, text())
            .await
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn where_the_bot_is_no_member_the_system_speaks_for_it() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({"common": true})).await;
    let message = world
        .portal
        .user(1)
        .types(&world.dialog(), "/help")
        .unwrap();
    let posted = answer(&world, bot, command, message, text()).await.unwrap();
    assert!(posted.system && posted.author_id == 0);
    assert!(posted.text.contains("Support Bot One") && posted.text.ends_with("Here"));
}

#[tokio::test(start_paused = true)]
async fn keyboards_are_not_checked_but_get_their_bot() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({})).await;
    let message = world.portal.user(1).types_to_bot(bot, "/help").unwrap();
    let fields = json!({"message": "x", "keyboard": [{"TEXT": "no action"}], "attach": [5]});
    let posted = answer(&world, bot, command, message, fields).await.unwrap();
    assert_eq!(posted.keyboard.unwrap()["BOT_ID"], bot);
    assert_eq!(posted.attach, Some(json!([5])));
}

#[tokio::test(start_paused = true)]
async fn impossible_answers_are_refused() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = world.command(bot, "help", json!({})).await;
    let message = world.portal.user(1).types_to_bot(bot, "/help").unwrap();
    let method = "imbot.v2.Command.answer";
    for (command, message, fields, expected) in [
        (command + 1, message, text(), "COMMAND_NOT_FOUND"),
        (command, message + 1, text(), "COMMAND_ANSWER_FAILED"),
        (command, message, json!({}), "COMMAND_ANSWER_FAILED"),
    ] {
        let params = json!({"commandId": command, "messageId": message, "dialogId": "1",
            "fields": fields});
        let answer = world.of_bot(method, bot, params).await;
        assert_eq!((answer.status, answer.error()), (400, expected));
    }
    let params = json!({"commandId": command, "messageId": message, "fields": text()});
    assert_eq!(world.of_bot(method, bot, params).await.body["error"], 100);
}
