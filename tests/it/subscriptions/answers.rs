//! An answer acknowledges what it answers, in one step, and nothing is answered twice.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, AnswerOutcome, SetAsideReason};
use bitrix24_sim::Fault;
use tokio::time::sleep;
use tonic::Code;

use super::stage::{named, request, seconds};
use crate::scene::{Scene, answer, failure, told};

#[tokio::test(start_paused = true)]
async fn answer_by_ack_id_acknowledges_also_across_a_crash() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help");
    let handed = stream.handed().await;
    let answered = scene.bots.answer_command(handed.answer("here")).await;
    assert_eq!(
        answered.unwrap().into_inner().outcome(),
        AnswerOutcome::Answered
    );
    scene.crash_at_rest().await;
    let mut stream = scene.work().await;
    stream.is_quiet().await;
    let again = scene.bots.answer_command(handed.answer("here again")).await;
    let again = again.unwrap().into_inner();
    assert_eq!(again.outcome(), AnswerOutcome::AlreadyAnswered);
    let texts = scene.texts();
    assert_eq!(texts.iter().filter(|text| text.contains("here")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn answer_by_event_id_acknowledges_what_is_handed_out_to_answer_commands() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    let audit = pb::SubscribeEventsRequest {
        subscription: Some(pb::NamedSubscription {
            name: "audit".to_owned(),
            ..pb::NamedSubscription::default()
        }),
        ..pb::SubscribeEventsRequest::default()
    };
    let mut events = scene.events();
    let mut audited = events
        .subscribe_events(audit.clone())
        .await
        .unwrap()
        .into_inner();
    scene.anna_types("/help");
    let handed = stream.handed().await;
    let seen = loop {
        let response = audited.message().await.unwrap().unwrap();
        if response.delivery.is_some() {
            break response;
        }
    };
    scene
        .bots
        .answer_command(answer(&handed.event, "here"))
        .await
        .unwrap();
    drop((stream, audited));
    scene.work().await.is_quiet().await;
    let mut audited = events.subscribe_events(audit).await.unwrap().into_inner();
    let again = loop {
        let response = audited.message().await.unwrap().unwrap();
        if let Some(delivery) = response.delivery {
            break delivery;
        }
    };
    assert_eq!(again.delivery_attempt, 2, "it answers nothing: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn progress_is_posted_and_settles_nothing() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help");
    let handed = stream.handed().await;
    let progress = |text| pb::AnswerCommandRequest {
        r#final: Some(false),
        ..handed.answer(text)
    };
    for text in ["10 %", "20 %"] {
        let posted = scene.bots.answer_command(progress(text)).await.unwrap();
        assert_eq!(posted.into_inner().outcome(), AnswerOutcome::Progress);
    }
    assert_eq!(scene.standing().await.outstanding, 1);
    scene
        .bots
        .answer_command(handed.answer("done"))
        .await
        .unwrap();
    let late = scene.bots.answer_command(progress("30 %")).await;
    assert_eq!(
        told(&late.unwrap_err()),
        failure(Code::FailedPrecondition, "ACK_ID_EXPIRED", "no")
    );
    let by_event = pb::AnswerCommandRequest {
        r#final: Some(false),
        ..answer(&handed.event, "40 %")
    };
    let late = scene
        .bots
        .answer_command(by_event)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(late.outcome(), AnswerOutcome::AlreadyAnswered);
    let texts = scene.texts();
    assert_eq!(texts[texts.len() - 3..], ["10 %", "20 %", "done"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_lost_its_delivery_posts_no_more_progress_but_may_still_answer_first() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut first = scene.work().await;
    scene.anna_types("/help");
    let slow = first.handed().await;
    drop(first);
    let mut second = scene.work().await;
    let quick = second.handed().await;
    let progress = pb::AnswerCommandRequest {
        r#final: Some(false),
        ..slow.answer("still at it")
    };
    let refused = scene.bots.answer_command(progress).await.unwrap_err();
    assert_eq!(
        told(&refused),
        failure(Code::FailedPrecondition, "ACK_ID_EXPIRED", "no")
    );
    let answered = scene
        .bots
        .answer_command(slow.answer("slow"))
        .await
        .unwrap();
    assert_eq!(answered.into_inner().outcome(), AnswerOutcome::Answered);
    let answered = scene
        .bots
        .answer_command(quick.answer("quick"))
        .await
        .unwrap();
    assert_eq!(
        answered.into_inner().outcome(),
        AnswerOutcome::AlreadyAnswered
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_sets_the_event_aside_and_frees_its_dialog() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help one");
    scene.anna_types("/help two");
    let handed = stream.handed().await;
    let lost = Fault::reset().after_effect();
    scene.portal.faults().on("imbot.v2.Command.answer", lost);
    let status = scene.bots.answer_command(handed.answer("perhaps")).await;
    assert_eq!(told(&status.unwrap_err()).executed, "unknown");
    assert_eq!(stream.handed().await.params(), "two");
    let aside = scene.set_aside().await;
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].reason(), SetAsideReason::AnswerOutcomeUnknown);
    assert_eq!(
        aside[0].event.as_ref().unwrap().event_id,
        handed.event.event_id
    );
    let again = scene.bots.answer_command(handed.answer("again")).await;
    assert_eq!(
        told(&again.unwrap_err()),
        failure(
            Code::FailedPrecondition,
            "ANSWER_OUTCOME_UNKNOWN",
            "unknown"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_an_answer_is_under_way_sets_its_event_aside() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help one");
    let handed = stream.handed().await;
    scene
        .portal
        .set_latency(Some("imbot.v2.Command.answer"), Duration::from_secs(20));
    let mut bots = scene.bots.clone();
    let posting = handed.answer("perhaps");
    let posting = tokio::spawn(async move { bots.answer_command(posting).await });
    sleep(Duration::from_secs(3)).await;
    scene.crash().await;
    let mut stream = scene.work().await;
    stream.is_quiet().await;
    let aside = scene.set_aside().await;
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].reason(), SetAsideReason::AnswerOutcomeUnknown);
    posting.abort();
}

#[tokio::test(start_paused = true)]
async fn an_answer_under_way_holds_its_event_whatever_becomes_of_its_stream() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_processing = seconds(10);
    let mut first = scene.subscribe(request(wish)).await;
    let mut second = scene.work().await;
    scene.anna_types("/help");
    let handed = tokio::select! {
        handed = first.handed() => handed,
        handed = second.handed() => handed,
    };
    scene
        .portal
        .set_latency(Some("imbot.v2.Command.answer"), Duration::from_secs(25));
    let mut bots = scene.bots.clone();
    let slow = handed.answer("slow");
    let posting = tokio::spawn(async move { bots.answer_command(slow).await });
    sleep(Duration::from_secs(1)).await;
    drop((first, second));
    let mut third = scene.work().await;
    third.is_quiet().await;
    let answered = posting.await.unwrap().unwrap().into_inner();
    assert_eq!(answered.outcome(), AnswerOutcome::Answered);
    assert_eq!(scene.standing().await.outstanding, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_for_the_last_time_while_it_is_answered_is_not_set_aside() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_attempts = 1;
    let mut stream = scene.subscribe(request(wish)).await;
    scene.anna_types("/help");
    let handed = stream.handed().await;
    scene
        .portal
        .set_latency(Some("imbot.v2.Command.answer"), Duration::from_secs(25));
    let mut bots = scene.bots.clone();
    let slow = handed.answer("slow");
    let posting = tokio::spawn(async move { bots.answer_command(slow).await });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.extend(&handed, 0).await, [""; 0]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(scene.set_aside().await, []);
    let answered = posting.await.unwrap().unwrap().into_inner();
    assert_eq!(answered.outcome(), AnswerOutcome::Answered);
    stream.is_quiet().await;
    assert_eq!(scene.set_aside().await, []);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_surely_failed_leaves_the_event_with_who_has_it() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help");
    let handed = stream.handed().await;
    let empty = pb::AnswerCommandRequest {
        content: None,
        ..handed.answer("")
    };
    let refused = scene.bots.answer_command(empty).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(scene.standing().await.outstanding, 1);
    scene
        .bots
        .answer_command(handed.answer("now"))
        .await
        .unwrap();
    assert_eq!(scene.standing().await.outstanding, 0);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_under_its_key_is_the_same_call_whichever_handing_out_it_names() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut first = scene.work().await;
    scene.anna_types("/help");
    let handed = first.handed().await;
    drop(first);
    let mut second = scene.work().await;
    let again = second.handed().await;
    for delivery in [&handed, &again] {
        let keyed = pb::AnswerCommandRequest {
            idempotency_key: "one".to_owned(),
            ..delivery.answer("here")
        };
        let answered = scene.bots.answer_command(keyed).await.unwrap();
        assert_eq!(answered.into_inner().outcome(), AnswerOutcome::Answered);
    }
    drop(second);
    scene.work().await.is_quiet().await;
}
