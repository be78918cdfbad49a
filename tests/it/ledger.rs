//! A call that carries a key runs once, whatever becomes of it.
//!
//! What counts is what happened in the portal: its journal is the judge.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, AnswerOutcome};
use bitrix24_sim::{Effect, Fault, Limits};
use futures_util::future::join_all;
use tokio::time::sleep;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::scene::{Scene, Told, answer, command_added, failure, raw_answer, told, until};

const EXECUTE: &str = "im.message.command";
const ANSWER: &str = "imbot.v2.Command.answer";
const HOUR: Duration = Duration::from_secs(3600);

/// A scene in which nothing is paced, and a call that carries a key.
async fn stage() -> (Scene, pb::ExecuteCommandRequest) {
    let settings = [
        ("rate.requests_per_second", "0"),
        ("polling.idle_pause", "5m"),
        ("polling.busy_for", "0s"),
        // One call is one request here: what is repeated is another story.
        ("calls.attempts", "1"),
    ];
    let mut scene = Scene::with(&settings).await;
    scene.portal.set_limits(Limits::none());
    let bot_id = scene.helper().await;
    let john = scene.portal.user(scene.john);
    let request = pb::ExecuteCommandRequest {
        bot_id,
        message_id: john.types(&scene.chat.dialog_id(), "an anchor").unwrap(),
        command: "help".to_owned(),
        idempotency_key: "order 17".to_owned(),
        ..pb::ExecuteCommandRequest::default()
    };
    (scene, request)
}

/// How often the method was called, and how often the command ran.
fn ran(scene: &Scene) -> (usize, usize) {
    let journal = scene.portal.journal();
    let dispatched = |effect: &&Effect| matches!(effect, Effect::CommandDispatched { .. });
    let effects = journal.effects();
    (
        journal.calls(EXECUTE).len(),
        effects.iter().filter(dispatched).count(),
    )
}

async fn execute(scene: &Scene, request: &pb::ExecuteCommandRequest) -> Result<(), Status> {
    let mut bots = scene.bots.clone();
    bots.execute_command(request.clone()).await.map(drop)
}

async fn refused(scene: &Scene, request: &pb::ExecuteCommandRequest) -> Told {
    told(&execute(scene, request).await.unwrap_err())
}

fn unknown() -> Told {
    failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
}

