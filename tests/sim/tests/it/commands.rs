//! Registering, changing and listing commands (C18.1 to C18.4).

use serde_json::{Value, json};

use crate::world::World;

async fn register(world: &World, bot: i64, fields: Value) -> crate::world::Answer {
    world
        .of_bot("imbot.v2.Command.register", bot, json!({"fields": fields}))
        .await
}

async fn update(world: &World, bot: i64, id: i64, fields: Value) -> crate::world::Answer {
    let more = json!({"commandId": id, "fields": fields});
    world.of_bot("imbot.v2.Command.update", bot, more).await
}

#[tokio::test(start_paused = true)]
async fn a_leading_slash_and_upper_case_languages_are_forgiven() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let fields =
        json!({"command": "/help", "title": {"EN": "Help"}, "params": {"EN": "q", "de": "x"}});
    let answer = register(&world, bot, fields).await;
    assert_eq!(answer.result()["command"]["command"], "/help");
    let command = &world.portal.commands(bot)[0];
    assert_eq!(command.titles, [("en".to_owned(), "Help".to_owned())]);
    assert_eq!(command.params, [("en".to_owned(), "q".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn registration_checks_name_and_title() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    for (fields, expected) in [
        (
            json!({"command": 5, "title": {"en": "x"}}),
            "COMMAND_NAME_INVALID",
        ),
        (
            json!({"command": "/", "title": {"en": "x"}}),
            "COMMAND_REQUIRED",
        ),
        (json!({"title": {"en": "x"}}), "COMMAND_REQUIRED"),
        (json!({}), "COMMAND_REQUIRED"),
        (json!({"command": "x"}), "COMMAND_TITLE_REQUIRED"),
        (
            json!({"command": "x", "title": []}),
            "COMMAND_TITLE_REQUIRED",
        ),
    ] {
        let answer = register(&world, bot, fields).await;
        assert_eq!((answer.status, answer.error()), (400, expected));
    }
    register(&world, bot, json!({"command": "x", "hidden": true}))
        .await
        .result();
}

#[tokio::test(start_paused = true)]
async fn the_flat_form_is_no_longer_understood() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let flat = json!({"command": "help", "title": {"en": "Help"}});
    let answer = world.of_bot("imbot.v2.Command.register", bot, flat).await;
    assert_eq!(answer.body["error"], 100);
    assert!(world.portal.commands(bot).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_repeat_returns_the_existing_command_before_looking_at_the_title() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let id = world.command(bot, "help", json!({})).await;
    let answer = register(&world, bot, json!({"command": "help", "common": true})).await;
    assert_eq!(answer.result()["command"]["id"], id);
    assert_eq!(answer.result()["command"]["common"], false);
    let other = world.bot("b").await;
    assert_ne!(world.command(other, "help", json!({})).await, id);
}

#[tokio::test(start_paused = true)]
async fn a_rename_is_checked_and_not_stored() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let id = world.command(bot, "help", json!({})).await;
    world.command(bot, "task", json!({})).await;
    let answer = update(&world, bot, id, json!({"command": "task"})).await;
    assert_eq!(answer.error(), "COMMAND_ALREADY_EXISTS");
    assert_eq!(
        update(&world, bot, id, json!({"command": ""}))
            .await
            .error(),
        "COMMAND_NAME_EMPTY"
    );
    let answer = update(&world, bot, id, json!({"command": ["x"]})).await;
    assert_eq!(answer.error(), "COMMAND_NAME_INVALID");
    let answer = update(&world, bot, id, json!({"command": "info"})).await;
    assert_eq!(answer.result()["command"]["command"], "/help");
    world
        .portal
        .set_quirks(|quirks| quirks.rename_is_stored = true);
    let answer = update(&world, bot, id, json!({"command": "info"})).await;
    assert_eq!(answer.result()["command"]["command"], "/info");
}

#[tokio::test(start_paused = true)]
async fn null_deletes_a_title_and_an_absent_language_keeps_it() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let id = world
        .command(bot, "help", json!({"title": {"en": "Help", "de": "Hilfe"}}))
        .await;
    update(&world, bot, id, json!({"title": {"en": null}}))
        .await
        .result();
    let titles = || world.portal.commands(bot)[0].titles.clone();
    assert_eq!(titles(), [("de".to_owned(), "Hilfe".to_owned())]);
    assert!(!world.portal.commands(bot)[0].hidden);
    let answer = update(&world, bot, id, json!({"title": {"de": null}})).await;
    assert_eq!(answer.result()["command"]["hidden"], true);
    assert_eq!(
        update(&world, bot, id, json!({"title": "x"})).await.error(),
        "COMMAND_TITLE_INVALID"
    );
}

#[tokio::test(start_paused = true)]
async fn hints_change_only_together_with_their_title() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let fields = json!({"title": {"en": "Help", "de": "Hilfe"}, "params": {"en": "q"}});
    let id = world.command(bot, "help", fields).await;
    let hints = || world.portal.commands(bot)[0].params.clone();
    update(&world, bot, id, json!({"params": {"en": "new"}}))
        .await
        .result();
    assert_eq!(hints(), [("en".to_owned(), "q".to_owned())]);
    let fields = json!({"title": {"de": "H"}, "params": {"de": "neu", "en": "new"}});
    update(&world, bot, id, fields).await.result();
    let expected = [("de", "neu"), ("en", "q")].map(|(l, t)| (l.to_owned(), t.to_owned()));
    assert_eq!(hints(), expected);
}

#[tokio::test(start_paused = true)]
async fn lists_show_titles_in_the_language_of_the_portal() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    world
        .command(bot, "one", json!({"title": {"de": "Eins", "en": "One"}}))
        .await;
    world
        .command(bot, "two", json!({"title": {"de": "Zwei"}}))
        .await;
    let answer = world.of_bot("imbot.v2.Command.list", bot, json!({})).await;
    let commands = answer.result()["commands"].as_array().unwrap();
    assert_eq!(
        [&commands[0]["title"], &commands[1]["title"]],
        ["One", "Zwei"]
    );
    assert_eq!(commands[0]["category"], "Support Bot One");
    assert_eq!(commands[0]["context"], "");
}

#[tokio::test(start_paused = true)]
async fn a_command_of_another_bot_is_not_found() {
    let world = World::new().await;
    let (bot, other) = (world.bot("a").await, world.bot("b").await);
    let id = world.command(bot, "help", json!({})).await;
    assert_eq!(
        update(&world, other, id, json!({"common": true}))
            .await
            .error(),
        "COMMAND_NOT_FOUND"
    );
    let unregister = "imbot.v2.Command.unregister";
    let answer = world
        .of_bot(unregister, other, json!({"commandId": id}))
        .await;
    assert_eq!(answer.error(), "COMMAND_NOT_FOUND");
    let answer = world
        .of_bot(unregister, bot, json!({"commandId": id}))
        .await;
    assert_eq!(*answer.result(), json!({"result": true}));
    let answer = world
        .of_bot(unregister, bot, json!({"commandId": id}))
        .await;
    assert_eq!(answer.error(), "COMMAND_NOT_FOUND");
}
