//! Who hears of a message (C13).

use bitrix24_sim::UserConfig;
use serde_json::{Value, json};

use crate::world::World;

/// (command, params) of the commands a bot heard.
async fn heard(world: &World, bot: i64) -> Vec<(String, String)> {
    let events = world.events(bot).await.into_iter();
    let commands = events.filter(|(kind, _)| kind == "ONIMBOTV2COMMANDADD");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    commands
        .map(|(_, data)| {
            (
                text(&data["command"]["command"]),
                text(&data["command"]["params"]),
            )
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_command_event_is_complete() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let id = world.command(bot, "help", json!({})).await;
    let message = world
        .portal
        .user(1)
        .types_to_bot(bot, "/help me  now")
        .unwrap();
    let (_, data) = world.events(bot).await.remove(0);
    let command = json!({"id": id, "command": "/help", "params": "me  now", "context": "textarea"});
    assert_eq!(data["command"], command);
    assert_eq!(data["message"]["id"], message);
    assert_eq!(data["message"]["params"], json!([]));
    assert_eq!(data["chat"]["dialogId"], "1");
    assert_eq!(
        (&data["chat"]["type"], &data["chat"]["messageType"]),
        (&json!("private"), &json!("P"))
    );
    assert_eq!(data["user"]["id"], 1);
    assert_eq!(
        (&data["bot"]["id"], &data["language"]),
        (&json!(bot), &json!("en"))
    );
    for absent in ["role", "muteList", "managerList"] {
        assert!(data["chat"].get(absent).is_none(), "{absent}");
    }
    for online in [
        "idle",
        "lastActivityDate",
        "mobileLastDate",
        "desktopLastDate",
    ] {
        assert_eq!(data["user"][online], false, "{online}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_line_is_a_command_and_case_matters() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "one", json!({})).await;
    world.command(bot, "two", json!({})).await;
    world
        .portal
        .user(1)
        .types_to_bot(bot, "/one a\ntext /two\n/two\n/One b")
        .unwrap();
    let expected = [("/one", "a"), ("/two", "")].map(|(c, p)| (c.to_owned(), p.to_owned()));
    assert_eq!(heard(&world, bot).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_matched_command_silences_the_message_for_everybody() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let supervisor = world.bot_of("s", "supervisor").await;
    world.command(bot, "help", json!({})).await;
    for id in [bot, supervisor] {
        world.portal.add_bot_to_chat(id, world.chat.id, 1).unwrap();
    }
    world
        .portal
        .user(1)
        .types(&world.dialog(), "/help")
        .unwrap();
    assert_eq!(world.event_types(bot).await, ["JOINCHAT", "COMMANDADD"]);
    assert_eq!(world.event_types(supervisor).await, ["JOINCHAT"]);
    world
        .portal
        .user(1)
        .types(&world.dialog(), "/me waves")
        .unwrap();
    assert_eq!(world.event_types(supervisor).await, ["JOINCHAT"]);
    world
        .portal
        .user(1)
        .types(&world.dialog(), "/unknown")
        .unwrap();
    assert_eq!(
        world.event_types(supervisor).await,
        ["JOINCHAT", "MESSAGEADD"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_common_command_works_everywhere_and_another_only_near_its_bot() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "near", json!({})).await;
    world.command(bot, "far", json!({"common": true})).await;
    world
        .portal
        .user(1)
        .types(&world.dialog(), "/near\n/far")
        .unwrap();
    assert_eq!(
        heard(&world, bot).await,
        [("/far".to_owned(), String::new())]
    );
    world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
    world
        .portal
        .user(1)
        .types(&world.dialog(), "/near")
        .unwrap();
    assert_eq!(heard(&world, bot).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_bot_that_owns_a_command_hears_it() {
    let world = World::new().await;
    let bots = [world.bot("a").await, world.bot("b").await];
    for bot in bots {
        world.command(bot, "help", json!({"common": true})).await;
    }
    world
        .portal
        .user(1)
        .types(&world.dialog(), "/help x")
        .unwrap();
    for bot in bots {
        assert_eq!(heard(&world, bot).await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn extranet_users_reach_only_commands_made_for_them() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "inner", json!({})).await;
    world
        .command(bot, "outer", json!({"extranetSupport": true}))
        .await;
    let guest = world.portal.add_user(UserConfig {
        extranet: true,
        ..UserConfig::named("G", "H")
    });
    world
        .portal
        .user(guest)
        .types_to_bot(bot, "/inner")
        .unwrap();
    world
        .portal
        .user(guest)
        .types_to_bot(bot, "/outer")
        .unwrap();
    assert_eq!(world.event_types(bot).await, ["MESSAGEADD", "COMMANDADD"]);
}

#[tokio::test(start_paused = true)]
async fn ten_different_commands_of_a_message_are_heard() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "c", json!({})).await;
    let text: String = (0..12).map(|n| format!("/c {}\n/c {}\n", n, n)).collect();
    world.portal.user(1).types_to_bot(bot, &text).unwrap();
    assert_eq!(heard(&world, bot).await.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn ordinary_bots_hear_private_messages_and_mentions() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let personal = world.bot_of("p", "personal").await;
    for id in [bot, personal] {
        world.portal.add_bot_to_chat(id, world.chat.id, 1).unwrap();
        world.skip_events(id).await;
    }
    world
        .portal
        .user(1)
        .types(&world.dialog(), "hello")
        .unwrap();
    assert_eq!(world.event_types(bot).await.len(), 0);
    assert_eq!(world.event_types(personal).await, ["MESSAGEADD"]);
    world
        .portal
        .user(1)
        .types(&world.dialog(), &format!("[USER={bot}]x[/USER] hi"))
        .unwrap();
    world
        .portal
        .user(world.anna)
        .types_to_bot(bot, "hello")
        .unwrap();
    assert_eq!(world.event_types(bot).await, ["MESSAGEADD", "MESSAGEADD"]);
}

#[tokio::test(start_paused = true)]
async fn system_messages_call_no_commands_and_have_no_author() {
    let world = World::new().await;
    let supervisor = world.bot_of("s", "supervisor").await;
    world.command(supervisor, "help", json!({})).await;
    world
        .portal
        .add_bot_to_chat(supervisor, world.chat.id, 1)
        .unwrap();
    world.skip_events(supervisor).await;
    world.portal.posts_system(world.chat.id, "/help").unwrap();
    let (kind, data) = world.events(supervisor).await.remove(0);
    assert_eq!(kind, "ONIMBOTV2MESSAGEADD");
    assert_eq!(data["user"], json!([]));
    assert_eq!(data["message"]["isSystem"], true);
}

#[tokio::test(start_paused = true)]
async fn messages_of_bots_are_heard_by_no_bot() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let supervisor = world.bot_of("s", "supervisor").await;
    world
        .command(supervisor, "help", json!({"common": true}))
        .await;
    for id in [bot, supervisor] {
        world.portal.add_bot_to_chat(id, world.chat.id, 1).unwrap();
    }
    let send = json!({"dialogId": world.dialog(), "fields": {"message": "/help"}});
    world
        .of_bot("imbot.v2.Chat.Message.send", bot, send)
        .await
        .result();
    assert_eq!(world.event_types(supervisor).await, ["JOINCHAT"]);
}

#[tokio::test(start_paused = true)]
async fn a_joining_bot_is_told_who_brought_it() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world
        .portal
        .add_bot_to_chat(bot, world.chat.id, world.anna)
        .unwrap();
    let (kind, data) = world.events(bot).await.remove(0);
    assert_eq!(kind, "ONIMBOTV2JOINCHAT");
    assert_eq!(data["dialogId"], json!(world.dialog()));
    assert_eq!(data["user"]["id"], world.anna);
}

#[tokio::test(start_paused = true)]
async fn edits_deletions_and_reactions_are_heard() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let user = world.portal.user(1);
    let message = user.types_to_bot(bot, "hello").unwrap();
    user.edits(message, "hello you").unwrap();
    user.deletes(message).unwrap();
    let send = json!({"dialogId": "1", "fields": {"message": "hi"}});
    let sent = world.of_bot("imbot.v2.Chat.Message.send", bot, send).await;
    let sent = sent.result()["id"].as_i64().unwrap();
    user.reacts(sent, "like").unwrap();
    user.reacts(sent, "like").unwrap();
    let events = world.events(bot).await;
    assert_eq!(events[1].1["message"]["text"], "hello you");
    assert_eq!(events[2].1["messageId"], message);
    assert!(events[2].1.get("message").is_none());
    let actions: Vec<_> = events[3..]
        .iter()
        .map(|(_, data)| data["action"].clone())
        .collect();
    assert_eq!(actions, ["add", "delete"]);
}

#[tokio::test(start_paused = true)]
async fn a_pressed_button_calls_its_command_and_can_be_spent() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world.command(bot, "go", json!({})).await;
    world.portal.add_bot_to_chat(bot, world.chat.id, 1).unwrap();
    world.skip_events(bot).await;
    let keyboard = json!([
        {"TEXT": "Go", "COMMAND": "go", "COMMAND_PARAMS": "7", "BLOCK": "Y"},
        {"TEXT": "Say", "ACTION": "SEND", "ACTION_VALUE": "/go said"}]);
    let fields = json!({"message": "Press", "keyboard": keyboard});
    let send = json!({"dialogId": world.dialog(), "fields": fields});
    let sent = world.of_bot("imbot.v2.Chat.Message.send", bot, send).await;
    let sent = sent.result()["id"].as_i64().unwrap();
    let anna = world.portal.user(world.anna);
    anna.presses(sent, "Go").unwrap();
    assert!(anna.presses(sent, "Go").is_err());
    anna.presses(sent, "Say").unwrap();
    let events = world.events(bot).await;
    assert_eq!(events[0].1["command"]["context"], "keyboard");
    assert_eq!(events[0].1["message"]["id"], sent);
    assert_eq!(events[0].1["user"]["id"], world.anna);
    assert_eq!(events[1].1["command"]["context"], "textarea");
    assert_eq!(events[1].1["command"]["params"], "said");
}
