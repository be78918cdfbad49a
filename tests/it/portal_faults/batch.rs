//! Batches that are answered oddly, and costs that cannot be.

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::{Effect, Fault};
use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::scene::{Scene, content, told};

/// More than leave one by one.
const MANY: usize = 100;

/// Results as the portal gives them, for the calls of these numbers.
fn results(numbers: impl Iterator<Item = usize>) -> Map<String, Value> {
    let result = |number| (format!("c{number:02}"), json!({"id": 90_000 + number}));
    numbers.map(result).collect()
}

#[tokio::test(start_paused = true)]
async fn call_that_a_batch_does_not_speak_of_may_have_run() {
    let list: Vec<_> = results(0..50).into_values().collect();
    let mut strangers = results(100..110);
    strangers.insert("result".to_owned(), json!({"id": 1}));
    for (name, maps, understood) in [
        (
            "half",
            json!({"result": results(0..50).into_iter().step_by(2).collect::<Map<_, _>>()}),
            true,
        ),
        ("a list", json!({"result": list, "result_error": []}), false),
        ("strangers", json!({"result": strangers}), false),
        (
            "a list of errors",
            json!({"result": [], "result_error": [{"error": "ERROR_ARGUMENT"}]}),
            false,
        ),
        (
            "empty lists",
            json!({"result": [], "result_error": []}),
            false,
        ),
        ("no maps", json!([]), false),
        (
            "texts",
            json!({"result": "none", "result_error": "none"}),
            false,
        ),
    ] {
        let mut scene = Scene::start().await;
        scene.answers_tell_times();
        let bot_id = scene.helper().await;
        let body = json!({"result": maps}).to_string();
        let fault = Fault::raw(200, &[("content-type", "application/json")], body);
        // All calls run; only the answer tells it oddly.
        let fault = fault.after_effect().always();
        scene.portal.faults().on("batch", fault);
        let calls = (0..MANY).map(|index| {
            let chat = scene.portal.add_group_chat("Room", &[1, bot_id]);
            let mut messages = scene.messages();
            async move {
                let request = pb::SendMessageRequest {
                    bot_code: "helper".to_owned(),
                    dialog_id: chat.dialog_id(),
                    content: Some(content(&format!("line {index}"))),
                    ..pb::SendMessageRequest::default()
                };
                messages.send_message(request).await
            }
        });
        let mut told_of = 0;
        let mut open = 0;
        for outcome in join_all(calls.collect::<Vec<_>>()).await {
            match outcome {
                Ok(sent) => told_of += usize::from(sent.into_inner().message_id() > 90_000),
                Err(status) => {
                    assert_eq!(told(&status).executed, "unknown", "{name}: {status:?}");
                    open += 1;
                }
            }
        }
        assert!(open > 5, "{name}: {open} outcomes are open");
        assert_eq!(told_of > 0, understood, "{name}: {told_of} were told of");
        let posted = |effect: &Effect| matches!(effect, Effect::MessagePosted { text, .. } if text.starts_with("line"));
        let effects = scene.portal.journal().effects();
        assert_eq!(
            effects.iter().filter(|it| posted(it)).count(),
            MANY,
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn costs_that_cannot_be_keep_nobody_waiting() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let get = || pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    let bot = scene.portal.bot_by_code("helper").unwrap();
    let params = json!({"botId": bot.id, "botToken": bot.token});
    let answer = scene.call_elsewhere("imbot.v2.Bot.get", &params).await;
    let result = answer["result"].clone();
    for time in [
        json!({"operating": "17.5", "operating_reset_at": "1"}),
        json!({"operating": "much"}),
        json!({"operating": -400}),
        json!({"operating": 1e300, "operating_reset_at": 1e300}),
        json!({"operating": [], "operating_reset_at": {}}),
        json!({"operating": null, "duration": -1}),
        json!({"operating": 1, "duration": 1e12, "operating_reset_at": 9_000_000_000_000_i64}),
        json!({"operating": 1, "duration": "1e12", "operating_reset_at": -5}),
        json!({"operating": 1, "finish": 1e18, "start": -1e18}),
        json!("soon"),
        json!([1, 2]),
    ] {
        // So that the request rate has no say.
        sleep(Duration::from_secs(60)).await;
        let body = json!({"result": result, "time": time});
        scene.answer_next("imbot.v2.Bot.get", &body);
        scene.bots.get_bot(get()).await.unwrap();
        let started = Instant::now();
        scene.bots.get_bot(get()).await.unwrap();
        let waited = started.elapsed();
        assert!(waited < Duration::from_millis(100), "{time}: {waited:?}");
    }
}
