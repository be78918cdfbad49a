//! Messages that carry a key.

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use tokio::time::sleep;
use tonic::{Code, Request};

use super::{
    DELETE, NOTIFY, SEND, UPDATE, change, delete, message, notify, params, say, sent, stage,
};
use crate::scene::{Scene, content, failure, told};

/// Messages of the bot with this text.
fn posted(scene: &Scene, text: &str) -> usize {
    scene
        .texts()
        .iter()
        .filter(|posted| *posted == text)
        .count()
}

#[tokio::test(start_paused = true)]
async fn message_with_a_key_is_posted_once_and_told_again() {
    let (mut scene, mut messages, _) = stage().await;
    let forwarded = scene.anna_types("to be forwarded");
    let request = pb::SendMessageRequest {
        idempotency_key: "order 17".to_owned(),
        forward_message_ids: vec![forwarded],
        ..say(&scene, "once")
    };
    let first = messages.send_message(request.clone()).await.unwrap();
    let first = first.into_inner();
    assert!(first.message_id.is_some() && first.forwarded_message_ids.len() == 1);
    let again = messages.send_message(request.clone()).await.unwrap();
    assert_eq!(again.into_inner(), first);
    scene.restart().await;
    let after = scene.messages().send_message(request.clone()).await;
    assert_eq!(after.unwrap().into_inner(), first);
    assert_eq!(posted(&scene, "once"), 1);
    assert_eq!(scene.portal.journal().calls(SEND).len(), 1);
    let other = pb::SendMessageRequest {
        content: Some(content("other")),
        ..request
    };
    let status = scene.messages().send_message(other).await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED", "no")
    );
}

#[tokio::test(start_paused = true)]
async fn key_is_the_portals_as_well() {
    let (scene, mut messages, _) = stage().await;
    scene
        .portal
        .set_quirks(|quirks| quirks.template_id_is_a_key = true);
    let with_key = |key: &str, text| pb::SendMessageRequest {
        idempotency_key: key.to_owned(),
        ..say(&scene, text)
    };
    let first = sent(&mut messages, with_key("a", "once")).await;
    let second = sent(&mut messages, with_key("b", "other")).await;
    let [first_key, second_key] = [first, second].map(|id| message(&scene, id).uuid.unwrap());
    assert_ne!(first_key, second_key);
    // The gateway forgets a key after a day, the portal after a month.
    sleep(Duration::from_secs(25 * 3600)).await;
    assert_eq!(sent(&mut messages, with_key("a", "once")).await, first);
    assert_eq!(params(&scene, SEND)["fields"]["templateId"], *first_key);
    assert_eq!(scene.portal.journal().calls(SEND).len(), 3);
    assert_eq!(posted(&scene, "once"), 1);
}

#[tokio::test(start_paused = true)]
async fn unknown_outcome_of_a_message_with_a_key_stays_unknown() {
    let (mut scene, mut messages, _) = stage().await;
    let request = pb::SendMessageRequest {
        idempotency_key: "order 17".to_owned(),
        ..say(&scene, "perhaps")
    };
    let faults = scene.portal.faults();
    faults.on(SEND, Fault::reset().after_effect());
    let unknown = failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown");
    for _ in 0..2 {
        let status = messages.send_message(request.clone()).await.unwrap_err();
        assert_eq!(told(&status), unknown);
    }
    scene.restart().await;
    let status = scene.messages().send_message(request).await.unwrap_err();
    assert_eq!(told(&status), unknown);
    assert_eq!(posted(&scene, "perhaps"), 1);
    assert_eq!(scene.portal.journal().calls(SEND).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn changes_with_a_key_happen_once() {
    let (scene, mut messages, _) = stage().await;
    let id = sent(&mut messages, say(&scene, "before")).await;
    let key = || "order 17".to_owned();
    for _ in 0..3 {
        let update = pb::UpdateMessageRequest {
            text: Some("after".to_owned()),
            idempotency_key: key(),
            ..change(id)
        };
        messages.update_message(update).await.unwrap();
        let notify = pb::NotifyActionRequest {
            idempotency_key: key(),
            ..notify(&scene)
        };
        messages.notify_action(notify).await.unwrap();
    }
    for _ in 0..3 {
        let delete = pb::DeleteMessageRequest {
            complete: true,
            idempotency_key: key(),
            ..delete(id)
        };
        // The second one would be refused: the message is gone.
        messages.delete_message(delete).await.unwrap();
    }
    for method in [UPDATE, NOTIFY, DELETE] {
        assert_eq!(scene.portal.journal().calls(method).len(), 1, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn message_with_a_key_is_not_sent_when_all_who_wanted_it_left() {
    let (scene, mut messages, _) = stage().await;
    // Everything to this dialog waits behind a message that is never answered.
    scene.portal.faults().on(SEND, Fault::hang());
    let first = tokio::spawn({
        let (mut messages, request) = (messages.clone(), say(&scene, "first"));
        async move { messages.send_message(request).await }
    });
    sleep(Duration::from_secs(1)).await;
    let request = pb::SendMessageRequest {
        idempotency_key: "order 17".to_owned(),
        ..say(&scene, "late")
    };
    let impatient = async |seconds| {
        let mut request = Request::new(request.clone());
        request.set_timeout(Duration::from_secs(seconds));
        told(&messages.clone().send_message(request).await.unwrap_err())
    };
    // The second one joins the first, and goes on where that left.
    let left = tokio::join!(impatient(2), impatient(5));
    let late = || failure(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "no");
    assert_eq!(left, (late(), late()));
    first.await.unwrap().unwrap_err();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(posted(&scene, "late"), 0);
    sent(&mut messages, request.clone()).await;
    assert_eq!(posted(&scene, "late"), 1);
}
