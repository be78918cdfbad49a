//! Rotation, and what can go wrong in it.

use std::{fs, time::Duration};

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use futures_util::future::join_all;
use tokio::time::sleep;
use tonic::Code;

use super::{listed, refusals, rotate, rotations, start, status, token, works};
use crate::{
    oauth::stage::Stage,
    scene::{Scene, content, failure, help, helper, told},
};

const UPDATE: &str = "imbot.v2.Bot.update";

#[tokio::test(start_paused = true)]
async fn rotated_bot_goes_on_with_another_token_and_the_one_before_is_refused() {
    let mut scene = start(&[]).await;
    let id = scene.helper().await;
    let before = token(&scene);
    works(&mut scene, "before").await;
    rotate(&scene).await.unwrap();
    let after = token(&scene);
    assert_ne!(before, after);
    assert!(after.len() <= 40);
    assert!(listed(&scene, &before).await.is_empty());
    assert_eq!(listed(&scene, &after).await, [id]);
    works(&mut scene, "after").await;
    scene.restart().await;
    works(&mut scene, "later").await;
    scene.bots.register_command(help()).await.unwrap();
    assert!(refusals(&scene).is_empty());
    let updates = scene.portal.journal().calls(UPDATE);
    assert_eq!(updates.len(), 1);
    let fields = updates[0].params["fields"].as_object().unwrap();
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["botToken"]);
}

#[tokio::test(start_paused = true)]
async fn calls_of_the_bot_wait_while_its_token_is_replaced_and_none_is_refused() {
    let mut scene = start(&[]).await;
    scene.helper().await;
    for round in 0..3 {
        let slow = Fault::latency(Duration::from_secs(3));
        let slow = if round == 1 {
            slow.after_effect()
        } else {
            slow
        };
        scene.portal.faults().on(UPDATE, slow);
        let say = |number: u64| {
            let mut messages = scene.messages();
            let dialog_id = scene.chat.dialog_id();
            async move {
                sleep(Duration::from_millis(number * 250)).await;
                let message = pb::SendMessageRequest {
                    bot_code: "helper".to_owned(),
                    dialog_id,
                    content: Some(content(&format!("{round}-{number}"))),
                    ..pb::SendMessageRequest::default()
                };
                messages.send_message(message).await
            }
        };
        let rotated = async {
            sleep(Duration::from_secs(2)).await;
            rotate(&scene).await
        };
        let (rotated, said) = tokio::join!(rotated, join_all((0..30).map(say)));
        rotated.unwrap();
        for said in said {
            said.unwrap();
        }
    }
    assert_eq!(rotations(&scene), 3);
    assert!(refusals(&scene).is_empty(), "{:?}", refusals(&scene));
    assert_eq!(scene.texts().len(), 90);
}

/// What may happen to the answer of the portal, before and after it did what was asked.
fn mishaps() -> Vec<Fault> {
    let both = [
        Fault::error(500, "INTERNAL_SERVER_ERROR", ""),
        Fault::error(400, "BOT_UPDATE_FAILED", ""),
        Fault::html(502),
        Fault::reset(),
        Fault::hang(),
    ];
    let after = both.clone().map(Fault::after_effect);
    both.into_iter()
        .map(Fault::before_effect)
        .chain(after)
        .chain([Fault::cut_body()])
        .collect()
}

