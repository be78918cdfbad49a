//! What is relied upon without a promise, and what the portal shows of it.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, AssumptionEvidence, AssumptionSwitch};
use bitrix24_sim::{Encoding, Fault, Quirks};
use futures_util::future::join_all;
use tokio::time::sleep;
use tonic::{Code, Request, Status};

use crate::scene::{Scene, called, content, failure, told};

const SEND: &str = "imbot.v2.Chat.Message.send";

/// A day passes with few fetches.
const QUIET: [(&str, &str); 1] = [("polling.idle_pause", "10m")];

async fn say(scene: &Scene, text: &str, key: &str) -> Result<Option<i64>, Status> {
    let mut request = Request::new(pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(content(text)),
        idempotency_key: key.to_owned(),
        ..pb::SendMessageRequest::default()
    });
    request.set_timeout(Duration::from_secs(60));
    let sent = scene.messages().send_message(request).await?;
    Ok(sent.into_inner().message_id)
}

/// Messages with this text.
fn posted(scene: &Scene, text: &str) -> usize {
    scene
        .texts()
        .iter()
        .filter(|posted| *posted == text)
        .count()
}

async fn shown(scene: &Scene, name: &str) -> (AssumptionSwitch, AssumptionEvidence, bool) {
    let assumptions = scene.shown().await.assumptions;
    let found = assumptions
        .into_iter()
        .find(|assumption| assumption.name == name);
    let found = found.unwrap();
    (found.switch(), found.evidence(), found.relied_upon)
}

/// Sends a message whose outcome nobody sees.
async fn perhaps(scene: &Scene, key: &str) -> Result<Option<i64>, Status> {
    scene
        .portal
        .faults()
        .on(SEND, Fault::reset().after_effect());
    say(scene, "perhaps", key).await
}

#[tokio::test(start_paused = true)]
async fn message_with_a_key_is_sent_again_where_the_operator_relies_on_keys() {
    let mut scene = Scene::with(&[("assume.message_keys", "on")]).await;
    scene
        .portal
        .set_quirks(|quirks| quirks.template_id_is_a_key = true);
    scene.helper().await;
    let id = perhaps(&scene, "order 17").await.unwrap();
    assert!(id.is_some());
    assert_eq!(posted(&scene, "perhaps"), 1);
    assert_eq!(scene.portal.journal().calls(SEND).len(), 2);
    // Without a key nothing protects it.
    let status = perhaps(&scene, "").await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown")
    );
}

#[tokio::test(start_paused = true)]
async fn message_with_a_key_is_sent_again_once_the_portal_has_shown_that_it_heeds_keys() {
    let mut scene = Scene::with(&QUIET).await;
    scene
        .portal
        .set_quirks(|quirks| quirks.template_id_is_a_key = true);
    scene.helper().await;
    let untold = (
        AssumptionSwitch::Auto,
        AssumptionEvidence::Unspecified,
        false,
    );
    assert_eq!(shown(&scene, "message_keys").await, untold);
    let unknown = failure(Code::Unknown, "OUTCOME_UNKNOWN", "unknown");
    assert_eq!(told(&perhaps(&scene, "first").await.unwrap_err()), unknown);

    let first = say(&scene, "once", "order 17").await.unwrap();
    // The gateway forgets a key after a day, the portal after a month.
    sleep(Duration::from_secs(25 * 3600)).await;
    assert_eq!(say(&scene, "once", "order 17").await.unwrap(), first);
    let proven = (AssumptionSwitch::Auto, AssumptionEvidence::Holds, true);
    assert_eq!(shown(&scene, "message_keys").await, proven);
    perhaps(&scene, "second").await.unwrap();
    assert_eq!(posted(&scene, "perhaps"), 2);
}

#[tokio::test(start_paused = true)]
async fn portal_that_posts_a_key_twice_is_not_relied_upon() {
    let quirks = Quirks {
        template_id_is_a_key: false,
        ..Quirks::default()
    };
    let mut scene = Scene::of("webhook_url", &QUIET, quirks).await;
    scene.helper().await;
    let first = say(&scene, "twice", "order 17").await.unwrap();
    sleep(Duration::from_secs(25 * 3600)).await;
    assert_ne!(say(&scene, "twice", "order 17").await.unwrap(), first);
    let refuted = (AssumptionSwitch::Auto, AssumptionEvidence::Fails, false);
    assert_eq!(shown(&scene, "message_keys").await, refuted);
    perhaps(&scene, "second").await.unwrap_err();
    assert_eq!(posted(&scene, "perhaps"), 1);
}

