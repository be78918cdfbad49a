//! More calls than the portal allows at once.

mod fair;

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, AnswerOutcome, bot_service_client::BotServiceClient,
};
use bitrix24_sim::{Effect, Encoding, Fault, Limits, OperatingRule};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Status, transport::Channel};

use crate::scene::{Scene, raw_answer, told};

/// A scene whose bot is called and may answer; the ids an answer needs.
async fn called(scene: &mut Scene) -> (i64, i64) {
    let bot_id = scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let message_id = scene.anna_types("/help");
    stream.event().await;
    (scene.portal.commands(bot_id)[0].id, message_id)
}

async fn answer(
    mut bots: BotServiceClient<Channel>,
    request: pb::AnswerCommandRequest,
    patience: Duration,
) -> Result<AnswerOutcome, Status> {
    let mut request = Request::new(request);
    request.set_timeout(patience);
    Ok(bots.answer_command(request).await?.into_inner().outcome())
}

fn rate_refusals(scene: &Scene) -> usize {
    let requests = scene.portal.journal().requests().into_iter();
    requests
        .filter(|request| matches!(request.status, 429 | 503))
        .count()
}

/// Answers of a bot in as many dialogs as there are texts: one order each.
async fn answers_in_many_dialogs(scene: &mut Scene, count: usize) -> Vec<pb::AnswerCommandRequest> {
    let bot_id = scene.helper().await;
    let command_id = scene.portal.commands(bot_id)[0].id;
    let mut requests = Vec::new();
    for index in 0..count {
        let chat = scene
            .portal
            .add_group_chat(&format!("Room {index}"), &[1, bot_id]);
        let dialog = chat.dialog_id();
        let message_id = scene.portal.user(1).types(&dialog, "/help").unwrap();
        requests.push(raw_answer(
            command_id,
            message_id,
            &dialog,
            &format!("answer {index}"),
        ));
    }
    requests
}

#[tokio::test(start_paused = true)]
async fn thousand_answers_of_a_hundred_callers_all_arrive_in_few_requests() {
    let mut scene = Scene::start().await;
    let requests = answers_in_many_dialogs(&mut scene, 1000).await;
    scene
        .portal
        .set_latency(Some("imbot.v2.Command.answer"), Duration::from_millis(30));
    sleep(Duration::from_secs(60)).await;
    scene.portal.journal().clear();
    let callers: Vec<_> = join_all((0..100).map(|_| scene.another_caller())).await;
    let started = Instant::now();
    let calls = requests.into_iter().enumerate().map(|(index, request)| {
        let bots = callers[index % callers.len()].clone();
        answer(bots, request, Duration::from_secs(120))
    });
    let outcomes = join_all(calls).await;
    let took = started.elapsed();
    for outcome in outcomes {
        outcome.unwrap();
    }
    let posted = |effect: &Effect| matches!(effect, Effect::MessagePosted { .. });
    let effects = scene.portal.journal().effects();
    assert_eq!(effects.iter().filter(|effect| posted(effect)).count(), 1000);
    assert_eq!(rate_refusals(&scene), 0);
    let arrivals = scene.portal.journal().arrivals();
    assert!(
        arrivals <= 70 + u64::from(took.as_secs() as u32),
        "{arrivals} requests"
    );
    assert!(took < Duration::from_secs(30), "{took:?}");
}

