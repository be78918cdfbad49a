//! How long a caller waits, and what becomes of a call whose caller does not.

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::{Fault, Limits};
use tokio::time::{Instant, sleep};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::scene::{Scene, answer, failure, help, told, until};

const GET: &str = "imbot.v2.Bot.get";
const UPDATE: &str = "imbot.v2.Bot.update";

fn get() -> pb::GetBotRequest {
    pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    }
}

fn update() -> pb::UpdateBotRequest {
    pb::UpdateBotRequest {
        bot_code: "helper".to_owned(),
        is_hidden: Some(true),
        ..pb::UpdateBotRequest::default()
    }
}

fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// A scene whose bot is hardly polled, so that permits go to callers.
async fn quiet(settings: &[(&'static str, &str)]) -> Scene {
    let quiet = [("polling.idle_pause", "10m"), ("polling.busy_for", "0s")];
    let mut scene = Scene::with(&[&quiet[..], settings].concat()).await;
    scene.portal.set_limits(Limits::none());
    scene.helper().await;
    scene
}

/// Uses up what the portal's limit allows at once.
async fn exhaust(scene: &mut Scene) {
    for _ in 0..100 {
        let call = scene
            .bots
            .get_bot(within(Duration::from_millis(100), get()))
            .await;
        if call.is_err() {
            return;
        }
    }
    panic!("there is no limit");
}

fn sent(scene: &Scene, method: &str) -> usize {
    scene.portal.journal().calls(method).len()
}

#[tokio::test(start_paused = true)]
async fn no_deadline_means_thirty_seconds() {
    let mut scene = quiet(&[]).await;
    for (method, told_of_it) in [
        (
            GET,
            failure(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "no"),
        ),
        (UPDATE, failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown")),
    ] {
        scene.portal.faults().on(method, Fault::hang());
        let started = Instant::now();
        let status = match method {
            GET => scene.bots.get_bot(get()).await.unwrap_err(),
            _ => scene.bots.update_bot(update()).await.unwrap_err(),
        };
        let took = started.elapsed();
        assert_eq!(told(&status), told_of_it);
        assert!(
            (Duration::from_secs(29)..Duration::from_secs(30)).contains(&took),
            "{took:?}"
        );
        let info = status.get_details_error_info().unwrap();
        assert!(info.metadata.contains_key("call_id"));
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_is_cut_to_ten_minutes() {
    let mut scene = quiet(&[("outbound.request_timeout", "10m")]).await;
    for hours in [1, 1000, 90_000_000] {
        scene.portal.faults().on(GET, Fault::hang());
        let started = Instant::now();
        let request = within(Duration::from_secs(hours * 3600), get());
        let status = scene.bots.get_bot(request).await.unwrap_err();
        assert_eq!(told(&status).code, Code::DeadlineExceeded);
        let took = started.elapsed();
        assert!(
            (Duration::from_secs(590)..Duration::from_secs(600)).contains(&took),
            "{took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn caller_is_told_before_its_own_clock_runs_out() {
    let mut scene = quiet(&[]).await;
    for millis in [50, 1000, 20_000] {
        // The last one is still under way, and the bot is changed by one at a time.
        sleep(Duration::from_secs(70)).await;
        let deadline = Duration::from_millis(millis);
        scene.portal.faults().on(UPDATE, Fault::hang());
        // Had the client's own timer been first, there would be no reason.
        let status = scene
            .bots
            .update_bot(within(deadline, update()))
            .await
            .unwrap_err();
        assert_eq!(
            told(&status),
            failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_of_nothing_sends_nothing() {
    let mut scene = quiet(&[]).await;
    exhaust(&mut scene).await;
    for deadline in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(1),
    ] {
        scene
            .bots
            .update_bot(within(deadline, update()))
            .await
            .unwrap_err();
    }
    sleep(Duration::from_secs(120)).await;
    assert_eq!(sent(&scene, UPDATE), 0);
    scene.bots.update_bot(update()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wait_beyond_the_deadline_is_refused_at_once_and_never_sent() {
    let mut scene = quiet(&[]).await;
    exhaust(&mut scene).await;
    let started = Instant::now();
    let status = scene
        .bots
        .update_bot(within(Duration::from_millis(200), update()))
        .await
        .unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::ResourceExhausted, "DEADLINE_TOO_SHORT", "no")
    );
    assert!(
        started.elapsed() < Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
    let wait = status
        .get_details_retry_info()
        .unwrap()
        .retry_delay
        .unwrap();
    assert!(
        !wait.is_zero() && wait <= Duration::from_secs(1),
        "{wait:?}"
    );

    sleep(wait).await;
    assert_eq!(sent(&scene, UPDATE), 0);
    scene
        .bots
        .update_bot(within(Duration::from_millis(200), update()))
        .await
        .unwrap();
    assert_eq!(sent(&scene, UPDATE), 1);
}

#[tokio::test(start_paused = true)]
async fn call_whose_deadline_passed_in_the_queue_is_never_sent() {
    let mut scene = quiet(&[]).await;
    // Changes of one bot leave one at a time, and the first takes its time.
    scene
        .portal
        .set_latency(Some(UPDATE), Duration::from_secs(10));
    let mut bots = scene.bots.clone();
    let first = tokio::spawn(async move { bots.update_bot(update()).await.map(drop) });
    sleep(Duration::from_millis(1)).await;
    let status = scene
        .bots
        .update_bot(within(Duration::from_secs(3), update()))
        .await
        .unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "no")
    );
    first.await.unwrap().unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(sent(&scene, UPDATE), 1);
}

#[tokio::test(start_paused = true)]
async fn sent_answer_is_posted_though_its_caller_was_told_that_nobody_knows() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    let (_, event) = stream.event().await;
    let late = Fault::latency(Duration::from_secs(20));
    scene.portal.faults().on("imbot.v2.Command.answer", late);
    let started = Instant::now();
    let request = within(Duration::from_secs(5), answer(&event, "Here you are"));
    let status = scene.bots.answer_command(request).await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
    );
    let took = started.elapsed();
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );

    let again = scene
        .bots
        .answer_command(answer(&event, "Here you are, again"))
        .await
        .unwrap();
    assert_eq!(
        again.into_inner().outcome(),
        pb::AnswerOutcome::AlreadyAnswered
    );
    assert_eq!(
        scene
            .texts()
            .iter()
            .filter(|text| text.contains("Here you are"))
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn half_a_registration_is_finished_though_its_caller_left() {
    let mut scene = quiet(&[]).await;
    scene.portal.faults().on(
        "imbot.v2.Command.list",
        Fault::latency(Duration::from_secs(10)),
    );
    let request = pb::RegisterCommandRequest {
        command: "later".to_owned(),
        ..help()
    };
    let status = scene
        .bots
        .register_command(within(Duration::from_secs(2), request))
        .await
        .unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
    );
    let bot = scene.portal.bot_by_code("helper").unwrap().id;
    let portal = scene.portal.clone();
    let exists = || {
        portal
            .commands(bot)
            .iter()
            .any(|command| command.name == "later")
    };
    assert!(!exists());
    until("the command exists", exists).await;
}

#[tokio::test(start_paused = true)]
async fn caller_who_leaves_before_the_call_was_sent_stops_it() {
    let mut scene = quiet(&[]).await;
    exhaust(&mut scene).await;
    let mut bots = scene.bots.clone();
    let calling = tokio::spawn(async move { bots.update_bot(update()).await.map(drop) });
    sleep(Duration::from_millis(20)).await;
    calling.abort();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(sent(&scene, UPDATE), 0);
}

#[tokio::test(start_paused = true)]
async fn caller_who_leaves_after_the_call_was_sent_stops_nothing() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    let (_, event) = stream.event().await;
    let late = Fault::latency(Duration::from_secs(10));
    scene.portal.faults().on("imbot.v2.Command.answer", late);
    let mut bots = scene.bots.clone();
    let request = answer(&event, "Here you are");
    let calling = tokio::spawn(async move { bots.answer_command(request).await.map(drop) });
    until("the call was sent", || scene.portal.faults().waiting() == 0).await;
    calling.abort();
    until("the answer is posted", || {
        scene.texts().contains(&"Here you are".to_owned())
    })
    .await;
    let again = scene
        .bots
        .answer_command(answer(&event, "again"))
        .await
        .unwrap();
    assert_eq!(
        again.into_inner().outcome(),
        pb::AnswerOutcome::AlreadyAnswered
    );
}

#[tokio::test(start_paused = true)]
async fn deadline_of_nothing_sends_nothing_and_a_malformed_one_is_none() {
    let mut scene = quiet(&[]).await;
    for unit in ["0n", "0m", "0S", "00000000H"] {
        let mut request = Request::new(update());
        let metadata = request.metadata_mut();
        metadata.insert("grpc-timeout", unit.parse().unwrap());
        // Who of the two notices first is the machine's choice; only one of them gives a reason.
        let status = scene.bots.update_bot(request).await.unwrap_err();
        if status.get_details_error_info().is_some() {
            let late = failure(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "no");
            assert_eq!(told(&status), late, "{unit}");
        }
    }
    sleep(Duration::from_secs(600)).await;
    assert_eq!(sent(&scene, UPDATE), 0);
    for past in ["-1S", "-90000000H", "0", "1999-12-31"] {
        let mut request = Request::new(get());
        let metadata = request.metadata_mut();
        metadata.insert("grpc-timeout", past.parse().unwrap());
        scene.bots.get_bot(request).await.unwrap();
    }
}
