//! Events that a portal sends to bots in webhook mode (C11).

use std::time::Duration;

use bitrix24_sim::{
    ApplicationConfig, Config, FormBoolean, FormNull, Limits, PortalConfig, TokenLengthCheck,
};
use serde_json::{Value, json};

use crate::callbacks::with_callbacks;
use crate::driven::Driven;
use crate::oauth::Installed;
use crate::receiver::{Received, Receiver};
use crate::world::{TOKEN, World};

/// Registers a bot in webhook mode.
pub(crate) async fn bot_at(world: &World, code: &str, token: &str, url: &str) -> i64 {
    let fields = json!({"code": code, "botToken": token, "eventMode": "webhook", "webhookUrl": url,
        "properties": {"name": "Bot"}});
    let answer = world
        .call("imbot.v2.Bot.register", json!({"fields": fields}))
        .await;
    answer.result()["bot"]["id"].as_i64().unwrap()
}

/// Waits until the portal is done with this many deliveries.
pub(crate) async fn done(world: &World, count: usize) {
    while world.portal.journal().deliveries().len() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(crate) async fn update(world: &World, bot: i64, fields: Value) {
    let answer = world.of_bot("imbot.v2.Bot.update", bot, json!({"fields": fields}));
    answer.await.result();
}

pub(crate) fn says(world: &World, bot: i64, text: &str) {
    world
        .portal
        .user(world.anna)
        .types_to_bot(bot, text)
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bot_of_a_token_gets_its_events_as_a_form() {
    let world = World::new().await;
    let mut receiver = Receiver::plain().await;
    let bot = bot_at(&world, "a", TOKEN, &receiver.url).await;
    world.command(bot, "help", json!({})).await;
    let params = "a&b=c [x] 100% «Ж» +1";
    says(&world, bot, &format!("/help {params}\nsecond line"));
    let event = receiver.next().await;
    assert_eq!(
        (event.path.as_str(), event.media.as_str()),
        ("/hook", "application/x-www-form-urlencoded")
    );
    assert!(
        event
            .raw
            .starts_with("event=ONIMBOTV2COMMANDADD&event_handler_id="),
        "{}",
        event.raw
    );
    assert!(event.raw.contains("&data%5Bbot%5D%5Bid%5D="));
    assert_eq!(event.get("data[command][params]"), params);
    assert_eq!(
        event.get("data[message][text]"),
        format!("/help {params}\nsecond line")
    );
    assert_eq!(event.get("data[bot][id]"), bot.to_string());
    assert_eq!(event.get("data[bot][code]"), "a");
    assert_eq!(event.get("data[message][isSystem]"), "0");
    assert_eq!(event.get("data[user][active]"), "1");
    assert_eq!(event.get("data[user][departments][0]"), "1");
    // Null and empty lists are not there.
    assert_eq!(event.find("data[message][uuid]"), None);
    assert!(!event.raw.contains("params%5D%5B"));
    assert!(
        !event.raw.contains("auth%5D"),
        "tokens of a bot that has none"
    );
    assert_eq!(
        event.get("ts"),
        world.sim.clock().now().as_secs().to_string()
    );
    assert_eq!(
        event.get("auth[application_token]"),
        format!("custom{TOKEN}")
    );
    assert_eq!(event.get("auth[member_id]"), world.portal.member_id());
    assert_eq!(
        event.get("auth[client_endpoint]"),
        format!("{}/rest/", world.portal.address())
    );
    assert_eq!(
        event.get("auth[server_endpoint]"),
        format!("{}/rest/", world.sim.oauth().address())
    );
    assert_eq!(event.find("auth[access_token]"), None);
    assert_eq!(event.find("auth[scope]"), None);
}

#[tokio::test(start_paused = true)]
async fn a_long_token_is_cut_to_fifty_characters() {
    let world = World::new().await;
    let mut receiver = Receiver::plain().await;
    world
        .portal
        .set_quirks(|quirks| quirks.token_length = TokenLengthCheck::Never);
    let bot = bot_at(&world, "a", &"t".repeat(60), &receiver.url).await;
    says(&world, bot, "hello");
    let synthetic = format!("custom{}", "t".repeat(44));
    assert_eq!(
        receiver.next().await.get("auth[application_token]"),
        synthetic
    );
}

/// Every name in a sample form is a name in a form the portal sends.
#[track_caller]
fn has_names_of(real: &Received, sample: &str) {
    for pair in sample.split('&') {
        let name = pair.split('=').next().unwrap();
        let there = real
            .raw
            .split('&')
            .any(|pair| pair.split('=').next() == Some(name));
        assert!(there, "{name} is missing in {}", real.raw);
    }
}

#[tokio::test(start_paused = true)]
async fn forms_have_all_names_of_the_samples() {
    let (app, mut receiver) = with_callbacks(&["ONAPPUNINSTALL"]).await;
    let world = &app.world;
    world
        .portal
        .set_quirks(|quirks| quirks.form_nulls = FormNull::Empty);
    let mut of_token = Receiver::plain().await;
    let bot = bot_at(world, "a", TOKEN, &of_token.url).await;
    world.command(bot, "help", json!({})).await;
    let fields = json!({"code": "b", "eventMode": "webhook", "webhookUrl": receiver.url,
        "properties": {"name": "B"}});
    let made = app
        .own("imbot.v2.Bot.register", json!({"fields": fields}))
        .await;
    let own = made.result()["bot"]["id"].clone();
    let fields = json!({"command": "help", "title": {"en": "Help"}});
    app.own(
        "imbot.v2.Command.register",
        json!({"botId": own, "fields": fields}),
    )
    .await
    .result();
    for (text, sample_of_token, sample_of_app) in [
        (
            "Hello bot!",
            include_str!("../fixtures/ONIMBOTV2MESSAGEADD.webhook-bottoken-bot.form"),
            include_str!("../fixtures/ONIMBOTV2MESSAGEADD.webhook-null-as-empty.form"),
        ),
        (
            "/help topic",
            include_str!("../fixtures/ONIMBOTV2COMMANDADD.webhook-bottoken-bot.form"),
            include_str!("../fixtures/ONIMBOTV2COMMANDADD.webhook-oauth-app.form"),
        ),
    ] {
        says(world, bot, text);
        has_names_of(&of_token.next().await, sample_of_token);
        says(world, own.as_i64().unwrap(), text);
        has_names_of(&receiver.next().await, sample_of_app);
    }
    world.portal.install(&app.application.client_id, 1).unwrap();
    let sample = include_str!("../fixtures/ONAPPINSTALL.callback.form");
    has_names_of(&receiver.next().await, sample);
    world
        .portal
        .uninstall(&app.application.client_id, true)
        .unwrap();
    let sample = include_str!("../fixtures/ONAPPUNINSTALL.callback.form");
    has_names_of(&receiver.next().await, sample);
}

#[tokio::test(start_paused = true)]
async fn a_bot_of_an_application_gets_tokens_with_its_events() {
    let app = Installed::new().await;
    let mut receiver = Receiver::plain().await;
    let fields = json!({"code": "a", "eventMode": "webhook", "webhookUrl": receiver.url,
        "properties": {"name": "A"}});
    let made = app
        .own("imbot.v2.Bot.register", json!({"fields": fields}))
        .await;
    let bot = made.result()["bot"]["id"].as_i64().unwrap();
    says(&app.world, bot, "hello");
    let event = receiver.next().await;
    let portal = &app.world.portal;
    let token = &app.application.application_token;
    assert_eq!(event.get("auth[application_token]"), token);
    assert_ne!(event.get("data[bot][auth][application_token]"), token);
    assert_eq!(event.get("auth[scope]"), "im imbot user");
    assert_eq!(event.get("auth[status]"), "L");
    let caller = app
        .call(event.get("auth[access_token]"), "profile", json!({}))
        .await;
    assert_eq!(caller.result()["ID"], app.world.anna.to_string());
    let own = app
        .call(
            event.get("data[bot][auth][access_token]"),
            "imbot.v2.Bot.list",
            json!({}),
        )
        .await;
    assert_eq!(own.result()["bots"][0]["id"], bot);
    assert_eq!(event.find("data[bot][auth][refresh_token]"), None);

    portal.set_quirks(|quirks| quirks.bot_auth_can_refresh = true);
    says(&app.world, bot, "hello");
    assert!(
        receiver
            .next()
            .await
            .find("data[bot][auth][refresh_token]")
            .is_some()
    );

    // What nobody raised has no token; what is not paid for is not told.
    let chat = portal.add_group_chat("T", &[1]);
    portal.add_bot_to_chat(bot, chat.id, 1).unwrap();
    assert!(receiver.next().await.find("auth[access_token]").is_some());
    portal.remove_bot(bot);
    let last = receiver.next().await;
    assert_eq!(
        (last.get("event"), last.find("auth[access_token]")),
        ("ONIMBOTV2DELETE", None)
    );
    assert_eq!(last.find("data[language]"), None);
}

#[tokio::test(start_paused = true)]
async fn an_unpaid_or_unfinished_application_hears_nothing() {
    let app = Installed::with(ApplicationConfig {
        page_url: Some("http://127.0.0.1:1/page".into()),
        ..ApplicationConfig::default()
    })
    .await;
    let mut receiver = Receiver::plain().await;
    let fields = json!({"code": "a", "eventMode": "webhook", "webhookUrl": receiver.url,
        "properties": {"name": "A"}});
    let made = app
        .own("imbot.v2.Bot.register", json!({"fields": fields}))
        .await;
    let bot = made.result()["bot"]["id"].as_i64().unwrap();
    let (portal, id) = (&app.world.portal, &app.application.client_id);
    says(&app.world, bot, "lost: not finished");
    portal.finish_install(id).unwrap();
    portal.set_paid(id, false).unwrap();
    says(&app.world, bot, "lost: not paid");
    portal.set_paid(id, true).unwrap();
    says(&app.world, bot, "heard");
    assert_eq!(receiver.next().await.get("data[message][text]"), "heard");
    assert!(receiver.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn forms_vary_in_null_truth_brackets_and_kind() {
    let world = World::new().await;
    let mut receiver = Receiver::plain().await;
    let bot = bot_at(&world, "a", TOKEN, &receiver.url).await;
    world.portal.set_quirks(|quirks| {
        quirks.form_nulls = FormNull::Empty;
        quirks.form_booleans = FormBoolean::Letters;
        quirks.encoded_brackets = false;
        quirks.event_handler_id = false;
    });
    says(&world, bot, "x");
    let event = receiver.next().await;
    assert!(
        event.raw.starts_with("event=ONIMBOTV2MESSAGEADD&data[bot]"),
        "{}",
        event.raw
    );
    assert_eq!(event.get("data[message][uuid]"), "");
    assert_eq!(event.get("data[user][active]"), "Y");
    for (booleans, truth, falsehood) in [
        (FormBoolean::Words, "true", "false"),
        (FormBoolean::EmptyIsFalse, "1", ""),
        (FormBoolean::Digits, "1", "0"),
    ] {
        world
            .portal
            .set_quirks(|quirks| quirks.form_booleans = booleans);
        says(&world, bot, "x");
        let event = receiver.next().await;
        assert_eq!(
            (
                event.get("data[user][active]"),
                event.get("data[user][bot]")
            ),
            (truth, falsehood)
        );
    }
    world
        .portal
        .set_quirks(|quirks| quirks.webhook_bodies_are_json = true);
    says(&world, bot, "x");
    let event = receiver.next().await;
    assert_eq!(event.media, "application/json");
    let body: Value = serde_json::from_str(&event.raw).unwrap();
    assert_eq!(body["data"]["bot"]["id"], bot);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_twice_whatever_the_receiver_answers() {
    let world = World::new().await;
    let mut receiver = Receiver::answering(500).await;
    let bot = bot_at(&world, "a", TOKEN, &receiver.url).await;
    says(&world, bot, "first");
    says(&world, bot, "second");
    done(&world, 2).await;
    assert_eq!(receiver.next().await.get("data[message][text]"), "first");
    assert_eq!(receiver.next().await.get("data[message][text]"), "second");
    assert!(receiver.is_quiet());
    let deliveries = world.portal.journal().deliveries();
    assert_eq!(
        (deliveries[0].status, deliveries[0].event.as_str()),
        (Some(500), "ONIMBOTV2MESSAGEADD")
    );
    update(
        &world,
        bot,
        json!({"webhookUrl": "http://127.0.0.1:1/nobody"}),
    )
    .await;
    says(&world, bot, "third");
    done(&world, 3).await;
    let lost = &world.portal.journal().deliveries()[2];
    assert_eq!(lost.status, None);
    assert!(
        lost.failure
            .as_ref()
            .unwrap()
            .starts_with("no connection: ")
    );
}

#[tokio::test(start_paused = true)]
async fn a_secure_receiver_needs_a_certificate_that_is_trusted() {
    let (mut receiver, pem) = Receiver::secure().await;
    let portal = PortalConfig {
        limits: Limits::none(),
        ..PortalConfig::default()
    };
    for trusted in [Some(pem), None] {
        let sim = Config {
            receiver_ca_pem: trusted.clone(),
            ..Config::default()
        };
        let world = World::within(sim, portal.clone()).await;
        let bot = bot_at(&world, "a", TOKEN, &receiver.url).await;
        says(&world, bot, "hello");
        done(&world, 1).await;
        let delivery = world.portal.journal().deliveries().remove(0);
        assert_eq!(delivery.status.is_some(), trusted.is_some(), "{delivery:?}");
    }
    receiver.next().await;
    assert!(receiver.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn deliveries_come_late_twice_or_in_another_order_on_demand() {
    let world = World::new().await;
    let mut receiver = Receiver::plain().await;
    let bot = bot_at(&world, "a", TOKEN, &receiver.url).await;
    world.portal.hold_deliveries();
    says(&world, bot, "one");
    says(&world, bot, "two");
    world.portal.release_deliveries(true, 2);
    says(&world, bot, "three");
    world
        .portal
        .set_quirks(|quirks| quirks.deliveries_come_twice = true);
    says(&world, bot, "four");
    let mut texts = Vec::new();
    for _ in 0..7 {
        texts.push(receiver.next().await.get("data[message][text]").to_owned());
    }
    assert_eq!(texts, ["two", "two", "one", "one", "three", "four", "four"]);
}

#[tokio::test(start_paused = true)]
async fn deliveries_are_driven_over_http() {
    let driven = Driven::new().await;
    let mut receiver = Receiver::plain().await;
    let bot = bot_at(&driven.world, "a", TOKEN, &receiver.url).await;
    driven.portal("POST", "/deliveries/hold", Value::Null).await;
    says(&driven.world, bot, "hello");
    driven
        .portal(
            "POST",
            "/deliveries/release",
            json!({"copies": 2, "reversed": true}),
        )
        .await;
    receiver.next().await;
    receiver.next().await;
    done(&driven.world, 2).await;
    let all = driven.portal("GET", "/deliveries", Value::Null).await;
    assert_eq!(all["deliveries"][1]["status"], 200);
    let subscriptions = driven
        .portal("GET", "/deliveries/subscriptions", Value::Null)
        .await;
    assert_eq!(subscriptions["subscriptions"][0]["bot_id"], bot);
    let app = json!({"client_id": "app.a", "page_url": receiver.url, "handler_url": receiver.url});
    driven.portal("POST", "/applications", app).await;
    driven
        .portal("POST", "/applications/app.a/install", Value::Null)
        .await;
    assert_eq!(receiver.next().await.get("data[INSTALLED]"), "N");
    driven
        .portal("POST", "/applications/app.a/open_page", Value::Null)
        .await;
    receiver.next().await;
    driven
        .portal(
            "POST",
            "/applications/app.a/update",
            json!({"new_token": true}),
        )
        .await;
    assert_eq!(receiver.next().await.get("event"), "ONAPPUPDATE");
}