/// An endless number of permits was once added to, which ended the queue or put calls together.
#[tokio::test(start_paused = true)]
async fn without_pacing_answers_beyond_those_under_way_wait_and_leave_alone() {
    let mut scene = Scene::with(&[("rate.requests_per_second", "0")]).await;
    scene.portal.set_limits(Limits::none());
    let requests = answers_in_many_dialogs(&mut scene, 400).await;
    scene
        .portal
        .set_latency(Some("imbot.v2.Command.answer"), Duration::from_millis(30));
    scene.portal.journal().clear();
    let calls = requests
        .into_iter()
        .map(|request| answer(scene.bots.clone(), request, Duration::from_secs(30)));
    for outcome in join_all(calls).await {
        outcome.unwrap();
    }
    let answers = scene.portal.journal().calls("imbot.v2.Command.answer");
    assert_eq!(answers.len(), 400);
    for answer in answers {
        assert_ne!(answer.encoding, Encoding::BatchEntry);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_to_one_dialog_keep_their_order() {
    let mut scene = Scene::start().await;
    let (command_id, message_id) = called(&mut scene).await;
    let dialog = scene.chat.dialog_id();
    // Scarce permits, so that batches form, and trouble in between.
    let throttled = Fault::error(503, "QUERY_LIMIT_EXCEEDED", "Too many requests");
    scene
        .portal
        .faults()
        .on("imbot.v2.Command.answer", throttled.times(3));
    let mut calls = Vec::new();
    for index in 0..40 {
        let request = raw_answer(command_id, message_id, &dialog, &format!("line {index}"));
        calls.push(tokio::spawn(answer(
            scene.bots.clone(),
            request,
            Duration::from_secs(300),
        )));
        // Arrival decides: each call is in line before the next one comes.
        sleep(Duration::from_millis(5)).await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let lines = scene
        .texts()
        .into_iter()
        .filter(|text| text.starts_with("line"));
    let expected: Vec<_> = (0..40).map(|index| format!("line {index}")).collect();
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn text_that_looks_like_a_reference_travels_alone_and_arrives_literally() {
    let mut scene = Scene::start().await;
    scene.answers_tell_times();
    let texts = [
        "$result[c00][id]",
        "see $RESULT[c01] and $error[c00]",
        "$Next[c00]$total[x]$TIME[y]",
        "price: 5$ (result) [ok]",
    ];
    let mut requests = answers_in_many_dialogs(&mut scene, 120).await;
    for (index, text) in texts.iter().enumerate() {
        let content = requests[index * 30].content.as_mut().unwrap();
        content.text = (*text).to_owned();
    }
    let calls = requests.iter().map(|request| {
        answer(
            scene.bots.clone(),
            request.clone(),
            Duration::from_secs(120),
        )
    });
    for outcome in join_all(calls).await {
        outcome.unwrap();
    }
    let journal = scene.portal.journal();
    let mut batched = 0;
    for request in journal.calls("imbot.v2.Command.answer") {
        let text = request.params["fields"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        batched += usize::from(request.encoding == Encoding::BatchEntry);
        if texts[..3].contains(&text.as_str()) {
            assert_ne!(request.encoding, Encoding::BatchEntry, "{text}");
        }
    }
    assert!(
        batched > 50,
        "only {batched} of the answers travelled together"
    );
    for (index, request) in requests.iter().enumerate() {
        let ids = invocation(request);
        let last = scene.portal.messages(&ids.dialog_id).pop().unwrap();
        assert_eq!(
            last.text,
            request.content.clone().unwrap().text,
            "answer {index}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn refused_call_does_not_touch_those_it_travelled_with() {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    let mut requests = answers_in_many_dialogs(&mut scene, 60).await;
    for request in requests.iter_mut().step_by(7) {
        if let Some(pb::answer_command_request::Target::Invocation(ids)) = &mut request.target {
            ids.command_id = 999_999;
        }
    }
    let calls = requests
        .into_iter()
        .map(|request| answer(scene.bots.clone(), request, Duration::from_secs(120)));
    for (index, outcome) in join_all(calls).await.into_iter().enumerate() {
        if index % 7 == 0 {
            assert_eq!(told(&outcome.unwrap_err()).reason, "COMMAND_NOT_FOUND");
        } else {
            outcome.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lost_batch_leaves_every_answer_in_it_unknown_and_posts_none_twice() {
    let mut scene = Scene::start().await;
    scene.answers_tell_times();
    let requests = answers_in_many_dialogs(&mut scene, 80).await;
    scene
        .portal
        .faults()
        .on("batch", Fault::reset().after_effect());
    let calls = requests
        .into_iter()
        .map(|request| answer(scene.bots.clone(), request, Duration::from_secs(120)));
    let outcomes = join_all(calls).await;
    let unknown = outcomes.iter().filter(|outcome| {
        let status = outcome.as_ref().err();
        status.is_some_and(|status| told(status).executed == "unknown")
    });
    assert!(unknown.count() > 1);
    let mut texts = Vec::new();
    for effect in scene.portal.journal().effects() {
        if let Effect::MessagePosted { text, .. } = effect
            && text.starts_with("answer")
        {
            texts.push(text);
        }
    }
    let all = texts.len();
    texts.sort();
    texts.dedup();
    assert_eq!((texts.len(), all), (80, 80));
}

#[tokio::test(start_paused = true)]
async fn busy_caller_does_not_keep_another_one_waiting() {
    let mut scene = Scene::start().await;
    let requests = answers_in_many_dialogs(&mut scene, 600).await;
    let (mine, theirs) = requests.split_at(10);
    let crowd = scene.another_caller().await;
    let flood: Vec<_> = theirs
        .iter()
        .map(|request| {
            tokio::spawn(answer(
                crowd.clone(),
                request.clone(),
                Duration::from_secs(500),
            ))
        })
        .collect();
    sleep(Duration::from_millis(100)).await;
    let quiet = scene.another_caller().await;
    for request in mine {
        let started = Instant::now();
        answer(quiet.clone(), request.clone(), Duration::from_secs(60))
            .await
            .unwrap();
        assert!(
            started.elapsed() <= Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
    }
    for call in flood {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn bot_is_polled_while_answers_fill_the_queue() {
    let mut scene = Scene::start().await;
    let requests = answers_in_many_dialogs(&mut scene, 50).await;
    let until = Instant::now() + Duration::from_secs(300);
    let flood: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let bots = scene.bots.clone();
            tokio::spawn(async move {
                while Instant::now() < until {
                    answer(bots.clone(), request.clone(), Duration::from_secs(100))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for call in flood {
        call.await.unwrap();
    }
    let polls = scene.portal.journal().calls("imbot.v2.Event.get");
    let pauses = polls.windows(2).map(|pair| pair[1].at - pair[0].at);
    let longest = pauses.max().unwrap();
    assert!(longest <= Duration::from_secs(30), "{longest:?}");
    assert_eq!(rate_refusals(&scene), 0);
}

#[tokio::test(start_paused = true)]
async fn saturation_meets_no_refusal_under_any_reading_of_the_limits() {
    let minutes = minutes();
    for (name, limits) in [
        ("steps", Limits::default()),
        (
            "continuous",
            Limits {
                continuous_drain: true,
                ..Limits::default()
            },
        ),
        (
            "operating, sliding",
            Limits {
                operating: OperatingRule::Sliding,
                execution_time: Duration::from_secs(2),
                ..Limits::default()
            },
        ),
        (
            "operating, ban",
            Limits {
                operating: OperatingRule::Ban,
                execution_time: Duration::from_secs(2),
                ..Limits::default()
            },
        ),
    ] {
        let mut scene = Scene::start().await;
        let requests = answers_in_many_dialogs(&mut scene, 20).await;
        scene.portal.set_limits(limits);
        let until = Instant::now() + Duration::from_secs(60 * minutes);
        // Some calls travel together, others never do.
        let bot_id = scene.portal.bot_by_code("helper").unwrap().id;
        let flood: Vec<_> = requests
            .into_iter()
            .enumerate()
            .map(|(index, request)| {
                let mut bots = scene.bots.clone();
                let message_id = invocation(&request).message_id;
                let execute = pb::ExecuteCommandRequest {
                    bot_id,
                    message_id,
                    command: "nothing".to_owned(),
                    ..pb::ExecuteCommandRequest::default()
                };
                tokio::spawn(async move {
                    while Instant::now() < until {
                        // Early refusals are ours and cost the portal nothing.
                        if index % 2 == 0 {
                            let patience = Duration::from_secs(30);
                            let _outcome = answer(bots.clone(), request.clone(), patience).await;
                        } else {
                            let _outcome = bots.execute_command(execute.clone()).await;
                        }
                        sleep(Duration::from_millis(300)).await;
                    }
                })
            })
            .collect();
        for call in flood {
            call.await.unwrap();
        }
        let refused: Vec<_> = scene
            .portal
            .journal()
            .requests()
            .into_iter()
            .filter_map(|request| request.error())
            .filter(|code| code.contains("LIMIT"))
            .collect();
        assert!(
            refused.is_empty(),
            "{name}: {} times {refused:?}",
            refused.len()
        );
        assert!(
            scene.portal.journal().arrivals() > 90 * minutes || name.starts_with("operating"),
            "{name}: the portal was not busy: {} requests",
            scene.portal.journal().arrivals()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn full_queue_refuses_at_once_and_says_when_to_come_again() {
    use tonic_types::StatusExt as _;
    let mut scene = Scene::start().await;
    let (command_id, message_id) = called(&mut scene).await;
    let dialog = scene.chat.dialog_id();
    scene
        .portal
        .faults()
        .on("imbot.v2.Command.answer", Fault::hang());
    let waiting: Vec<_> = (0..1001)
        .map(|index| {
            let request = raw_answer(command_id, message_id, &dialog, &format!("line {index}"));
            tokio::spawn(answer(
                scene.bots.clone(),
                request,
                Duration::from_secs(600),
            ))
        })
        .collect();
    sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    let request = raw_answer(command_id, message_id, &dialog, "one too many");
    let status = answer(scene.bots.clone(), request, Duration::from_secs(600))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), told(&status).reason.as_str()),
        (Code::ResourceExhausted, "QUEUE_FULL")
    );
    assert!(status.get_details_retry_info().is_some());
    assert!(started.elapsed() < Duration::from_millis(5));
    waiting.into_iter().for_each(|call| call.abort());
}

/// Minutes of saturation, unless the environment says otherwise.
#[expect(
    clippy::disallowed_methods,
    reason = "how long to test is not the gateway's configuration"
)]
fn minutes() -> u64 {
    std::env::var("GATEWAY_SATURATED_MINUTES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(12)
}

/// The ids that an answer is for.
fn invocation(request: &pb::AnswerCommandRequest) -> &pb::CommandInvocation {
    match &request.target {
        Some(pb::answer_command_request::Target::Invocation(ids)) => ids,
        other => panic!("not by ids: {other:?}"),
    }
}