#[tokio::test(start_paused = true)]
async fn answer_that_leaves_the_outcome_open_is_settled() {
    for attempts in ["1", "3"] {
        for fault in mishaps() {
            let what = format!("{fault:?} {attempts}");
            let mut scene = start(&[("calls.attempts", attempts)]).await;
            scene.helper().await;
            let before = token(&scene);
            scene.portal.faults().on(UPDATE, fault);
            let rotated = rotate(&scene).await;
            let replaced = token(&scene) != before;
            match rotated {
                Ok(()) => assert!(replaced, "{what}"),
                // The caller waits less long than a call that nobody answers may take.
                Err(error) => {
                    assert_eq!(error.code(), Code::Unknown, "{what}");
                    assert_eq!(told(&error).executed, "unknown", "{what}");
                }
            }
            works(&mut scene, "at once").await;
            sleep(Duration::from_secs(200)).await;
            works(&mut scene, "later").await;
            rotate(&scene).await.unwrap();
            works(&mut scene, "rotated again").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn portal_that_is_silent_after_the_change_is_asked_until_it_tells() {
    let mut scene = start(&[("calls.attempts", "1")]).await;
    scene.helper().await;
    let before = token(&scene);
    scene
        .portal
        .faults()
        .on(UPDATE, Fault::reset().after_effect());
    scene
        .portal
        .faults()
        .on("imbot.v2.Bot.list", Fault::html(502).times(5));
    let error = rotate(&scene).await.unwrap_err();
    assert_eq!(
        told(&error),
        failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
    );
    assert_ne!(token(&scene), before);
    works(&mut scene, "after all").await;
    assert!(refusals(&scene).is_empty());
}

#[tokio::test(start_paused = true)]
async fn crash_between_any_two_steps_leaves_a_bot_that_works() {
    let wait = Duration::from_secs(20);
    for (what, fault, settles) in [
        // Executed long after the restart, when the probe has found the token before in force.
        ("asked", Fault::latency(wait), wait),
        // Executed before it.
        (
            "done",
            Fault::latency(wait).after_effect(),
            Duration::from_secs(1),
        ),
    ] {
        let mut scene = start(&[]).await;
        scene.helper().await;
        let before = token(&scene);
        scene.portal.faults().on(UPDATE, fault);
        let mut bots = scene.bots.clone();
        let request = pb::RotateBotTokenRequest {
            bot_code: "helper".to_owned(),
            ..pb::RotateBotTokenRequest::default()
        };
        let rotating = tokio::spawn(async move { bots.rotate_bot_token(request).await });
        sleep(Duration::from_secs(5)).await;
        scene.crash_at_rest_of(rotating).await;
        works(&mut scene, "at once").await;
        sleep(settles + Duration::from_secs(30)).await;
        assert_ne!(token(&scene), before, "{what}");
        works(&mut scene, "later").await;
        sleep(Duration::from_secs(100)).await;
        scene.restart().await;
        works(&mut scene, "after another start").await;
        rotate(&scene).await.unwrap();
        works(&mut scene, "rotated").await;
    }
}

#[tokio::test(start_paused = true)]
async fn lost_store_finds_a_bot_however_often_it_was_rotated() {
    for times in [1, 15, 16, 17] {
        let mut scene = start(&[]).await;
        let id = scene.helper().await;
        for _ in 0..times {
            rotate(&scene).await.unwrap();
        }
        assert_eq!(rotations(&scene), times);
        scene.stop().await;
        fs::remove_dir_all(scene.folder().join("store")).unwrap();
        let keys = fs::read_to_string(scene.folder().join("keys")).unwrap();
        scene.set("store.keys", keys);
        scene.start_again().await;
        let found = scene.bots.register_bot(helper()).await.unwrap();
        assert_eq!(found.into_inner().bot.unwrap().id, id, "{times}");
        works(&mut scene, "found").await;
        rotate(&scene).await.unwrap();
        works(&mut scene, "rotated").await;
    }
}

#[tokio::test(start_paused = true)]
async fn portal_that_does_not_take_the_token_keeps_the_one_before() {
    let mut scene = start(&[]).await;
    scene.helper().await;
    let before = token(&scene);
    let refusal = Fault::error(400, "BOT_TOKEN_ROTATION_FAILED", "");
    scene.portal.faults().on(UPDATE, refusal);
    assert_eq!(
        told(&rotate(&scene).await.unwrap_err()),
        failure(Code::FailedPrecondition, "BOT_TOKEN_ROTATION_FAILED", "no")
    );
    assert_eq!(token(&scene), before);
    works(&mut scene, "as before").await;
}

#[tokio::test(start_paused = true)]
async fn portals_that_replace_no_tokens_are_not_asked_to() {
    let unsupported = failure(
        Code::FailedPrecondition,
        "BOT_TOKEN_ROTATION_NOT_SUPPORTED",
        "no",
    );
    let mut scene = start(&[]).await;
    scene.helper().await;
    let old = serde_json::json!({"result": {"rest": 34, "web": 1, "mobile": 1, "desktop": 1}});
    scene.answer_next("imbot.v2.Revision.get", &old);
    assert_eq!(told(&rotate(&scene).await.unwrap_err()), unsupported);
    assert!(scene.portal.journal().calls(UPDATE).is_empty());
    let older = Fault::error(404, "ERROR_METHOD_NOT_FOUND", "Method not found!");
    let mut scene = start(&[]).await;
    scene.helper().await;
    scene.portal.faults().on("imbot.v2.Revision.get", older);
    assert_eq!(told(&rotate(&scene).await.unwrap_err()), unsupported);
    works(&mut scene, "as before").await;

    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    assert_eq!(told(&rotate(&stage.scene).await.unwrap_err()), unsupported);
    assert!(stage.scene.portal.journal().calls(UPDATE).is_empty());
}

#[tokio::test(start_paused = true)]
async fn bot_whose_calls_do_not_end_is_not_rotated_and_goes_on() {
    let mut scene = start(&[]).await;
    scene.helper().await;
    let slow = Fault::latency(Duration::from_secs(40));
    scene.portal.faults().on("imbot.v2.Chat.Message.send", slow);
    let mut messages = scene.messages();
    let message = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(content("slow")),
        ..pb::SendMessageRequest::default()
    };
    let _slow = tokio::spawn(async move { messages.send_message(message).await });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        told(&rotate(&scene).await.unwrap_err()),
        failure(Code::Unavailable, "BOT_TOKEN_CHANGING", "no")
    );
    works(&mut scene, "meanwhile").await;
    sleep(Duration::from_secs(60)).await;
    rotate(&scene).await.unwrap();
    works(&mut scene, "rotated").await;
}

#[tokio::test(start_paused = true)]
async fn token_rotated_by_somebody_else_is_told_and_not_replaced() {
    let mut scene = start(&[]).await;
    let id = scene.helper().await;
    let params = serde_json::json!({
        "botId": id, "botToken": token(&scene), "fields": {"botToken": "stolen"},
    });
    scene.call_elsewhere(UPDATE, &params).await;
    let error = rotate(&scene).await.unwrap_err();
    assert_eq!(
        told(&error),
        failure(Code::FailedPrecondition, "BOT_TOKEN_REJECTED", "no")
    );
    assert_eq!(status(&scene).await, [pb::BotStatus::TokenRejected]);
    assert_eq!(token(&scene), "stolen");
}

impl Scene {
    /// Starts again on what a crash leaves while a call is under way; the portal goes on with it.
    async fn crash_at_rest_of<T>(&mut self, call: tokio::task::JoinHandle<T>) {
        self.crash().await;
        call.abort();
    }
}
