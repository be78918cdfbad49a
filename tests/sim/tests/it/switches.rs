//! Facts seen in server code only, or uncertain: each can be otherwise, by a switch.

use std::time::Duration;

use bitrix24_sim::{Limits, OAuthQuirks, Quirks};
use serde_json::{Value, json};

use crate::world::{TOKEN, World};

const README: &str = include_str!("../../README.md");

/// The names in backticks at the beginning of the lines of a table.
fn first_column(section: &str) -> Vec<String> {
    let (_, table) = README.split_once(section).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let lines = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = lines.map(|line| line.split(" |").next().unwrap());
    let names = cells.flat_map(|cell| cell.split("`, `"));
    names
        .map(|name| name.trim_end_matches('`').to_owned())
        .collect()
}

#[test]
fn the_table_of_switches_names_every_switch_and_nothing_else() {
    let named = first_column("## Switches");
    let names = |value: Value| value.as_object().cloned().unwrap_or_default();
    let mut known = names(serde_json::to_value(Quirks::default()).unwrap());
    known.extend(names(serde_json::to_value(OAuthQuirks::default()).unwrap()));
    known.extend(names(serde_json::to_value(Limits::default()).unwrap()));
    for name in &named {
        assert!(known.contains_key(name), "{name} is no switch");
    }
    for name in known.keys() {
        assert!(named.contains(name), "{name} is not in the table");
    }
}

async fn with(change: impl FnOnce(&mut Quirks)) -> (World, i64) {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "help", json!({})).await;
    world.portal.set_quirks(change);
    (world, bot)
}

fn says(world: &World, bot: i64, text: &str) -> i64 {
    world
        .portal
        .user(world.anna)
        .types_to_bot(bot, text)
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_command_of_a_message_can_be_heard() {
    let (world, bot) = with(|quirks| quirks.repeated_commands_are_heard = true).await;
    says(&world, bot, &"/help\n".repeat(12));
    assert_eq!(world.events(bot).await.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_command_can_be_heard_as_a_message_too() {
    let (world, bot) = with(|quirks| quirks.commands_hide_messages = false).await;
    says(&world, bot, "/help");
    assert_eq!(world.event_types(bot).await, ["COMMANDADD", "MESSAGEADD"]);
}

#[tokio::test(start_paused = true)]
async fn the_hint_of_more_events_can_be_exact() {
    let (world, bot) = with(|quirks| quirks.has_more_is_exact = true).await;
    says(&world, bot, "one");
    says(&world, bot, "two");
    for (limit, more) in [(1, true), (2, false)] {
        let answer = world
            .of_bot("imbot.v2.Event.get", bot, json!({"limit": limit}))
            .await;
        assert_eq!(answer.result()["hasMore"], more);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_can_be_posted() {
    let (world, bot) = with(|quirks| quirks.late_answers_are_dropped = false).await;
    world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
    let id = world
        .portal
        .user(1)
        .types(&world.dialog(), "/help")
        .unwrap();
    world.sim.clock().advance(Duration::from_secs(601));
    let command = world.portal.commands(bot)[0].id;
    let params = json!({"commandId": command, "messageId": id, "dialogId": world.dialog(),
        "fields": {"message": "late"}});
    world
        .of_bot("imbot.v2.Command.answer", bot, params)
        .await
        .result();
    assert_eq!(
        world.portal.messages(&world.dialog()).last().unwrap().text,
        "late"
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_keyboard_can_get_its_bot() {
    let (world, bot) = with(|quirks| quirks.update_forces_keyboard_bot = true).await;
    let params = json!({"dialogId": "1", "fields": {"message": "x"}});
    let sent = world
        .of_bot("imbot.v2.Chat.Message.send", bot, params)
        .await;
    let keyboard = json!([{"TEXT": "a", "COMMAND": "help"}]);
    let id = &sent.result()["id"];
    let params = json!({"messageId": id, "fields": {"keyboard": keyboard}});
    world
        .of_bot("imbot.v2.Chat.Message.update", bot, params)
        .await
        .result();
    let keyboard = world.portal.message(id.as_i64().unwrap()).unwrap().keyboard;
    assert_eq!(keyboard.unwrap()["BOT_ID"], bot);
}

#[tokio::test(start_paused = true)]
async fn a_code_can_belong_to_its_owner_alone() {
    let (world, bot) = with(|quirks| quirks.codes_are_per_owner = true).await;
    let fields = json!({"code": "a", "botToken": "another", "properties": {"name": "A"}});
    let made = world
        .call("imbot.v2.Bot.register", json!({"fields": fields}))
        .await;
    assert_ne!(made.result()["bot"]["id"], bot);
}

#[tokio::test(start_paused = true)]
async fn a_token_at_the_top_level_can_be_ignored_by_register() {
    let (world, _) = with(|quirks| quirks.top_level_token_wins = false).await;
    let fields = json!({"code": "b", "botToken": TOKEN, "properties": {"name": "A"}});
    let params = json!({"botToken": "outer", "fields": fields});
    world.call("imbot.v2.Bot.register", params).await.result();
    let bot = world.portal.bot_by_code("b").unwrap();
    assert_eq!(bot.token.as_deref(), Some(TOKEN));
}

#[tokio::test(start_paused = true)]
async fn webhook_addresses_can_be_checked_otherwise() {
    let (world, bot) = with(|quirks| {
        quirks.callback_is_checked_first = true;
        quirks.webhook_mode_needs_address = true;
        quirks.mode_switch_drops_events = false;
    })
    .await;
    says(&world, bot, "kept");
    let update = async |fields: Value| {
        let params = json!({"fields": fields});
        world.of_bot("imbot.v2.Bot.update", bot, params).await
    };
    let webhook = |url: &str| json!({"eventMode": "webhook", "webhookUrl": url, "isHidden": true});
    let error = update(json!({"eventMode": "webhook"})).await;
    assert_eq!(error.error(), "BOT_WEBHOOK_URL_REQUIRED");
    let error = update(webhook("http://localhost/x")).await;
    assert_eq!(error.error(), "BOT_INVALID_CALLBACK");
    assert!(!world.portal.bot_by_code("a").unwrap().hidden);
    world
        .portal
        .set_quirks(|quirks| quirks.callback_needs_dot = false);
    update(webhook("http://localhost:1/x")).await.result();
    assert_eq!(world.portal.pending_events(bot).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_has_two_names() {
    let (world, bot) = with(|quirks| quirks.unfinished_key_is_sending_failed = true).await;
    let method = "imbot.v2.Chat.Message.send";
    world
        .portal
        .set_latency(Some(method), Duration::from_secs(5));
    let key = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    let params = json!({"dialogId": "1", "fields": {"message": "x", "templateId": key}});
    let first = world.of_bot(method, bot, params.clone());
    let second = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.portal.set_latency(Some(method), Duration::ZERO);
        world.of_bot(method, bot, params.clone()).await
    };
    let (first, second) = tokio::join!(first, second);
    first.result();
    assert_eq!(second.error(), "SENDING_FAILED");
}