/// Sends more at once than leaves alone; how many requests travelled together.
async fn crowd(scene: &mut Scene) -> usize {
    scene.answers_tell_times();
    let bot = scene.helper().await;
    let rooms: Vec<_> = (0..60)
        .map(|room| {
            scene
                .portal
                .add_group_chat(&format!("Room {room}"), &[1, bot])
        })
        .collect();
    let calls = rooms.iter().map(|room| {
        let mut request = Request::new(pb::SendMessageRequest {
            bot_code: "helper".to_owned(),
            dialog_id: room.dialog_id(),
            content: Some(content("hello")),
            ..pb::SendMessageRequest::default()
        });
        request.set_timeout(Duration::from_secs(120));
        let mut messages = scene.messages();
        async move { messages.send_message(request).await }
    });
    for outcome in join_all(calls).await {
        outcome.unwrap();
    }
    for room in &rooms {
        assert_eq!(scene.portal.messages(&room.dialog_id()).len(), 1);
    }
    let sent = scene.portal.journal().calls(SEND).into_iter();
    sent.filter(|request| request.encoding == Encoding::BatchEntry)
        .count()
}

#[tokio::test(start_paused = true)]
async fn calls_travel_alone_where_the_operator_wants_that_or_the_portal_refuses() {
    let mut together = Scene::start().await;
    assert!(crowd(&mut together).await > 10);
    let (_, evidence, relied_upon) = shown(&together, "batched_calls").await;
    assert_eq!((evidence, relied_upon), (AssumptionEvidence::Holds, true));

    let mut alone = Scene::with(&[("assume.batched_calls", "off")]).await;
    assert_eq!(crowd(&mut alone).await, 0);
    assert!(alone.portal.journal().calls("batch").is_empty());

    let mut refusing = Scene::start().await;
    let refused = Fault::error(405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Not in a batch").always();
    refusing.portal.faults().on("batch", refused);
    assert_eq!(crowd(&mut refusing).await, 0);
    let (_, evidence, relied_upon) = shown(&refusing, "batched_calls").await;
    assert_eq!((evidence, relied_upon), (AssumptionEvidence::Fails, false));
    assert!(refusing.portal.journal().calls("batch").len() < 5);
}

#[tokio::test(start_paused = true)]
async fn every_assumption_is_shown_by_the_name_of_its_setting() {
    let scene = Scene::with(&[("assume.batched_polls", "on")]).await;
    let assumptions = scene.shown().await.assumptions;
    let shown: Vec<_> = assumptions
        .iter()
        .map(|it| (it.name.as_str(), it.switch(), it.relied_upon))
        .collect();
    let auto = AssumptionSwitch::Auto;
    assert_eq!(
        shown,
        [
            ("batched_calls", auto, true),
            ("batched_polls", AssumptionSwitch::On, true),
            ("answer_window", auto, true),
            ("message_keys", auto, false),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn late_answer_goes_out_where_the_operator_does_not_believe_in_the_window() {
    let settings = [
        // A portal's own switch outweighs the general one.
        ("assume.answer_window", "on"),
        ("portals.acme.assume.answer_window", "off"),
        ("default_portal", "acme"),
    ];
    let quirks = Quirks {
        late_answers_are_dropped: false,
        ..Quirks::default()
    };
    let mut scene = Scene::of("portals.acme.webhook_url", &settings, quirks).await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help");
    let (_, event) = stream.event().await;
    assert_eq!(called(&event).command, "help");
    sleep(Duration::from_secs(700)).await;
    let answered = scene
        .bots
        .answer_command(crate::scene::answer(&event, "late"))
        .await;
    let outcome = answered.unwrap().into_inner().outcome();
    assert_eq!(outcome, pb::AnswerOutcome::WindowUnknown);
    assert!(scene.texts().iter().any(|text| text.contains("late")));
    let off = (
        AssumptionSwitch::Off,
        AssumptionEvidence::Unspecified,
        false,
    );
    assert_eq!(shown(&scene, "answer_window").await, off);
}
