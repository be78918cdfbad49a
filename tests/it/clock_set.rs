//! The clock of the gateway's machine is set while it runs, or while it does not.

use std::{ops::Range, time::Duration};

use bitrix24_gateway::proto::v1::{self as pb, AnswerOutcome};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::scene::{Scene, answer, failure, raw_answer, told};

const HOUR: i64 = 3600;

/// So far away, and none of it matters.
const EITHER_WAY: [i64; 4] = [-30 * 24 * HOUR, -HOUR, HOUR, 30 * 24 * HOUR];

#[tokio::test(start_paused = true)]
async fn answer_window_does_not_move_when_our_clock_is_set() {
    for seconds in EITHER_WAY {
        let mut scene = Scene::start().await;
        scene.answers_tell_times();
        scene.events_are_whole();
        scene.helper().await;
        let mut stream = scene
            .subscribe(pb::SubscribeCommandEventsRequest::default())
            .await;
        scene.anna_types("/help");
        let (_, event) = stream.event().await;

        scene.set_clock_by(seconds);
        let answered = scene.bots.answer_command(answer(&event, "in time")).await;
        let outcome = answered.unwrap().into_inner().outcome();
        assert_eq!(outcome, AnswerOutcome::Answered, "set by {seconds} s");

        scene.anna_types("/help again");
        let (_, event) = stream.event().await;
        sleep(Duration::from_secs(11 * 60)).await;
        // No answer of the portal comes in between.
        scene.set_clock_by(-seconds);
        let refused = scene.bots.answer_command(answer(&event, "too late")).await;
        assert_eq!(
            told(&refused.unwrap_err()),
            failure(Code::FailedPrecondition, "ANSWER_WINDOW_CLOSED", "no"),
            "set by {} s",
            -seconds
        );
    }
}

/// What `much_to_say` takes when nobody sets a clock, with room for what else the machine is doing: requests
/// are real, and the paused clock runs on while one is on its way. A wait that looked at the time of day would
/// be wrong by an hour or more: too long, or none at all.
const USUAL: Range<Duration> = Duration::from_secs(30)..Duration::from_secs(90);

/// More answers than the portal's counter has room for, all at once. How long the last one took.
async fn much_to_say(scene: &mut Scene, seconds: i64) -> Duration {
    let bot_id = scene.portal.bot_by_code("helper").unwrap().id;
    let command_id = scene.portal.commands(bot_id)[0].id;
    let message_id = scene.anna_types("/help");
    let dialog = scene.chat.dialog_id();
    let began = Instant::now();
    let calls = (0..90).map(|line| {
        let mut bots = scene.bots.clone();
        let request = raw_answer(command_id, message_id, &dialog, &format!("line {line}"));
        async move {
            let mut request = tonic::Request::new(request);
            request.set_timeout(Duration::from_secs(120));
            bots.answer_command(request).await
        }
    });
    let set = async {
        sleep(Duration::from_millis(500)).await;
        scene.set_clock_by(seconds);
    };
    let (answers, ()) = tokio::join!(join_all(calls), set);
    for answer in answers {
        answer.unwrap();
    }
    began.elapsed()
}

fn refusals(scene: &Scene) -> usize {
    let requests = scene.portal.journal().requests();
    let codes = requests.iter().filter_map(|request| request.error());
    codes.filter(|code| code.contains("LIMIT")).count()
}

#[tokio::test(start_paused = true)]
async fn pacing_and_deadlines_do_not_look_at_the_time_of_day() {
    for seconds in [0].into_iter().chain(EITHER_WAY) {
        let mut scene = Scene::start().await;
        scene.helper().await;
        let took = much_to_say(&mut scene, seconds).await;
        assert!(USUAL.contains(&took), "set by {seconds} s: {took:?}");
        assert_eq!(refusals(&scene), 0, "set by {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn clock_that_was_set_back_before_a_start_holds_nothing_up() {
    for seconds in [-30 * 24 * HOUR, -HOUR] {
        let mut scene = Scene::start().await;
        scene.helper().await;
        much_to_say(&mut scene, 0).await;
        scene.stop().await;
        scene.set_clock_by(seconds);
        scene.start_again().await;
        let took = much_to_say(&mut scene, 0).await;
        assert!(took < USUAL.end, "{seconds}: {took:?}");
        assert_eq!(refusals(&scene), 0, "set by {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn clock_that_was_set_forward_before_a_start_costs_refusals_and_no_answer() {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    scene.helper().await;
    much_to_say(&mut scene, 0).await;
    scene.stop().await;
    scene.set_clock_by(HOUR);
    scene.start_again().await;
    // The first answer of the portal tells what its clock shows.
    sleep(Duration::from_secs(2)).await;
    // By our clock the portal's counter is long empty, by its own it is not.
    much_to_say(&mut scene, 0).await;
}
