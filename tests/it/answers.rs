//! `true` is not proof of delivery: the answer window, and answering an event at most once.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, AnswerOutcome};
use bitrix24_sim::{Effect, Fault};
use tokio::time::sleep;
use tonic::Code;

use crate::scene::{Scene, answer, command_added, failure, raw_answer, told};

const NINE_MINUTES: Duration = Duration::from_secs(9 * 60);
const ELEVEN_MINUTES: Duration = Duration::from_secs(11 * 60);

/// Anna's command as the bot received it.
async fn called(scene: &mut Scene) -> pb::Event {
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    stream.event().await.1
}

fn by_ids(event: &pb::Event, text: &str) -> pb::AnswerCommandRequest {
    let added = command_added(event);
    let ids = (added.command.unwrap().id, added.message.unwrap().id);
    raw_answer(ids.0, ids.1, &added.chat.unwrap().dialog_id, text)
}

#[tokio::test(start_paused = true)]
async fn late_answer_is_refused_and_spends_no_call() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let event = called(&mut scene).await;
    sleep(ELEVEN_MINUTES).await;
    let before = scene.calls().len();
    let closed = failure(Code::FailedPrecondition, "ANSWER_WINDOW_CLOSED", "no");
    let by_event = scene
        .bots
        .answer_command(answer(&event, "too late"))
        .await
        .unwrap_err();
    assert_eq!(told(&by_event), closed);
    let by_ids = scene
        .bots
        .answer_command(by_ids(&event, "too late"))
        .await
        .unwrap_err();
    assert_eq!(told(&by_ids), closed);
    assert_eq!(scene.calls().len(), before);
    assert!(!scene.texts().contains(&"too late".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn simulated_portal_says_true_to_a_late_answer_and_posts_nothing() {
    // The reason for the test above: without our check nobody would notice.
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene
        .portal
        .set_quirks(|quirks| quirks.late_answers_are_dropped = true);
    let event = called(&mut scene).await;
    scene.sim.clock().advance(ELEVEN_MINUTES);
    let answered = scene
        .bots
        .answer_command(by_ids(&event, "too late"))
        .await
        .unwrap();
    // Our clock did not move, so we believed the window open.
    assert_eq!(answered.into_inner().outcome(), AnswerOutcome::Answered);
    let dropped = |effect: &Effect| matches!(effect, Effect::AnswerDropped { .. });
    assert!(scene.portal.journal().effects().iter().any(dropped));
}

#[tokio::test(start_paused = true)]
async fn window_is_judged_by_the_portals_clock() {
    let mut scene = Scene::start().await;
    scene.answers_tell_times();
    scene.events_are_whole();
    let event = called(&mut scene).await;
    scene.sim.clock().advance(ELEVEN_MINUTES);
    // Any answer of the portal tells its time.
    scene
        .bots
        .get_bot(pb::GetBotRequest {
            bot_code: "helper".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    let refused = scene
        .bots
        .answer_command(answer(&event, "too late"))
        .await
        .unwrap_err();
    assert_eq!(told(&refused).reason, "ANSWER_WINDOW_CLOSED");
}

#[tokio::test(start_paused = true)]
async fn later_command_in_the_dialog_keeps_the_window_open() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let event = called(&mut scene).await;
    sleep(NINE_MINUTES).await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help again");
    stream.event().await;
    sleep(NINE_MINUTES).await;
    let answered = scene
        .bots
        .answer_command(answer(&event, "in time"))
        .await
        .unwrap();
    assert_eq!(answered.into_inner().outcome(), AnswerOutcome::Answered);
    assert!(scene.texts().contains(&"in time".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn command_typed_in_the_private_dialog_can_be_answered_for_good() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let bot_id = scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene
        .portal
        .user(scene.anna)
        .types_to_bot(bot_id, "/help")
        .unwrap();
    let (_, event) = stream.event().await;
    assert_eq!(
        command_added(&event).chat.unwrap().dialog_id,
        scene.anna.to_string()
    );
    sleep(ELEVEN_MINUTES * 6).await;
    let answered = scene
        .bots
        .answer_command(answer(&event, "an hour later"))
        .await
        .unwrap();
    assert_eq!(answered.into_inner().outcome(), AnswerOutcome::Answered);
    let texts = scene.portal.messages(&format!("{}:{bot_id}", scene.anna));
    assert_eq!(texts.last().unwrap().text, "an hour later");
}

#[tokio::test(start_paused = true)]
async fn closed_window_falls_back_to_a_message_where_the_caller_allows_it() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let event = called(&mut scene).await;
    sleep(ELEVEN_MINUTES).await;
    let request = pb::AnswerCommandRequest {
        if_window_closed: pb::IfWindowClosed::SendMessage.into(),
        ..answer(&event, "as a message")
    };
    let answered = scene
        .bots
        .answer_command(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answered.outcome(), AnswerOutcome::SentAsMessage);
    let last = scene
        .portal
        .messages(&scene.chat.dialog_id())
        .pop()
        .unwrap();
    assert_eq!(
        (last.text.as_str(), Some(last.id)),
        ("as a message", answered.message_id)
    );
}

#[tokio::test(start_paused = true)]
async fn answer_goes_out_and_says_so_when_no_command_was_seen() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let command_id = scene
        .portal
        .commands(scene.portal.bot_by_code("helper").unwrap().id)[0]
        .id;
    let message_id = scene.anna_types("no command");
    let request = raw_answer(command_id, message_id, &scene.chat.dialog_id(), "hello?");
    let answered = scene.bots.answer_command(request).await.unwrap();
    assert_eq!(
        answered.into_inner().outcome(),
        AnswerOutcome::WindowUnknown
    );
}

#[tokio::test(start_paused = true)]
async fn event_is_answered_once_whatever_the_text() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let event = called(&mut scene).await;
    scene
        .bots
        .answer_command(answer(&event, "first"))
        .await
        .unwrap();
    let again = scene
        .bots
        .answer_command(answer(&event, "second"))
        .await
        .unwrap();
    assert_eq!(again.into_inner().outcome(), AnswerOutcome::AlreadyAnswered);
    scene.restart().await;
    let after = scene
        .bots
        .answer_command(answer(&event, "third"))
        .await
        .unwrap();
    assert_eq!(after.into_inner().outcome(), AnswerOutcome::AlreadyAnswered);
    let answers = scene.texts().into_iter().filter(|text| text != "/help");
    assert_eq!(answers.collect::<Vec<_>>(), ["first"]);
}

#[tokio::test(start_paused = true)]
async fn concurrent_answers_to_an_event_post_once() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let event = called(&mut scene).await;
    scene
        .portal
        .set_latency(Some("imbot.v2.Command.answer"), Duration::from_secs(2));
    let outcomes = (0..10).map(|_| {
        let (mut bots, request) = (scene.bots.clone(), answer(&event, "once"));
        async move {
            bots.answer_command(request)
                .await
                .unwrap()
                .into_inner()
                .outcome()
        }
    });
    let outcomes = futures_util::future::join_all(outcomes).await;
    let posted = outcomes
        .iter()
        .filter(|outcome| **outcome == AnswerOutcome::Answered)
        .count();
    assert_eq!((posted, outcomes.len()), (1, 10));
    assert_eq!(
        scene.texts().iter().filter(|text| *text == "once").count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn unknown_outcome_stays_unknown_and_is_never_posted_again() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let event = called(&mut scene).await;
    scene
        .portal
        .faults()
        .on("imbot.v2.Command.answer", Fault::reset().after_effect());
    let lost = scene
        .bots
        .answer_command(answer(&event, "perhaps"))
        .await
        .unwrap_err();
    assert_eq!(
        told(&lost),
        failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
    );
    let unknown = failure(
        Code::FailedPrecondition,
        "ANSWER_OUTCOME_UNKNOWN",
        "unknown",
    );
    let again = scene
        .bots
        .answer_command(answer(&event, "perhaps"))
        .await
        .unwrap_err();
    assert_eq!(told(&again), unknown);
    scene.restart().await;
    let after = scene
        .bots
        .answer_command(answer(&event, "perhaps"))
        .await
        .unwrap_err();
    assert_eq!(told(&after), unknown);
    assert_eq!(
        scene
            .texts()
            .iter()
            .filter(|text| *text == "perhaps")
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn refused_answer_leaves_the_event_open() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let event = called(&mut scene).await;
    let waiting = Fault::error(
        401,
        "METHOD_CONFIRM_WAITING",
        "Waiting for the administrator",
    );
    scene.portal.faults().on("imbot.v2.Command.answer", waiting);
    let refused = scene
        .bots
        .answer_command(answer(&event, "later"))
        .await
        .unwrap_err();
    assert_eq!(
        told(&refused),
        failure(
            Code::FailedPrecondition,
            "METHOD_CONFIRMATION_REQUIRED",
            "no"
        )
    );
    let answered = scene
        .bots
        .answer_command(answer(&event, "later"))
        .await
        .unwrap();
    assert_eq!(answered.into_inner().outcome(), AnswerOutcome::Answered);
}

#[tokio::test(start_paused = true)]
async fn executed_command_arrives_as_a_button_press() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let bot_id = scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    for dialog in [scene.chat.dialog_id(), bot_id.to_string()] {
        let john = scene.portal.user(scene.john);
        let message_id = john.types(&dialog, "an anchor").unwrap();
        let request = pb::ExecuteCommandRequest {
            bot_id,
            message_id,
            command: "help".to_owned(),
            params: "topic & more #1".to_owned(),
            ..pb::ExecuteCommandRequest::default()
        };
        scene.bots.execute_command(request).await.unwrap();
        let (_, event) = stream.event().await;
        let added = command_added(&event);
        let command = added.command.unwrap();
        assert_eq!(
            (command.params.as_str(), command.context.as_str()),
            ("topic & more #1", "keyboard")
        );
        assert_eq!(added.message.unwrap().id, message_id);
    }
}

#[tokio::test(start_paused = true)]
async fn command_of_a_message_the_user_cannot_see_is_refused() {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    let bot_id = scene.helper().await;
    let request = pb::ExecuteCommandRequest {
        bot_id,
        message_id: 999_999_999,
        command: "help".to_owned(),
        ..pb::ExecuteCommandRequest::default()
    };
    let refused = scene.bots.execute_command(request).await.unwrap_err();
    assert_eq!(
        told(&refused),
        failure(Code::InvalidArgument, "PORTAL_REFUSED", "no")
    );
}

#[tokio::test(start_paused = true)]
async fn event_knows_its_portal_and_bot_and_a_wrong_one_is_not_found() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    let event = called(&mut scene).await;
    scene
        .bots
        .register_bot(pb::RegisterBotRequest {
            bot_code: "other".to_owned(),
            ..crate::scene::helper()
        })
        .await
        .unwrap();
    let other = pb::AnswerCommandRequest {
        bot_code: "other".to_owned(),
        ..answer(&event, "not mine")
    };
    let refused = scene.bots.answer_command(other).await.unwrap_err();
    assert_eq!(
        told(&refused),
        failure(Code::NotFound, "UNKNOWN_EVENT", "no")
    );
    let named = pb::AnswerCommandRequest {
        portal: event.portal.clone(),
        bot_code: event.bot_code.clone(),
        ..answer(&event, "mine")
    };
    let answered = scene.bots.answer_command(named).await.unwrap();
    assert_eq!(answered.into_inner().outcome(), AnswerOutcome::Answered);
}
