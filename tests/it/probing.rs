//! What a portal shows of what is relied upon without a promise, where an operator has it asked.

use std::time::Duration;

use bitrix24_gateway::{
    admin::{Command, Done, Error},
    diagnosis::{Finding, Probe, Verdict},
    proto::v1::{self as pb, AssumptionEvidence},
};
use bitrix24_sim::{Encoding, Fault, PortalConfig};
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    diagnosis::operate,
    scene::{Scene, content, helper, number},
};

const BOT: &str = "imbot.v2.Bot.get";
const REVISION: &str = "imbot.v2.Revision.get";
const SEND: &str = "imbot.v2.Chat.Message.send";
const DELETE: &str = "imbot.v2.Chat.Message.delete";
const FETCH: &str = "imbot.v2.Event.get";

/// What the operator is told, or why nothing was asked. `dialog`: where a message may be sent twice.
async fn ask(scene: &Scene, portal: Option<&str>, dialog: Option<&str>) -> Result<Probe, String> {
    let command = Command::Probe {
        portal: portal.map(str::to_owned),
        bot: "helper".to_owned(),
        dialog: dialog.map(str::to_owned),
    };
    match operate(scene, command).await {
        Ok(Done::Probed { probe }) => Ok(probe),
        Err(Error::Refused(why)) => Err(why),
        other => panic!("{other:?}"),
    }
}

async fn probe(scene: &Scene, dialog: &str) -> Probe {
    ask(scene, None, Some(dialog)).await.unwrap()
}

fn finding<'a>(probe: &'a Probe, name: &str) -> &'a Finding {
    let mut findings = probe.findings.iter();
    findings.find(|it| it.name == name).unwrap()
}

/// Of calls and fetches that travel together, and of keys.
fn verdicts(probe: &Probe) -> [Verdict; 3] {
    assert_eq!(probe.findings.len(), 4, "{probe:?}");
    let window = finding(probe, "answer_window");
    assert_eq!(window.verdict, Verdict::LeftOut);
    let verdict = |name| finding(probe, name).verdict;
    ["batched_calls", "batched_polls", "message_keys"].map(verdict)
}

async fn evidence(scene: &Scene, name: &str) -> (AssumptionEvidence, bool) {
    let assumptions = scene.shown().await.assumptions;
    let mut assumptions = assumptions.into_iter();
    let found = assumptions.find(|it| it.name == name).unwrap();
    (found.evidence(), found.relied_upon)
}

/// Test messages that people see in the chat.
fn seen(scene: &Scene) -> usize {
    let texts = scene.texts().into_iter();
    texts.filter(|text| text.contains("Test message")).count()
}

/// How often a method was called.
fn calls(scene: &Scene, method: &str) -> usize {
    scene.portal.journal().calls(method).len()
}

/// A bot in a chat, and whether the portal heeds keys.
async fn ready(heeds_keys: bool) -> Scene {
    let mut scene = Scene::start().await;
    scene.errors_have_names();
    scene
        .portal
        .set_quirks(|quirks| quirks.template_id_is_a_key = heeds_keys);
    scene.helper().await;
    scene.portal.journal().clear();
    scene
}

