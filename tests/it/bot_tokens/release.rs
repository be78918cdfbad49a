//! A bot is handed over to another program.

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use tokio::time::sleep;
use tonic::Code;

use super::{listed, refusals, release, start, status, token, works};
use crate::scene::{broken_fields, failure, helper, told};

const UPDATE: &str = "imbot.v2.Bot.update";

#[tokio::test(start_paused = true)]
async fn released_bot_belongs_to_who_has_its_token_and_is_not_fetched_any_more() {
    let mut scene = start(&[]).await;
    let id = scene.helper().await;
    works(&mut scene, "before").await;
    release(&scene, "for-another-program").await.unwrap();
    assert_eq!(listed(&scene, "for-another-program").await, [id]);
    assert!(status(&scene).await.is_empty());
    // Again, as somebody does who was not told.
    release(&scene, "for-another-program").await.unwrap();
    let error = release(&scene, "for-a-third-program").await.unwrap_err();
    assert_eq!(told(&error), failure(Code::NotFound, "UNKNOWN_BOT", "no"));
    scene.anna_types("/help unheard");
    let fetches = || scene.portal.journal().calls("imbot.v2.Event.get").len();
    sleep(Duration::from_secs(1)).await;
    let before = fetches();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(fetches(), before);
    assert_eq!(token(&scene), "for-another-program");
    // What it heard is still there.
    let earliest = pb::StreamStart {
        position: Some(pb::stream_start::Position::Point(
            pb::StreamStartPoint::Earliest.into(),
        )),
    };
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest {
            start: Some(earliest),
            ..pb::SubscribeCommandEventsRequest::default()
        })
        .await;
    assert_eq!(stream.params().await, "before");
    // It does not come back by itself.
    let error = scene.bots.register_bot(helper()).await.unwrap_err();
    assert_eq!(
        told(&error),
        failure(Code::AlreadyExists, "BOT_CODE_TAKEN", "no")
    );
    assert!(refusals(&scene).is_empty());
}

#[tokio::test(start_paused = true)]
async fn release_whose_answer_is_lost_is_settled_and_can_be_repeated() {
    for fault in [
        Fault::reset().after_effect(),
        Fault::error(500, "INTERNAL_SERVER_ERROR", "").after_effect(),
        Fault::cut_body(),
        Fault::reset().before_effect(),
    ] {
        let what = format!("{fault:?}");
        let mut scene = start(&[("calls.attempts", "1")]).await;
        let id = scene.helper().await;
        scene.portal.faults().on(UPDATE, fault);
        let first = release(&scene, "for-another-program").await;
        if let Err(error) = first {
            assert_eq!(
                told(&error),
                failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
            );
            works(&mut scene, "not yet").await;
            // Only to whom it is on its way already.
            let other = release(&scene, "for-a-third-program").await.unwrap_err();
            assert_eq!(
                told(&other),
                failure(Code::Unavailable, "BOT_TOKEN_CHANGING", "no")
            );
        }
        release(&scene, "for-another-program").await.unwrap();
        assert_eq!(listed(&scene, "for-another-program").await, [id], "{what}");
        assert!(status(&scene).await.is_empty(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn crash_before_the_answer_to_a_release_forgets_the_bot_at_the_next_start() {
    let mut scene = start(&[]).await;
    scene.helper().await;
    let slow = Fault::latency(Duration::from_secs(20)).after_effect();
    scene.portal.faults().on(UPDATE, slow);
    let mut bots = scene.bots.clone();
    let request = pb::ReleaseBotRequest {
        bot_code: "helper".to_owned(),
        new_token: "for-another-program".to_owned(),
        ..pb::ReleaseBotRequest::default()
    };
    let releasing = tokio::spawn(async move { bots.release_bot(request).await });
    sleep(Duration::from_secs(5)).await;
    scene.crash().await;
    releasing.abort();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(token(&scene), "for-another-program");
    assert!(status(&scene).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn bot_is_not_released_to_a_token_that_another_bot_has() {
    let mut scene = start(&[]).await;
    scene.helper().await;
    scene.make_bot_elsewhere("other", "taken").await;
    let error = release(&scene, "taken").await.unwrap_err();
    assert_eq!(
        told(&error),
        failure(Code::FailedPrecondition, "BOT_TOKEN_ROTATION_FAILED", "no")
    );
    works(&mut scene, "still here").await;
}

#[tokio::test(start_paused = true)]
async fn token_to_release_to_must_be_one() {
    let mut scene = start(&[]).await;
    scene.helper().await;
    let before = scene.calls().len();
    for wrong in [
        String::new(),
        "t".repeat(41),
        "a b".to_owned(),
        "token\n".to_owned(),
    ] {
        let error = release(&scene, &wrong).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{wrong:?}");
        assert_eq!(broken_fields(&error), ["new_token"]);
        assert!(wrong.is_empty() || !error.message().contains(&wrong));
    }
    assert_eq!(scene.calls().len(), before);
}