fn reused() -> Told {
    failure(Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED", "no")
}

#[tokio::test(start_paused = true)]
async fn repeat_of_a_success_succeeds_and_is_not_sent() {
    let (mut scene, request) = stage().await;
    for _ in 0..3 {
        execute(&scene, &request).await.unwrap();
    }
    scene.restart().await;
    execute(&scene, &request).await.unwrap();
    assert_eq!(ran(&scene), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_key_each_call_runs() {
    let (scene, request) = stage().await;
    let request = pb::ExecuteCommandRequest {
        idempotency_key: String::new(),
        ..request
    };
    execute(&scene, &request).await.unwrap();
    execute(&scene, &request).await.unwrap();
    assert_eq!(ran(&scene), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn unknown_outcome_stays_unknown_and_is_never_sent_again() {
    let (mut scene, request) = stage().await;
    for (fault, effects) in [
        (Fault::reset().after_effect(), 1),
        (Fault::reset(), 0),
        (Fault::html(502).after_effect(), 1),
        (Fault::error(500, "INTERNAL_SERVER_ERROR", ""), 0),
    ] {
        let request = pb::ExecuteCommandRequest {
            idempotency_key: format!("{fault:?}").chars().take(100).collect(),
            ..request.clone()
        };
        scene.portal.journal().clear();
        scene.portal.faults().on(EXECUTE, fault);
        let first = refused(&scene, &request).await;
        assert_eq!((first.code, &*first.executed), (Code::Unknown, "unknown"));
        assert_eq!(refused(&scene, &request).await, first);
        scene.restart().await;
        assert_eq!(refused(&scene, &request).await, first);
        assert_eq!(ran(&scene), (1, effects));
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_of_the_call_itself_is_told_again() {
    let (mut scene, request) = stage().await;
    for (status, code, expected) in [
        (
            400,
            "PARAMS_ERROR",
            failure(Code::InvalidArgument, "PORTAL_REFUSED", "no"),
        ),
        (
            400,
            "ACCESS_DENIED",
            failure(Code::PermissionDenied, "ACCESS_DENIED", "no"),
        ),
        (
            400,
            "SOMETHING_NEW",
            failure(Code::FailedPrecondition, "PORTAL_REFUSED", "no"),
        ),
        (
            404,
            "ERROR_METHOD_NOT_FOUND",
            failure(Code::Unimplemented, "METHOD_NOT_SUPPORTED", "no"),
        ),
        (
            400,
            "CHAT_NOT_FOUND",
            failure(Code::NotFound, "CHAT_NOT_FOUND", "no"),
        ),
    ] {
        let request = pb::ExecuteCommandRequest {
            idempotency_key: code.to_owned(),
            ..request.clone()
        };
        scene.portal.journal().clear();
        scene
            .portal
            .faults()
            .on(EXECUTE, Fault::error(status, code, "No"));
        let first = execute(&scene, &request).await.unwrap_err();
        assert_eq!(told(&first), expected, "{code}");
        scene.restart().await;
        let again = execute(&scene, &request).await.unwrap_err();
        assert_eq!(told(&again), expected, "{code}");
        assert_eq!(again.message(), first.message());
        let info = |status: &Status| status.get_details_error_info().unwrap().metadata;
        let (mut first, mut again) = (info(&first), info(&again));
        // The log knows both.
        assert_ne!(first.remove("call_id"), again.remove("call_id"));
        assert_eq!(first, again);
        assert_eq!(again["portal_code"], code);
        assert_eq!(ran(&scene), (1, 0), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_of_the_moment_frees_the_key() {
    let (scene, request) = stage().await;
    for (status, code) in [
        (503, "QUERY_LIMIT_EXCEEDED"),
        (429, "OPERATION_TIME_LIMIT"),
        (401, "CONNECTION_ERROR"),
        (403, "insufficient_scope"),
        (401, "INVALID_CREDENTIALS"),
        (401, "METHOD_CONFIRM_WAITING"),
    ] {
        let request = pb::ExecuteCommandRequest {
            idempotency_key: code.to_owned(),
            ..request.clone()
        };
        scene.portal.journal().clear();
        scene
            .portal
            .faults()
            .on(EXECUTE, Fault::error(status, code, "Not now"));
        assert_eq!(refused(&scene, &request).await.executed, "no", "{code}");
        if code == "OPERATION_TIME_LIMIT" {
            // The method is left alone for as long as the portal bans it.
            sleep(Duration::from_secs(301)).await;
        }
        execute(&scene, &request).await.unwrap();
        execute(&scene, &request).await.unwrap();
        assert_eq!(ran(&scene), (2, 1), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_gateway_refuses_itself_frees_the_key() {
    let (scene, _) = stage().await;
    let request = pb::AnswerCommandRequest {
        bot_code: "nobody".to_owned(),
        idempotency_key: "key".to_owned(),
        ..raw_answer(1, 1, "chat5", "Hello")
    };
    let mut bots = scene.bots.clone();
    let missing = failure(Code::NotFound, "UNKNOWN_BOT", "no");
    for _ in 0..2 {
        let status = bots.answer_command(request.clone()).await.unwrap_err();
        assert_eq!(told(&status), missing);
    }
    let other = pb::AnswerCommandRequest {
        bot_code: "somebody".to_owned(),
        ..request
    };
    let status = bots.answer_command(other).await.unwrap_err();
    assert_eq!(told(&status), missing);
}

#[tokio::test(start_paused = true)]
async fn repeats_of_a_call_under_way_get_its_outcome() {
    let (scene, request) = stage().await;
    scene
        .portal
        .set_latency(Some(EXECUTE), Duration::from_secs(5));
    let calls = || join_all((0..10).map(|_| execute(&scene, &request)));
    // Also one that would free the key.
    let throttled = Fault::error(503, "QUERY_LIMIT_EXCEEDED", "Too many requests");
    scene.portal.faults().on(EXECUTE, throttled);
    for outcome in calls().await {
        assert_eq!(told(&outcome.unwrap_err()).reason, "PORTAL_THROTTLED");
    }
    assert_eq!(ran(&scene), (1, 0));
    for outcome in calls().await {
        outcome.unwrap();
    }
    assert_eq!(ran(&scene), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn repeat_gets_the_outcome_of_a_call_that_nobody_waits_for() {
    let (scene, request) = stage().await;
    scene
        .portal
        .set_latency(Some(EXECUTE), Duration::from_secs(10));
    let mut bots = scene.bots.clone();
    let mut short = Request::new(request.clone());
    short.set_timeout(Duration::from_secs(2));
    let left = bots.execute_command(short).await.unwrap_err();
    assert_eq!(told(&left), unknown());
    // Joins it, and leaves as well.
    let mut short = Request::new(request.clone());
    short.set_timeout(Duration::from_secs(2));
    let left = bots.execute_command(short).await.unwrap_err();
    assert_eq!(told(&left), unknown());
    execute(&scene, &request).await.unwrap();
    sleep(HOUR).await;
    execute(&scene, &request).await.unwrap();
    assert_eq!(ran(&scene), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn repeat_with_more_time_goes_on_where_the_first_ran_out_of_it() {
    let (mut scene, request) = stage().await;
    scene.set("rate.requests_per_second", "2".to_owned());
    scene.restart().await;
    let get = || pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    // Until the portal's limit makes callers wait.
    loop {
        let mut short = Request::new(get());
        short.set_timeout(Duration::from_millis(50));
        if scene.bots.get_bot(short).await.is_err() {
            break;
        }
    }
    let mut bots = scene.bots.clone();
    let mut short = Request::new(request.clone());
    short.set_timeout(Duration::from_millis(50));
    let (first, second) = tokio::join!(bots.execute_command(short), execute(&scene, &request));
    assert_eq!(told(&first.unwrap_err()).executed, "no");
    second.unwrap();
    assert_eq!(ran(&scene), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn key_of_another_request_is_refused() {
    let (mut scene, request) = stage().await;
    let other = pb::ExecuteCommandRequest {
        params: "other".to_owned(),
        ..request.clone()
    };
    scene
        .portal
        .set_latency(Some(EXECUTE), Duration::from_secs(5));
    // Under way, settled, and after a restart.
    let (first, second) = tokio::join!(execute(&scene, &request), async {
        sleep(Duration::from_secs(1)).await;
        refused(&scene, &other).await
    });
    first.unwrap();
    assert_eq!(second, reused());
    assert_eq!(refused(&scene, &other).await, reused());
    scene.restart().await;
    assert_eq!(refused(&scene, &other).await, reused());
    execute(&scene, &request).await.unwrap();
    assert_eq!(ran(&scene), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn keys_are_apart_by_method_and_the_default_portal_is_that_portal() {
    let (scene, request) = stage().await;
    execute(&scene, &request).await.unwrap();
    let named = pb::ExecuteCommandRequest {
        portal: "default".to_owned(),
        ..request.clone()
    };
    execute(&scene, &named).await.unwrap();
    assert_eq!(ran(&scene), (1, 1));
    let command_id = scene.portal.commands(request.bot_id)[0].id;
    let dialog = scene.chat.dialog_id();
    let answer = pb::AnswerCommandRequest {
        idempotency_key: request.idempotency_key,
        ..raw_answer(command_id, request.message_id, &dialog, "Here you are")
    };
    scene.bots.clone().answer_command(answer).await.unwrap();
    assert_eq!(scene.portal.journal().calls(ANSWER).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn crash_between_sending_and_recording_leaves_the_outcome_unknown() {
    for (fault, effects) in [
        (Fault::hang().after_effect(), 1),
        // As far as anybody can tell later it is the same.
        (Fault::hang(), 0),
    ] {
        let (mut scene, request) = stage().await;
        scene.portal.faults().on(EXECUTE, fault);
        let journal = scene.portal.journal();
        let crash = async {
            until("the call was sent", || !journal.calls(EXECUTE).is_empty()).await;
        };
        let first = scene.bots.clone();
        let calling = tokio::spawn({
            let (mut bots, request) = (first, request.clone());
            async move { bots.execute_command(request).await }
        });
        crash.await;
        scene.crash().await;
        for _ in 0..2 {
            assert_eq!(refused(&scene, &request).await, unknown());
        }
        assert_eq!(ran(&scene), (1, effects));
        let other = pb::ExecuteCommandRequest {
            params: "other".to_owned(),
            ..request
        };
        assert_eq!(refused(&scene, &other).await, reused());
        calling.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn crash_after_recording_loses_nothing() {
    let (mut scene, request) = stage().await;
    execute(&scene, &request).await.unwrap();
    scene.crash().await;
    execute(&scene, &request).await.unwrap();
    assert_eq!(ran(&scene), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn key_is_kept_for_a_day_and_free_afterwards() {
    let (scene, request) = stage().await;
    let lost = pb::ExecuteCommandRequest {
        idempotency_key: "lost".to_owned(),
        ..request.clone()
    };
    execute(&scene, &request).await.unwrap();
    scene.portal.faults().on(EXECUTE, Fault::reset());
    assert_eq!(refused(&scene, &lost).await, unknown());
    sleep(HOUR * 24 - Duration::from_secs(60)).await;
    execute(&scene, &request).await.unwrap();
    assert_eq!(refused(&scene, &lost).await, unknown());
    assert_eq!(ran(&scene), (2, 1));
    sleep(Duration::from_secs(120)).await;
    execute(&scene, &request).await.unwrap();
    execute(&scene, &lost).await.unwrap();
    assert_eq!(ran(&scene), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn answer_with_a_key_is_told_again_and_posted_once() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    let (_, event) = stream.event().await;
    let added = command_added(&event);
    let ids = (added.command.unwrap().id, added.message.unwrap().id);
    let dialog = added.chat.unwrap().dialog_id;
    for (key, request) in [
        ("by event", answer(&event, "by event")),
        ("by ids", raw_answer(ids.0, ids.1, &dialog, "by ids")),
    ] {
        let request = pb::AnswerCommandRequest {
            idempotency_key: key.to_owned(),
            ..request
        };
        for _ in 0..2 {
            let answered = scene.bots.answer_command(request.clone()).await;
            let answered = answered.unwrap().into_inner();
            assert_eq!(answered.outcome(), AnswerOutcome::Answered, "{key}");
        }
        scene.restart().await;
        let answered = scene.bots.answer_command(request).await.unwrap();
        assert_eq!(answered.into_inner().outcome(), AnswerOutcome::Answered);
        let posted = scene.texts().into_iter().filter(|text| text == key);
        assert_eq!(posted.count(), 1, "{key}");
    }
    // The event knows that it was answered, whatever the key.
    let request = pb::AnswerCommandRequest {
        idempotency_key: "another".to_owned(),
        ..answer(&event, "by event")
    };
    let answered = scene.bots.answer_command(request).await.unwrap();
    let outcome = answered.into_inner().outcome();
    assert_eq!(outcome, AnswerOutcome::AlreadyAnswered);
}
