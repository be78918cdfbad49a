//! Trouble of the wire and answers of no sense.

use std::time::Duration;

use bitrix24_sim::Fault;
use tonic::Code;

use super::{Call, Stage};

const HTML: &[(&str, &str)] = &[("content-type", "text/html")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// An answer that says nothing we understand.
fn senseless() -> Vec<(&'static str, Fault)> {
    let json = |body: &str| Fault::raw(200, JSON, body);
    vec![
        ("a page with 200", Fault::html(200)),
        ("a page with 404", Fault::html(404)),
        ("a page with 500", Fault::html(500)),
        ("a page with 502", Fault::html(502)),
        (
            "a page that says JSON",
            Fault::raw(200, JSON, "<html></html>"),
        ),
        ("an empty body", Fault::raw(200, JSON, "")),
        ("an empty page", Fault::raw(200, HTML, " \n")),
        ("no content", Fault::raw(204, &[], "")),
        (
            "a text",
            Fault::raw(200, &[("content-type", "text/plain")], "hello"),
        ),
        ("half of JSON", json(r#"{"result": {"bot": {"id": 4"#)),
        ("deep JSON", json(&"[".repeat(100_000))),
        ("bytes", Fault::raw(200, JSON, vec![0, 255, 254, 7])),
        ("a list", json("[]")),
        ("a text in JSON", json("\"yes\"")),
        ("a number", json("17")),
        ("null", json("null")),
        ("an empty object", json("{}")),
        ("a result of null", json(r#"{"result": null}"#)),
        ("a result of text", json(r#"{"result": "yes"}"#)),
        ("a result of 17", json(r#"{"result": 17}"#)),
        ("a result of a list", json(r#"{"result": [1, 2]}"#)),
        (
            "a result of an object",
            json(r#"{"result": {"something": "else"}}"#),
        ),
        (
            "a bot of text",
            json(r#"{"result": {"bot": "yes", "commands": "yes", "result": "yes"}}"#),
        ),
        (
            "a bot without id",
            json(r#"{"result": {"bot": {"code": "x"}, "commands": [{"command": "x"}]}}"#),
        ),
        (
            "ids of wrong types",
            json(r#"{"result": {"bot": {"id": {}}, "commands": [{"id": []}]}}"#),
        ),
        (
            "a result with 500",
            Fault::raw(500, JSON, r#"{"result": true}"#),
        ),
        ("more than we read", Fault::enormous(9 << 20)),
    ]
}

#[tokio::test(start_paused = true)]
async fn senseless_answer_is_told_as_such_and_leaves_open_whether_the_call_ran() {
    let mut stage = Stage::new().await;
    for call in Call::ALL {
        for (name, fault) in senseless() {
            for fault in [fault.clone().before_effect(), fault.clone().after_effect()] {
                let told = stage.troubled(call, name, fault).await.expect_err(name);
                let (code, executed) = if call.reads() {
                    (Code::Unavailable, "no")
                } else {
                    (Code::Unknown, "unknown")
                };
                let seen = (told.code, told.reason.as_str(), told.executed.as_str());
                assert_eq!(
                    seen,
                    (code, "UNREADABLE_ANSWER", executed),
                    "{call:?}, {name}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answer_leaves_open_whether_the_call_ran() {
    let mut stage = Stage::new().await;
    for call in Call::ALL {
        for (name, fault) in [
            ("cut after the effect", Fault::cut_body()),
            ("cut before the effect", Fault::cut_body().before_effect()),
            ("reset before the effect", Fault::reset()),
            ("reset after the effect", Fault::reset().after_effect()),
            ("silence", Fault::hang()),
            ("silence after the effect", Fault::hang().after_effect()),
            (
                "a byte every ten seconds",
                Fault::drip(1, Duration::from_secs(10)),
            ),
        ] {
            let told = stage.troubled(call, name, fault).await.expect_err(name);
            let expected = if call.reads() {
                (Code::Unavailable, "PORTAL_UNREACHABLE", "no")
            } else {
                (Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
            };
            let seen = (told.code, told.reason.as_str(), told.executed.as_str());
            assert_eq!(seen, expected, "{call:?}, {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn slow_answer_is_still_an_answer() {
    let mut stage = Stage::new().await;
    for call in Call::ALL {
        for (name, fault) in [
            ("five seconds late", Fault::latency(Duration::from_secs(5))),
            ("in small pieces", Fault::drip(7, Duration::from_millis(5))),
            ("followed by spaces", Fault::enormous(1 << 20)),
        ] {
            stage.troubled(call, name, fault).await.expect(name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_in_the_result_is_no_success() {
    let mut stage = Stage::new().await;
    let no = || Fault::raw(200, JSON, r#"{"result": false}"#);
    for call in [
        Call::AnswerCommand,
        Call::ExecuteCommand,
        Call::UpdateMessage,
    ] {
        let told = stage.troubled(call, "false", no()).await.unwrap_err();
        assert_eq!(
            (told.code, told.reason.as_str()),
            (Code::FailedPrecondition, "PORTAL_REFUSED")
        );
    }
    for call in [
        Call::GetBot,
        Call::ListCommands,
        Call::UpdateBot,
        Call::SendMessage,
    ] {
        let told = stage.troubled(call, "false", no()).await.unwrap_err();
        assert_eq!(told.reason, "UNREADABLE_ANSWER", "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn page_that_turns_us_away_did_not_run_the_call() {
    let mut stage = Stage::new().await;
    let host = stage.scene.portal.address();
    let other = "https://other.example.com";
    let path = stage.scene.portal.webhook_url().replace(&host, "");
    for call in Call::ALL {
        let moved = format!("{other}{path}{}", call.method());
        let licence = format!("{host}/bitrix/license.php?from={path}");
        let login = format!("https://login.example.com/?back={host}{path}");
        for (name, fault, code, reason) in [
            (
                "403",
                Fault::html(403),
                Code::Unavailable,
                "PORTAL_UNREACHABLE",
            ),
            (
                "moved",
                Fault::redirect(&moved),
                Code::Unavailable,
                "PORTAL_UNREACHABLE",
            ),
            (
                "licence",
                Fault::redirect(&licence),
                Code::FailedPrecondition,
                "PORTAL_PLAN_WITHOUT_REST",
            ),
            (
                "login",
                Fault::redirect(&login),
                Code::Unavailable,
                "PORTAL_UNREACHABLE",
            ),
            (
                "nowhere",
                Fault::raw(302, &[], ""),
                Code::Unavailable,
                "PORTAL_UNREACHABLE",
            ),
        ] {
            let told = stage.troubled(call, name, fault).await.expect_err(name);
            let seen = (told.code, told.reason.as_str(), told.executed.as_str());
            assert_eq!(seen, (code, reason, "no"), "{call:?}, {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn troubled_answer_is_posted_once_at_most() {
    let mut stage = Stage::new().await;
    for (fault, posted) in [
        (Fault::reset(), 0),
        (Fault::reset().after_effect(), 1),
        (Fault::html(502).after_effect(), 1),
        (Fault::hang().after_effect(), 1),
    ] {
        stage.scene.portal.journal().clear();
        stage
            .scene
            .portal
            .faults()
            .on(Call::AnswerCommand.method(), fault);
        stage.call(Call::AnswerCommand).await.unwrap_err();
        assert_eq!(stage.answers_posted(), posted);
    }
}

#[tokio::test(start_paused = true)]
async fn portal_that_is_away_did_not_run_the_call() {
    let mut stage = Stage::new().await;
    stage.scene.portal.stop();
    // An idle connection may die under the first call.
    let _first = stage.call(Call::GetBot).await;
    for call in Call::ALL {
        let status = stage.call(call).await.unwrap_err();
        let told = crate::scene::told(&status);
        let seen = (told.code, told.reason.as_str(), told.executed.as_str());
        assert_eq!(
            seen,
            (Code::Unavailable, "PORTAL_UNREACHABLE", "no"),
            "{call:?}"
        );
        stage.keeps_secrets(&status);
    }
}
