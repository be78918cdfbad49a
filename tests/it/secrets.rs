//! Tokens and webhook codes are seen by nobody.

use std::fs;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use prost::Message as _;

use crate::scene::{Scene, answer, helper};

/// The code in the webhook's URL.
fn webhook_code(scene: &Scene) -> String {
    let url = scene.portal.webhook_url();
    url.trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn stolen_disk_yields_neither_tokens_nor_texts() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help with-my-salary-question");
    stream.event().await;
    let message = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(crate::scene::content("your-salary-is-less")),
        idempotency_key: "salary-of-anna-weber".to_owned(),
        ..pb::SendMessageRequest::default()
    };
    scene.messages().send_message(message).await.unwrap();
    scene.stop().await;
    let token = scene.portal.bot_by_code("helper").unwrap().token.unwrap();
    assert!(token.len() <= 40);
    for secret in [
        token,
        webhook_code(&scene),
        "with-my-salary-question".to_owned(),
        "your-salary-is-less".to_owned(),
        "salary-of-anna-weber".to_owned(),
    ] {
        for file in fs::read_dir(scene.folder().join("store")).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "a secret is on the disk");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn callers_see_no_secret_in_answers_and_errors() {
    let once = [("calls.attempts", "1")];
    let mut scene = Scene::with(&once).await;
    scene.helper().await;
    let token = scene.portal.bot_by_code("helper").unwrap().token.unwrap();
    let code = webhook_code(&scene);
    let mut shown: Vec<Vec<u8>> = Vec::new();
    shown.push(
        scene
            .bots
            .register_bot(helper())
            .await
            .unwrap()
            .into_inner()
            .encode_to_vec(),
    );
    let read = pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    shown.push(
        scene
            .bots
            .get_bot(read.clone())
            .await
            .unwrap()
            .into_inner()
            .encode_to_vec(),
    );
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    let (_, event) = stream.event().await;
    shown.push(event.encode_to_vec());
    // A portal that repeats what it was asked, and one that cannot be reached.
    let echo = format!("<html>/rest/1/{code}/ {token}</html>");
    for fault in [
        Fault::raw(502, &[("content-type", "text/html")], echo.clone()),
        Fault::error(400, "ERROR_CORE", &echo),
    ] {
        scene.portal.faults().next(fault);
        let status = scene.bots.get_bot(read.clone()).await.unwrap_err();
        shown.push(format!("{status:?}").into_bytes());
        shown.push(status.details().to_vec());
    }
    scene.portal.stop();
    for status in [
        scene.bots.get_bot(read).await.unwrap_err(),
        scene
            .bots
            .answer_command(answer(&event, "hello"))
            .await
            .unwrap_err(),
    ] {
        shown.push(format!("{status:?}").into_bytes());
        shown.push(status.details().to_vec());
    }
    for (index, bytes) in shown.iter().enumerate() {
        for secret in [&token, &code] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(
                !found,
                "a secret is shown in {index}: {}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn auth_of_an_event_is_gone_before_anything_is_stored() {
    let mut scene = Scene::start().await;
    let bot_id = scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let event = serde_json::json!({
        "eventId": 999_999_999,
        "type": "ONIMBOTV2COMMANDADD",
        "date": "2026-11-20T10:00:00+00:00",
        "data": {
            "bot": {"id": bot_id, "code": "helper", "auth": {"access_token": "very-secret"}},
            "command": {"id": 1, "command": "/help", "params": "", "context": "textarea"},
            "message": {"id": 5, "params": {"nested": {"AUTH": "very-secret"}}},
            "chat": {"id": scene.chat.id, "dialogId": scene.chat.dialog_id()},
            "user": {"id": scene.anna},
            "auth": {"application_token": "very-secret"},
        },
        "auth": {"application_token": "very-secret"},
    });
    let page = serde_json::json!({"result": {"events": [event], "nextOffset": 1_000_000_000, "hasMore": false}});
    scene.answer_next("imbot.v2.Event.get", &page);
    let (_, event) = stream.event().await;
    assert!(!String::from_utf8_lossy(&event.encode_to_vec()).contains("very-secret"));
}