#[tokio::test(start_paused = true)]
async fn portal_that_keeps_everything_is_found_to_and_relied_upon_from_then_on() {
    let scene = ready(true).await;
    let probe = probe(&scene, &scene.chat.dialog_id()).await;
    assert_eq!(verdicts(&probe), [Verdict::Holds; 3], "{probe:?}");
    assert_eq!(probe.left, Vec::<String>::new());
    for name in ["batched_calls", "batched_polls", "message_keys"] {
        let holds = (AssumptionEvidence::Holds, true);
        assert_eq!(evidence(&scene, name).await, holds, "{name}");
        assert!(finding(&probe, name).relied_upon, "{name}");
    }
    // Only this one would be forgotten by a restart.
    let keep = |name| finding(&probe, name).keep.as_deref();
    assert_eq!(keep("message_keys"), Some("assume.message_keys = \"on\""));
    assert_eq!((keep("batched_calls"), keep("batched_polls")), (None, None));
    let sent = scene.portal.journal().calls(SEND);
    let keys: Vec<_> = sent
        .iter()
        .map(|it| it.params["fields"]["templateId"].clone())
        .collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    assert_eq!((calls(&scene, DELETE), seen(&scene)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_dialog_nothing_is_posted_and_no_event_is_acknowledged() {
    let mut scene = ready(true).await;
    scene.events_are_whole();
    let hold = Fault::error(400, "ERROR_CORE", "no").times(5);
    scene.portal.faults().on(FETCH, hold);
    scene.anna_types("/help me");
    sleep(Duration::from_secs(1)).await;
    scene.portal.faults().clear();
    scene.portal.journal().clear();
    let probe = ask(&scene, None, None).await.unwrap();
    let [calls, polls, keys] = verdicts(&probe);
    assert_eq!(
        (calls, polls, keys),
        (Verdict::Holds, Verdict::Holds, Verdict::LeftOut)
    );
    let mut asked = scene.calls();
    asked.sort();
    assert_eq!(asked, ["batch", "batch", BOT, BOT, REVISION, REVISION]);
    let fetches = scene.portal.journal().calls(FETCH).into_iter();
    let fetches: Vec<_> = fetches
        .filter(|it| it.encoding == Encoding::BatchEntry)
        .collect();
    assert_eq!(fetches.len(), 2);
    for fetch in fetches {
        assert_eq!(fetch.params.get("offset"), None, "{fetch:?}");
        assert_eq!(number(&fetch.params["limit"]), Some(1));
    }
    let request = pb::SubscribeCommandEventsRequest::default();
    let mut stream = scene.subscribe(request).await;
    assert_eq!(stream.params().await, "me");
}

#[tokio::test(start_paused = true)]
async fn portal_that_refuses_calls_together_is_found_to_and_what_it_refuses_travels_alone() {
    let refused = || Fault::error(405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "no").always();
    let scene = ready(true).await;
    scene.portal.faults().on("batch", refused());
    let probe = probe(&scene, &scene.chat.dialog_id()).await;
    let found = verdicts(&probe);
    assert_eq!(found, [Verdict::Fails, Verdict::Fails, Verdict::Holds]);
    for name in ["batched_calls", "batched_polls"] {
        let fails = (AssumptionEvidence::Fails, false);
        assert_eq!(evidence(&scene, name).await, fails);
        let finding = finding(&probe, name);
        let keep = format!("assume.{name} = \"off\"");
        assert_eq!(finding.keep.as_ref(), Some(&keep));
        assert!(finding.seen.contains("ERROR_BATCH"), "{finding:?}");
    }

    let scene = ready(true).await;
    scene.portal.faults().on(FETCH, refused().in_batch());
    let probe = ask(&scene, None, None).await.unwrap();
    let found = verdicts(&probe);
    assert_eq!(found, [Verdict::Holds, Verdict::Fails, Verdict::LeftOut]);
}

#[tokio::test(start_paused = true)]
async fn portal_that_answers_together_otherwise_than_alone_is_not_relied_upon() {
    let scene = ready(true).await;
    // The bot as strangers see it: its entry went out with the wrong token, or with none.
    let bot = scene.portal.bot_by_code("helper").unwrap().id;
    let brief = json!({"bot": {"id": bot, "code": "helper"}, "users": []});
    let revision = scene.call_elsewhere(REVISION, &json!({})).await["result"].clone();
    let body = json!({"result": {"result": {"c00": brief, "c01": revision}}});
    scene.answer_next("batch", &body);
    let probe = ask(&scene, None, None).await.unwrap();
    let found = finding(&probe, "batched_calls");
    assert_eq!((found.verdict, found.relied_upon), (Verdict::Fails, false));
    assert!(found.seen.contains(BOT), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn portal_that_posts_a_key_twice_is_found_to_and_both_messages_are_deleted() {
    let scene = ready(false).await;
    let probe = probe(&scene, &scene.chat.dialog_id()).await;
    let found = verdicts(&probe);
    assert_eq!(found, [Verdict::Holds, Verdict::Holds, Verdict::Fails]);
    let fails = (AssumptionEvidence::Fails, false);
    assert_eq!(evidence(&scene, "message_keys").await, fails);
    let counted = (calls(&scene, SEND), calls(&scene, DELETE), seen(&scene));
    assert_eq!(counted, (2, 2, 0));
    assert_eq!(probe.left, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn lost_answer_settles_nothing_and_is_not_asked_for_again() {
    let lost = || Fault::reset().after_effect();
    for first in [true, false] {
        let scene = ready(true).await;
        if !first {
            let passes = Fault::latency(Duration::from_millis(1));
            scene.portal.faults().on(SEND, passes);
        }
        scene.portal.faults().on(SEND, lost());
        let probe = probe(&scene, &scene.chat.dialog_id()).await;
        let found = verdicts(&probe);
        assert_eq!(found, [Verdict::Holds, Verdict::Holds, Verdict::Unsettled]);
        let nothing = (AssumptionEvidence::Unspecified, false);
        assert_eq!(evidence(&scene, "message_keys").await, nothing);
        // The answer that came names the message, since the portal heeds keys.
        let counted = (calls(&scene, SEND), calls(&scene, DELETE), seen(&scene));
        assert_eq!(counted, (2, 1, 0), "{first}");
        let [line] = &probe.left[..] else {
            panic!("{probe:?}");
        };
        assert!(line.contains(&scene.chat.dialog_id()), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn switch_of_an_operator_sends_no_message_more_often_and_keeps_nothing_from_being_asked() {
    let off_and_on = [
        ("assume.batched_calls", "off"),
        ("assume.batched_polls", "off"),
        ("assume.message_keys", "on"),
    ];
    let mut scene = Scene::with(&off_and_on).await;
    scene.helper().await;
    scene
        .portal
        .faults()
        .on(SEND, Fault::reset().after_effect().always());
    let probe = probe(&scene, &scene.chat.dialog_id()).await;
    let found = verdicts(&probe);
    assert_eq!(found, [Verdict::Holds, Verdict::Holds, Verdict::Unsettled]);
    assert_eq!(calls(&scene, SEND), 2);
    let calls = finding(&probe, "batched_calls");
    assert!(!calls.relied_upon);
    assert_eq!(
        calls.keep.as_deref(),
        Some("assume.batched_calls = \"auto\"")
    );
    assert!(finding(&probe, "message_keys").relied_upon);
}

#[tokio::test(start_paused = true)]
async fn message_that_the_portal_refuses_is_not_sent_twice() {
    let scene = ready(true).await;
    let foreign = scene
        .portal
        .add_group_chat("Others", &[scene.john, scene.anna]);
    let probe = probe(&scene, &foreign.dialog_id()).await;
    let keys = finding(&probe, "message_keys");
    assert_eq!(keys.verdict, Verdict::Unsettled);
    assert!(keys.seen.contains("nothing was posted"), "{keys:?}");
    assert!(keys.next.as_ref().unwrap().contains("member"), "{keys:?}");
    assert_eq!((calls(&scene, SEND), calls(&scene, DELETE)), (1, 0));
    assert_eq!(probe.left, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn message_that_cannot_be_deleted_is_named() {
    let scene = ready(true).await;
    let denied = Fault::error(400, "ACCESS_DENIED", "no").always();
    scene.portal.faults().on(DELETE, denied);
    let probe = probe(&scene, &scene.chat.dialog_id()).await;
    assert_eq!(verdicts(&probe), [Verdict::Holds; 3]);
    let messages = scene.portal.messages(&scene.chat.dialog_id());
    let mut messages = messages.iter();
    let left = messages
        .find(|it| it.text.contains("Test message"))
        .unwrap();
    let [line] = &probe.left[..] else {
        panic!("{probe:?}");
    };
    assert!(line.contains(&format!("message {}", left.id)), "{line}");
}

#[tokio::test(start_paused = true)]
async fn portal_that_is_not_called_is_not_asked() {
    let scene = ready(true).await;
    scene.portal.remove_webhook(&scene.portal.webhook_url());
    for _ in 0..100 {
        if scene.shown().await.state() == pb::PortalState::ReauthorizationRequired {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    scene.portal.journal().clear();
    let why = ask(&scene, None, None).await.unwrap_err();
    assert!(
        why.contains("nothing was sent") && why.contains("REAUTHORIZATION_REQUIRED"),
        "{why}"
    );
    assert_eq!(scene.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn bot_that_is_not_ours_or_not_there_asks_nothing() {
    let scene = ready(true).await;
    let brief = json!({"bot": {"id": 5, "code": "helper"}, "users": []});
    scene.answer_next(BOT, &json!({"result": brief}));
    let why = ask(&scene, None, None).await.unwrap_err();
    assert!(why.contains("another token"), "{why}");
    let missing = Fault::error(400, "BOT_NOT_FOUND", "no");
    scene.portal.faults().on(BOT, missing);
    let why = ask(&scene, None, None).await.unwrap_err();
    assert!(why.contains("BOT_NOT_FOUND"), "{why}");
    assert_eq!(scene.calls(), [BOT, BOT]);

    let scene = Scene::start().await;
    let why = ask(&scene, None, None).await.unwrap_err();
    assert!(why.contains("no bot `helper` was registered"), "{why}");
    let why = ask(&scene, Some("other"), None).await.unwrap_err();
    assert!(why.contains("no portal `other`"), "{why}");
    let why = ask(&scene, None, Some("sg4")).await.unwrap_err();
    assert!(why.contains("--dialog"), "{why}");
    assert_eq!(scene.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn bot_of_several_portals_asks_the_one_that_is_named() {
    let settings = async |sim: &bitrix24_sim::Sim, portal: &bitrix24_sim::Portal| {
        let other = sim.add_portal(PortalConfig::default()).await.unwrap();
        vec![
            ("webhook_url", portal.webhook_url()),
            ("portals.other.webhook_url", other.webhook_url()),
        ]
    };
    let quirks = crate::quirks::from_environment();
    let mut scene = Scene::made(quirks, settings, |_| None).await;
    for portal in ["default", "other"] {
        let request = pb::RegisterBotRequest {
            portal: portal.to_owned(),
            ..helper()
        };
        scene.bots.register_bot(request).await.unwrap();
    }
    let why = ask(&scene, None, None).await.unwrap_err();
    assert!(
        why.contains("--portal") && why.contains("default, other"),
        "{why}"
    );
    let probe = ask(&scene, Some("other"), None).await.unwrap();
    assert_eq!(probe.portal, "other");
    // Its switches have a place of their own.
    let window = finding(&probe, "answer_window");
    assert!(
        window
            .next
            .as_ref()
            .unwrap()
            .contains("portals.other.assume."),
        "{window:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_callers_wait_for_goes_before_a_probe() {
    let slow = [
        ("rate.burst", "5"),
        ("rate.requests_per_second", "2"),
        ("assume.batched_calls", "off"),
    ];
    let mut scene = Scene::with(&slow).await;
    let bot = scene.helper().await;
    sleep(Duration::from_secs(30)).await;
    scene.portal.journal().clear();
    let rooms = (0..16).map(|room| {
        let title = format!("Room {room}");
        scene.portal.add_group_chat(&title, &[scene.john, bot])
    });
    let sending = rooms.map(|room| {
        let mut request = tonic::Request::new(pb::SendMessageRequest {
            bot_code: "helper".to_owned(),
            dialog_id: room.dialog_id(),
            content: Some(content("hello")),
            ..pb::SendMessageRequest::default()
        });
        request.set_timeout(Duration::from_secs(60));
        let mut messages = scene.messages();
        async move { messages.send_message(request).await.unwrap() }
    });
    let sending = join_all(sending.collect::<Vec<_>>());
    let asking = async {
        // The first of them have left, and others wait.
        sleep(Duration::from_secs(1)).await;
        ask(&scene, None, None).await.unwrap()
    };
    let (_, probe) = tokio::join!(sending, asking);
    assert_eq!(finding(&probe, "batched_calls").verdict, Verdict::Holds);
    let asked = scene.calls();
    let first = asked.iter().position(|method| method == BOT).unwrap();
    let sent = |calls: &[String]| calls.iter().filter(|method| *method == SEND).count();
    let (before, after) = asked.split_at(first);
    assert_eq!(sent(&asked), 16);
    // Two requests leave in a second, and may arrive in any order.
    assert!(sent(after) <= 2 && sent(before) >= 14, "{asked:?}");
}
