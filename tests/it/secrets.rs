//! Tokens and webhook codes are seen by nobody.

use std::{fs, time::Duration};

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use prost::Message as _;

use crate::{
    leaks::{Logs, contains},
    oauth::stage::{Stage, say},
    scene::{Scene, answer, helper},
};

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

#[tokio::test(start_paused = true)]
async fn stolen_disk_yields_no_tokens_of_an_application() {
    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    stage.expire();
    say(&stage.scene, "hello").await.unwrap();
    stage.scene.stop().await;
    let secrets = stage.secrets();
    assert_eq!(secrets.len(), 5, "our secret and two pairs");
    for file in fs::read_dir(stage.scene.folder().join("store")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        for secret in &secrets {
            assert!(!contains(&bytes, secret), "a secret is on the disk");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn logs_errors_and_the_portal_hold_no_secret_of_an_application() {
    let logs = Logs::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer({
            let logs = logs.clone();
            move || logs.clone()
        })
        .finish();
    // Everything of a test runs on its thread.
    let _subscribed = crate::log::log_into(subscriber);
    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    let mut shown = String::new();
    let oauth = stage.scene.sim.oauth().clone();
    let pair = stage.secrets();
    // A server that repeats what it was asked, one that is not there, and one that says no.
    let echo = format!("<html>/oauth/token/?{}</html>", pair.join("&"));
    for fault in [
        Fault::raw(502, &[("content-type", "text/html")], echo.clone()),
        Fault::error(503, "BUSY", &echo),
        Fault::redirect(&format!("https://d.example.com/?{}", pair.join("&"))),
        Fault::reset(),
    ] {
        oauth.faults().on("oauth/token", fault.always());
        stage.expire();
        let status = crate::oauth::stage::say_within(&stage.scene, "?", Duration::from_secs(5));
        shown += &format!("{:?}", status.await.unwrap_err());
        shown += &format!("{:?}", stage.scene.shown().await);
        oauth.faults().clear();
        tokio::time::sleep(Duration::from_secs(200)).await;
        say(&stage.scene, "hello").await.unwrap();
    }
    oauth
        .faults()
        .on("oauth/token", Fault::error(400, "invalid_grant", &echo));
    stage.expire();
    let status = say(&stage.scene, "?").await.unwrap_err();
    shown += &format!("{status:?} {:?}", stage.scene.shown().await);
    shown += &format!("{:?}", stage.scene.portals());

    let logs = logs.bytes();
    assert!(logs.len() > 1000, "nothing was logged");
    let secrets = stage.secrets();
    assert!(secrets.len() >= 5 + 2 * 3, "refreshes succeeded");
    for secret in &secrets {
        assert!(!contains(&logs, secret), "a secret is in the logs");
        assert!(!shown.contains(secret), "a secret is shown: {shown}");
    }
    // The portal is told access tokens, and nothing that renews them.
    for request in stage.scene.portal.journal().requests() {
        let written = format!("{} {}", request.method, request.params);
        assert!(!written.contains(crate::oauth::stage::SECRET), "{written}");
        for refresh in secrets[1..].iter().skip(1).step_by(2) {
            assert!(!written.contains(refresh), "{written}");
        }
    }
}
