//! How portals are doing: when they are left alone, what operators see, and how they come back.

use std::{collections::BTreeSet, time::Duration};

use bitrix24_gateway::proto::v1::{
    self as pb, PortalState, portal_service_client::PortalServiceClient,
    subscribe_command_events_response::Item,
};
use bitrix24_sim::{Condition, Fault, Limits};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::scene::{Scene, content, failure, told};

/// The call that decides whether a portal is called.
const PROBE: &str = "profile";

/// No pause between probes of a portal that refuses us is longer: 10 min, and as much by chance.
const LONGEST_PAUSE: Duration = Duration::from_secs(1201);

async fn say(scene: &Scene, text: &str) -> Result<(), Status> {
    let mut request = Request::new(pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(content(text)),
        ..pb::SendMessageRequest::default()
    });
    request.set_timeout(Duration::from_secs(60));
    scene.messages().send_message(request).await.map(drop)
}

/// Calls until the portal is in this state.
async fn becomes(scene: &Scene, state: PortalState) -> pb::Portal {
    for _ in 0..100 {
        let shown = scene.shown().await;
        if shown.state() == state {
            return shown;
        }
        let _whatever_it_says = say(scene, "are you there?").await;
        sleep(Duration::from_millis(100)).await;
    }
    panic!(
        "the portal never became {state:?}: {:?}",
        scene.shown().await
    );
}

/// Everything that reached the portal, polls too.
fn asked(scene: &Scene) -> Vec<String> {
    let requests = scene.portal.journal().requests().into_iter();
    requests.map(|request| request.method).collect()
}

/// The portal refuses everybody: it is left alone but for probes, and called again when one succeeds.
async fn is_left_alone(
    scene: &Scene,
    reason: &str,
    state: PortalState,
    come_back: impl FnOnce(&Scene),
) {
    let shown = becomes(scene, state).await;
    assert_eq!(shown.reason, reason);
    assert!(shown.until.unwrap().seconds > shown.since.unwrap().seconds);
    assert_eq!(shown.last_failure.unwrap().reason, reason);

    scene.portal.journal().clear();
    for _ in 0..120 {
        let status = say(scene, "are you there?").await.unwrap_err();
        assert_eq!(
            told(&status),
            failure(Code::FailedPrecondition, reason, "no")
        );
        let wait = status
            .get_details_retry_info()
            .unwrap()
            .retry_delay
            .unwrap();
        assert!(wait <= LONGEST_PAUSE + Duration::from_secs(2), "{wait:?}");
        sleep(Duration::from_secs(30)).await;
    }
    let asked = asked(scene);
    assert!(asked.iter().all(|method| method == PROBE), "{asked:?}");
    // An hour has at least three of the longest pauses, and the first ones are short.
    assert!((5..=12).contains(&asked.len()), "{asked:?}");

    come_back(scene);
    sleep(LONGEST_PAUSE).await;
    assert_eq!(scene.shown().await.state(), PortalState::Ok);
    say(scene, "good morning").await.unwrap();
    scene.anna_types("/help me");
}

