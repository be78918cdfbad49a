//! The example bots of `examples/`, run as somebody would run them: their own tools, a gateway, a portal.
//!
//! Each language tells the same stories. What differs between them is one [`tools::Language`].

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

mod moving;
mod portal;
mod relayed;
mod secured;
mod snippets;
mod testing;
mod tools;
mod unready;

use std::collections::BTreeSet;

use bitrix24_gateway::proto::DESCRIPTORS;
use prost::Message as _;
use serde_json::Value;

use portal::World;
use tools::{Language, NODE, PYTHON, Workshop, example_file};
use unready::Unready;

#[tokio::test]
async fn python_bot_answers_each_command_once() {
    each_command_is_answered_once(PYTHON).await;
}

#[tokio::test]
async fn node_bot_answers_each_command_once() {
    each_command_is_answered_once(NODE).await;
}

async fn each_command_is_answered_once(language: Language) {
    let workshop = Workshop::of(language).await;
    let mut world = World::start(language.bot_code).await;

    let mut bot = workshop.start_bot(world.address(), world.folder());
    world.wait_for_commands(&mut bot).await;
    world.types("/sum 2 3");
    world.wait_for_answer("2 + 3 = 5", &mut bot).await;

    // Killed without a chance to note anything, and away when the next command is called.
    bot.kill().await;
    world.types("/sum 20 30");
    bot = workshop.start_bot(world.address(), world.folder());
    world.wait_for_answer("20 + 30 = 50", &mut bot).await;

    world.restart_gateway().await;
    world.types("/sum 200 300");
    world.wait_for_answer("200 + 300 = 500", &mut bot).await;
    let log = bot.log();
    assert!(log.contains("UNAVAILABLE GATEWAY_STOPPING"), "{log}");

    world.types("/sum words");
    world
        .wait_for_answer("I add whole numbers: /sum 2 3", &mut bot)
        .await;
    assert!(bot.terminate().await.success(), "{}", bot.log());

    let answers = [
        "2 + 3 = 5",
        "20 + 30 = 50",
        "200 + 300 = 500",
        "I add whole numbers: /sum 2 3",
    ];
    assert_eq!(world.answers(), answers);
    world.stop().await;
}

#[tokio::test]
async fn python_bot_killed_in_the_middle_of_a_slow_command_is_replaced_by_another_worker() {
    killed_bot_is_replaced_by_another_worker(PYTHON).await;
}

#[tokio::test]
async fn node_bot_killed_in_the_middle_of_a_slow_command_is_replaced_by_another_worker() {
    killed_bot_is_replaced_by_another_worker(NODE).await;
}

async fn killed_bot_is_replaced_by_another_worker(language: Language) {
    const PROGRESS: &str = "One moment ...";
    const ANSWER: &str = "2 + 3 = 5";
    let workshop = Workshop::of(language).await;
    let world = World::start(language.bot_code).await;
    let [one, other] = ["one", "other"].map(|name| world.folder().join(name));
    std::fs::create_dir(&one).unwrap();
    std::fs::create_dir(&other).unwrap();

    let mut first = workshop.start_bot(world.address(), &one);
    world.wait_for_commands(&mut first).await;
    world.types("/slow 2 3");
    world.wait_for_answer(PROGRESS, &mut first).await;
    let mut second = workshop.start_bot(world.address(), &other);
    world.wait_for_workers(2, &mut second).await;
    first.kill().await;
    assert_eq!(world.answers(), [PROGRESS], "killed too late");
    world.wait_for_answer(ANSWER, &mut second).await;

    // The command after it comes when it is done.
    world.types("/sum 20 30");
    world.wait_for_answer("20 + 30 = 50", &mut second).await;
    assert_eq!(
        world.answers(),
        [PROGRESS, PROGRESS, ANSWER, "20 + 30 = 50"]
    );
    assert!(second.terminate().await.success(), "{}", second.log());
    world.stop().await;
}

#[tokio::test]
async fn python_bot_that_does_not_know_a_command_lets_the_others_pass() {
    unknown_command_holds_nothing_up(PYTHON).await;
}

