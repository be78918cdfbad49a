//! The README names tests that exist.

const README: &str = include_str!("../../README.md");
const SOURCES: [&str; 31] = [
    include_str!("answers.rs"),
    include_str!("batch.rs"),
    include_str!("bots.rs"),
    include_str!("callbacks.rs"),
    include_str!("chats.rs"),
    include_str!("commands.rs"),
    include_str!("control.rs"),
    include_str!("core.rs"),
    include_str!("delivery.rs"),
    include_str!("events.rs"),
    include_str!("faults.rs"),
    include_str!("doubt.rs"),
    include_str!("files.rs"),
    include_str!("firing.rs"),
    include_str!("garbage.rs"),
    include_str!("fixtures.rs"),
    include_str!("messages.rs"),
    include_str!("moving.rs"),
    include_str!("oauth.rs"),
    include_str!("people_events.rs"),
    include_str!("quirks.rs"),
    include_str!("subscriptions.rs"),
    include_str!("switches.rs"),
    include_str!("tokens.rs"),
    include_str!("user_commands.rs"),
    include_str!("../../src/batch.rs"),
    include_str!("../../src/limits.rs"),
    include_str!("../../src/methods/attach.rs"),
    include_str!("../../src/methods/keyboard.rs"),
    include_str!("../../src/params.rs"),
    concat!(
        include_str!("../../src/php.rs"),
        include_str!("../../src/methods/send.rs")
    ),
];

#[test]
fn every_test_named_in_the_table_exists() {
    let (_, table) = README.split_once("## Contract rows").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let names = table
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.matches('_').count() > 2);
    let mut count = 0;
    for name in names {
        let definition = format!("fn {name}(");
        assert!(
            SOURCES.iter().any(|source| source.contains(&definition)),
            "{name}"
        );
        count += 1;
    }
    assert!(count > 100, "{count}");
}