#[tokio::test(start_paused = true)]
async fn portal_that_serves_nobody_is_left_alone_but_for_probes() {
    for (condition, reason) in [
        (Condition::LicencePage, "PORTAL_PLAN_WITHOUT_REST"),
        (Condition::NoRest, "PORTAL_PLAN_WITHOUT_REST"),
        (Condition::Closed, "PORTAL_GONE"),
        (Condition::Overloaded, "PORTAL_PARKED"),
    ] {
        let mut scene = Scene::start().await;
        scene.helper().await;
        let mut stream = scene
            .subscribe(pb::SubscribeCommandEventsRequest::default())
            .await;
        scene.portal.set_condition(condition);
        is_left_alone(&scene, reason, PortalState::Parked, |scene| {
            scene.portal.set_condition(Condition::Open);
        })
        .await;
        assert_eq!(stream.params().await, "me", "{condition:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn expired_credential_is_probed_until_it_works_again() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    // What a refused credential looks like, for every method.
    let expired = Fault::error(401, "expired_token", "The access token has expired").always();
    scene.portal.faults().next(expired);
    is_left_alone(
        &scene,
        "REAUTHORIZATION_REQUIRED",
        PortalState::ReauthorizationRequired,
        |scene| scene.portal.faults().clear(),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn removed_webhook_parks_the_credential() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    scene.portal.remove_webhook(&scene.portal.webhook_url());
    let shown = becomes(&scene, PortalState::ReauthorizationRequired).await;
    assert!(!shown.last_failure.unwrap().portal_code.is_empty());
}

#[tokio::test(start_paused = true)]
async fn refusal_of_one_method_stops_no_other() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    for (status, code) in [
        (401, "OVERLOAD_LIMIT"),
        (401, "INVALID_CREDENTIALS"),
        (401, "ACCESS_DENIED"),
        (403, "insufficient_scope"),
        (400, "BOT_NOT_FOUND"),
    ] {
        let refused = Fault::error(status, code, "Not this one").times(3);
        scene.portal.faults().on("imbot.v2.Command.list", refused);
        for _ in 0..3 {
            let request = pb::ListCommandsRequest {
                bot_code: "helper".to_owned(),
                ..pb::ListCommandsRequest::default()
            };
            scene.bots.list_commands(request).await.unwrap_err();
            say(&scene, "still here").await.unwrap();
            sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(scene.shown().await.state(), PortalState::Ok, "{code}");
    }
    // A suspicion costs one probe, and not a flood of them.
    let probes = scene.portal.journal().calls(PROBE).len();
    assert!((3..=6).contains(&probes), "{probes}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_are_told_when_the_portal_is_left_alone() {
    let mut scene = Scene::with(&[("rate.requests_per_second", "1"), ("rate.burst", "3")]).await;
    scene.portal.set_limits(Limits::none());
    scene.helper().await;
    scene.portal.set_condition(Condition::NoRest);
    scene.portal.journal().clear();
    let started = Instant::now();
    let texts: Vec<_> = (0..100).map(|number| format!("number {number}")).collect();
    let calls = texts.iter().map(|text| say(&scene, text));
    for outcome in join_all(calls).await {
        let told = told(&outcome.unwrap_err());
        assert_eq!(told.reason, "PORTAL_PLAN_WITHOUT_REST");
        assert_eq!(told.executed, "no");
    }
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    assert!(
        scene.portal.journal().arrivals() < 20,
        "{:?}",
        asked(&scene)
    );
}

#[tokio::test(start_paused = true)]
async fn calls_outlive_a_short_outage_and_do_not_return_all_at_once() {
    let mut scene = Scene::with(&[("rate.requests_per_second", "0")]).await;
    scene.portal.set_limits(Limits::none());
    scene.helper().await;
    let away = Fault::html(403).always();
    scene.portal.faults().next(away);
    let shown = becomes(&scene, PortalState::Unreachable).await;
    assert_eq!(shown.reason, "PORTAL_UNREACHABLE");

    scene.portal.journal().clear();
    let rooms: Vec<_> = (0..50)
        .map(|room| {
            let helper = scene.portal.bot_by_code("helper").unwrap().id;
            scene
                .portal
                .add_group_chat(&format!("Room {room}"), &[1, helper])
        })
        .collect();
    let calls = rooms.iter().map(|room| {
        let mut request = Request::new(pb::SendMessageRequest {
            bot_code: "helper".to_owned(),
            dialog_id: room.dialog_id(),
            content: Some(content("back again")),
            ..pb::SendMessageRequest::default()
        });
        request.set_timeout(Duration::from_secs(120));
        let mut messages = scene.messages();
        async move { messages.send_message(request).await }
    });
    let outage = async {
        sleep(Duration::from_secs(4)).await;
        let asked = asked(&scene);
        assert!(asked.iter().all(|method| method == PROBE), "{asked:?}");
        scene.portal.faults().clear();
    };
    let (outcomes, ()) = tokio::join!(join_all(calls), outage);
    for outcome in outcomes {
        outcome.unwrap();
    }
    let sent = scene.portal.journal().calls("imbot.v2.Chat.Message.send");
    assert_eq!(sent.len(), 50, "each was sent once");
    let moments: BTreeSet<_> = sent
        .iter()
        .map(|request| request.at.as_millis() / 100)
        .collect();
    assert!(moments.len() >= 5, "{moments:?}");
    assert_eq!(scene.shown().await.state(), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn portal_that_is_away_is_unreachable_and_streams_say_so() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest {
            heartbeat_interval: Some(prost_types::Duration {
                seconds: 5,
                nanos: 0,
            }),
            ..pb::SubscribeCommandEventsRequest::default()
        })
        .await;
    scene.portal.stop();
    // Nobody calls: the fetching of events finds out.
    for _ in 0..30 {
        if let Item::Heartbeat(beat) = stream.next().await.unwrap().1
            && beat.portals[0].state() == PortalState::Unreachable
        {
            assert_eq!(beat.portals[0].reason, "PORTAL_UNREACHABLE");
            assert!(beat.portals[0].until.is_some());
            let status = say(&scene, "hello?").await.unwrap_err();
            assert_eq!(
                told(&status),
                failure(Code::Unavailable, "PORTAL_UNREACHABLE", "no")
            );
            return;
        }
    }
    panic!("no heartbeat told that the portal is away");
}

#[tokio::test(start_paused = true)]
async fn portal_that_asks_for_less_is_throttled_until_it_may_be_called_again() {
    let mut scene = Scene::with(&[("calls.attempts", "1")]).await;
    scene.helper().await;
    let faults = scene.portal.faults();
    let send = "imbot.v2.Chat.Message.send";
    faults.on(
        send,
        Fault::error(503, "QUERY_LIMIT_EXCEEDED", "Too many requests"),
    );
    say(&scene, "too fast").await.unwrap_err();
    let shown = scene.shown().await;
    assert_eq!(
        (shown.state(), shown.reason.as_str()),
        (PortalState::Throttled, "PORTAL_THROTTLED")
    );
    assert_eq!(shown.rate.unwrap().permits, Some(0));
    let wait = shown.until.unwrap().seconds - shown.since.unwrap().seconds;
    assert!((1..=5).contains(&wait), "{wait}");
    sleep(Duration::from_secs(6)).await;
    assert_eq!(scene.shown().await.state(), PortalState::Ok);

    faults.on(
        send,
        Fault::error(429, "OPERATION_TIME_LIMIT", "Method is blocked"),
    );
    say(&scene, "too long").await.unwrap_err();
    let shown = scene.shown().await;
    assert_eq!(
        (shown.state(), shown.reason.as_str()),
        (PortalState::Throttled, "PORTAL_OPERATING_LIMIT")
    );
    let banned = |shown: &pb::Portal| {
        let method = shown.methods.iter().find(|method| method.method == send);
        method.unwrap().banned_until
    };
    assert_eq!(banned(&shown), shown.until);
    sleep(Duration::from_secs(301)).await;
    let shown = scene.shown().await;
    assert_eq!((shown.state(), banned(&shown)), (PortalState::Ok, None));
}

#[tokio::test(start_paused = true)]
async fn operators_see_what_is_left_and_no_secret() {
    let mut scene = Scene::start().await;
    let shown = scene.shown().await;
    assert_eq!(shown.state(), PortalState::Unspecified);
    assert!(shown.last_success_time.is_none() && shown.last_failure.is_none());
    scene.helper().await;
    say(&scene, "hello").await.unwrap();
    let shown = scene.shown().await;
    assert_eq!(
        (shown.portal.as_str(), shown.state()),
        ("default", PortalState::Ok)
    );
    assert_eq!(shown.address, scene.portal.address());
    assert!(shown.last_success_time.is_some() && shown.since.is_some());
    assert!(shown.reason.is_empty() && shown.until.is_none());
    let rate = shown.rate.unwrap();
    assert_eq!((rate.requests_per_second, rate.burst), (2, 50));
    assert!(rate.permits.is_some_and(|permits| permits < 50));
    let spent = shown.methods.iter().map(|method| method.method.as_str());
    let spent: Vec<_> = spent.collect();
    assert!(
        spent.contains(&"imbot.v2.Chat.Message.send") && spent.is_sorted(),
        "{spent:?}"
    );
    assert_eq!(shown.methods[0].budget.unwrap().seconds, 420);
    let url = scene.portal.webhook_url();
    let code = url.trim_end_matches('/').rsplit('/').next().unwrap();
    assert!(!format!("{shown:?}").contains(code));
}

#[tokio::test(start_paused = true)]
async fn portals_are_listed_in_pages_by_name() {
    let another = "https://other.bitrix24.com/rest/1/abc123/";
    let settings = [
        ("portals.zeta.webhook_url", another),
        ("portals.beta.webhook_url", another),
    ];
    let scene = Scene::at("portals.acme.webhook_url", &settings).await;
    let mut portals = PortalServiceClient::new(scene.channel());
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListPortalsRequest {
            page_size: 2,
            page_token,
        };
        let page = portals.list_portals(request).await.unwrap().into_inner();
        names.push(
            page.portals
                .into_iter()
                .map(|portal| portal.portal)
                .collect::<Vec<_>>(),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, [vec!["acme", "beta"], vec!["zeta"]]);

    let wrong = portals
        .list_portals(pb::ListPortalsRequest {
            page_size: -1,
            ..pb::ListPortalsRequest::default()
        })
        .await;
    assert_eq!(
        told(&wrong.unwrap_err()),
        failure(Code::InvalidArgument, "INVALID_REQUEST", "no")
    );
    for (portal, code, reason) in [
        ("", Code::InvalidArgument, "NO_DEFAULT_PORTAL"),
        ("nobody", Code::NotFound, "UNKNOWN_PORTAL"),
        ("NO SUCH", Code::InvalidArgument, "INVALID_REQUEST"),
    ] {
        let request = pb::GetPortalRequest {
            portal: portal.to_owned(),
            ask_portal: true,
        };
        let status = portals.get_portal(request).await.unwrap_err();
        assert_eq!(told(&status), failure(code, reason, "no"), "{portal}");
    }
}
