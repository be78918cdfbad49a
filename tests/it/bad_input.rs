//! What a request must be, rule by rule.
//!
//! Each row breaks rules and names the fields that must be told, all of them and no others. After
//! each table the portal's journal must be as it was: a wrong request costs no call.

mod bots;
mod commands;
mod content;
mod messages;
mod streams;

use tonic::{Code, Status};

use crate::scene::{Scene, broken_fields, failure, told};

/// A name, and what came back.
type Row<T> = (&'static str, Result<T, Status>);

/// A refusal for these fields, none of which reached the portal.
fn refused_for<T>((name, outcome): Row<T>, fields: &[&str]) {
    let status = outcome
        .err()
        .unwrap_or_else(|| panic!("{name}: was accepted"));
    assert_eq!(
        told(&status),
        failure(Code::InvalidArgument, "INVALID_REQUEST", "no"),
        "{name}"
    );
    assert_eq!(
        broken_fields(&status),
        fields,
        "{name}: {}",
        status.message()
    );
    for field in fields {
        assert!(
            status.message().contains(field),
            "{name}: the message does not name {field}"
        );
    }
}

/// A refusal for another reason.
fn refused_with<T>((name, outcome): Row<T>, code: Code, reason: &str) {
    let status = outcome
        .err()
        .unwrap_or_else(|| panic!("{name}: was accepted"));
    assert_eq!(told(&status), failure(code, reason, "no"), "{name}");
}

/// A scene with the bot `helper` and its command, and how many calls that took.
async fn scene() -> (Scene, usize) {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let calls = scene.calls().len();
    (scene, calls)
}

/// One letter too long for a name, a text, a field.
fn long(length: usize) -> String {
    // Two bytes each: what counts is characters.
    "ä".repeat(length)
}
