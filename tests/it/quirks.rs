//! Where sources on Bitrix24 disagree, the gateway does its job under every reading.
//!
//! The main job runs here under every single departure from what the simulated portal does by default.
//! With `GATEWAY_QUIRK` set to the name of one, every scene of this binary has that departure:
//! `.ci/quirks` runs the whole suite so.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, AnswerOutcome};
use bitrix24_sim::{Quirks, Request};
use serde_json::Value;

use crate::scene::{Scene, answer, called};

/// Every single departure from the default, by name: `setting=value`.
pub(crate) fn departures() -> Vec<(String, Quirks)> {
    let Value::Object(defaults) = serde_json::to_value(Quirks::default()).unwrap() else {
        panic!("quirks are an object");
    };
    let mut departures = vec![("documented".to_owned(), Quirks::documented())];
    for (name, default) in &defaults {
        for value in others(name, default) {
            let mut changed = defaults.clone();
            changed.insert(name.clone(), value.clone());
            let quirks = serde_json::from_value(changed.into()).unwrap();
            departures.push((format!("{name}={value}"), quirks));
        }
    }
    departures
}

/// The departure that the environment asks for, else the default.
pub(crate) fn from_environment() -> Quirks {
    #[expect(
        clippy::disallowed_methods,
        reason = "how to test is not the gateway's configuration"
    )]
    let Ok(wanted) = std::env::var("GATEWAY_QUIRK") else {
        return Quirks::default();
    };
    let found = departures().into_iter().find(|(name, _)| *name == wanted);
    found
        .unwrap_or_else(|| panic!("no departure is named {wanted}"))
        .1
}

/// The other values of a setting.
fn others(name: &str, default: &Value) -> Vec<Value> {
    match default {
        Value::Bool(truth) => vec![Value::Bool(!truth)],
        Value::Number(_) => vec![Value::from(1000)],
        // The names of the choices stand in the complaint about a wrong one.
        _ => {
            let mut wrong = serde_json::to_value(Quirks::default()).unwrap();
            wrong[name] = Value::from("?");
            let complaint = serde_json::from_value::<Quirks>(wrong)
                .unwrap_err()
                .to_string();
            let choices = complaint.split('`').skip(3).step_by(2).map(Value::from);
            let others: Vec<_> = choices.filter(|choice| choice != default).collect();
            assert!(!others.is_empty(), "{name}: {complaint}");
            others
        }
    }
}

#[test]
fn every_switch_departs_and_is_listed() {
    let departures = departures();
    assert!(departures.len() > 50, "{}", departures.len());
    #[expect(
        clippy::disallowed_methods,
        reason = "how to test is not the gateway's configuration"
    )]
    if let Ok(file) = std::env::var("GATEWAY_QUIRKS_LIST") {
        let names: Vec<_> = departures.into_iter().map(|(name, _)| name).collect();
        std::fs::write(file, names.join("\n") + "\n").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_main_job_is_done_under_every_single_quirk() {
    for (name, quirks) in departures() {
        let mut scene = Scene::of("webhook_url", &[], quirks).await;
        scene.helper().await;
        let again = scene
            .bots
            .register_bot(crate::scene::helper())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            again.outcome(),
            pb::RegistrationOutcome::Unchanged,
            "{name}"
        );
        let mut stream = scene
            .subscribe(pb::SubscribeCommandEventsRequest::default())
            .await;
        for round in ["one", "two"] {
            scene.anna_types(&format!("/help {round}"));
            let (_, event) = stream.event().await;
            assert_eq!(called(&event).params, round, "{name}");
            if command_without_message(&event) {
                continue;
            }
            let answered = scene
                .bots
                .answer_command(answer(&event, round))
                .await
                .unwrap();
            assert_eq!(
                answered.into_inner().outcome(),
                AnswerOutcome::Answered,
                "{name}"
            );
            assert_eq!(
                scene.texts().last().map(String::as_str),
                Some(round),
                "{name}"
            );
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let refused = |request: &Request| request.error().is_some();
        let requests = scene.portal.journal().requests();
        // The only refusal of a whole story: looking for a bot that was not there yet.
        let errors: Vec<_> = requests
            .iter()
            .filter(|request| refused(request))
            .map(|request| &request.method)
            .collect();
        assert_eq!(errors, ["imbot.v2.Bot.get"], "{name}");
    }
}

/// Whether the portal left out which message the command stands in: then nobody can answer it.
fn command_without_message(event: &pb::Event) -> bool {
    crate::scene::command_added(event).message.is_none()
}