#[tokio::test]
async fn node_bot_that_does_not_know_a_command_lets_the_others_pass() {
    unknown_command_holds_nothing_up(NODE).await;
}

async fn unknown_command_holds_nothing_up(language: Language) {
    let workshop = Workshop::of(language).await;
    let world = World::start(language.bot_code).await;
    let mut bot = workshop.start_bot(world.address(), world.folder());
    world.wait_for_commands(&mut bot).await;
    world.register_command("other").await;
    world.types("/other 2 3");
    world.types("/sum 2 3");
    world.wait_for_answer("2 + 3 = 5", &mut bot).await;
    assert_eq!(world.answers(), ["2 + 3 = 5"]);
    assert!(bot.terminate().await.success(), "{}", bot.log());
    world.stop().await;
}

#[tokio::test]
async fn service_config_carries_python_over_a_gateway_that_is_not_ready() {
    service_config_carries_over_a_gateway_that_is_not_ready(PYTHON).await;
}

#[tokio::test]
async fn service_config_carries_node_over_a_gateway_that_is_not_ready() {
    service_config_carries_over_a_gateway_that_is_not_ready(NODE).await;
}

async fn service_config_carries_over_a_gateway_that_is_not_ready(language: Language) {
    let workshop = Workshop::of(language).await;
    let folder = tempfile::tempdir().unwrap();
    // Breaks the first connection, and answers the first call on the next one with UNAVAILABLE.
    let gateway = Unready::start().await;
    let mut bot = workshop.start_bot(gateway.address(), folder.path());
    // There are no bots at that address, so this one gives up, but not before it got so far.
    let status = bot.ended().await;
    let log = bot.log();
    assert!(!status.success(), "{log}");
    assert!(log.contains("gateway 9.8.7"), "{log}");
    assert!(log.contains("UNIMPLEMENTED"), "{log}");
    assert!(
        !log.contains("UNAVAILABLE"),
        "the bot had to help itself: {log}"
    );
    assert_eq!(gateway.calls(), 2, "{log}");
}

#[test]
fn examples_are_short() {
    for language in [PYTHON, NODE] {
        let lines = example_file(language.folder, language.script)
            .lines()
            .count();
        assert!(lines < 120, "{} has {lines} lines", language.script);
    }
}

#[test]
fn service_config_repeats_only_what_exists_and_is_safe_to_repeat() {
    let descriptors = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut unary = BTreeSet::new();
    let mut streams = BTreeSet::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let kind = if method.server_streaming() {
                    &mut streams
                } else {
                    &mut unary
                };
                kind.insert(format!(
                    "{}.{}/{}",
                    file.package(),
                    service.name(),
                    method.name()
                ));
            }
        }
    }
    let config: Value = serde_json::from_str(&example_file("", "service-config.json")).unwrap();
    let mut named = BTreeSet::new();
    for method_config in config["methodConfig"].as_array().unwrap() {
        for name in method_config["name"].as_array().unwrap() {
            // A name without a method would be the default of a service, and so also of its effects.
            let (service, method) = (name["service"].as_str(), name["method"].as_str());
            let name = format!("{}/{}", service.unwrap(), method.unwrap());
            assert!(
                unary.contains(&name) || streams.contains(&name),
                "{name} does not exist"
            );
            let policy = &method_config["retryPolicy"];
            if streams.contains(&name) {
                assert!(
                    policy.is_null(),
                    "{name} goes on with another request than before"
                );
            } else {
                assert_eq!(
                    policy["retryableStatusCodes"],
                    serde_json::json!(["UNAVAILABLE"])
                );
                assert!(
                    method_config["timeout"].is_string(),
                    "{name} has no timeout"
                );
            }
            assert!(named.insert(name.clone()), "{name} stands there twice");
        }
    }
    for effect in ["AnswerCommand", "ExecuteCommand"] {
        let name = format!("bitrix24.gateway.v1.BotService/{effect}");
        assert!(unary.contains(&name), "{name} has another name now");
        assert!(!named.contains(&name), "a repeat of {name} posts again");
    }
}
