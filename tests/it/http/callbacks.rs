//! What portals tell of our application.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, PortalState};
use bitrix24_sim::Fault;
use tokio::time::sleep;

use super::{
    browser,
    site::{FORM, Site, with},
};
use crate::{
    oauth::stage::{CLIENT, say},
    scene::until,
};

const INFO: &str = "app.info";

/// The bots we know in the portal.
async fn bots(site: &mut Site) -> usize {
    let listed = site
        .stage
        .scene
        .bots
        .list_bots(pb::ListBotsRequest::default());
    listed.await.unwrap().into_inner().bots.len()
}

#[tokio::test(start_paused = true)]
async fn installed_application_is_told_by_callback_and_works_at_once_and_after_a_restart() {
    for json in [false, true] {
        let mut site = Site::new().await;
        site.portal()
            .set_quirks(|quirks| quirks.webhook_bodies_are_json = json);
        assert_eq!(site.shown().await.reason, "APPLICATION_NOT_INSTALLED");
        site.install(1).await;
        let shown = site.shown().await;
        assert_eq!((shown.state(), shown.user_id), (PortalState::Ok, Some(1)));
        assert_eq!(shown.address, site.portal().address());
        site.stage.scene.helper().await;
        say(&site.stage.scene, "hello").await.unwrap();
        site.stage.scene.restart().await;
        say(&site.stage.scene, "still here").await.unwrap();
        for delivery in site.portal().journal().deliveries() {
            if delivery.url.contains(&site.address.to_string()) {
                assert_eq!(delivery.status, Some(200), "{delivery:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn portal_is_asked_to_tell_of_what_becomes_of_the_application() {
    let site = Site::new().await;
    site.install(1).await;
    let bound = || {
        let calls = site.portal().journal().calls("event.bind");
        let mut events: Vec<_> = calls
            .iter()
            .map(|call| {
                assert_eq!(call.error(), None);
                let handler = &call.params["handler"];
                assert_eq!(handler, "https://localhost/bitrix24/events");
                call.params["event"].as_str().unwrap().to_owned()
            })
            .collect();
        events.sort();
        events
    };
    let wanted = [
        "ONAPPMETHODCONFIRM",
        "ONAPPPAYMENT",
        "ONAPPUNINSTALL",
        "ONAPPUPDATE",
    ];
    assert_eq!(bound(), wanted);
    // What is bound is not bound again, and an update makes the portal forget it.
    site.install(1).await;
    assert_eq!(bound(), wanted);
    site.portal().update_application(CLIENT, false).unwrap();
    site.settle().await;
    assert_eq!(bound().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn silent_authorization_server_is_asked_again_since_nobody_says_it_twice() {
    let site = Site::new().await;
    let oauth = site.stage.scene.sim.oauth();
    oauth
        .faults()
        .on(INFO, Fault::error(503, "BUSY", "").times(2));
    site.install(1).await;
    assert_eq!(oauth.journal().calls(INFO).len(), 3);
    assert_eq!(site.user().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn answer_does_not_wait_for_the_authorization_server() {
    let site = Site::new().await;
    let slow = Fault::latency(Duration::from_secs(8)).after_effect();
    site.stage.scene.sim.oauth().faults().on(INFO, slow);
    let tokens = site.install_unheard(1);
    let began = tokio::time::Instant::now();
    let auth = site.auth(site.portal(), &tokens);
    let form: Vec<_> = auth
        .iter()
        .map(|(name, value)| (format!("auth[{name}]"), value.clone()))
        .chain([("event".to_owned(), "ONAPPINSTALL".to_owned())])
        .collect();
    let body = super::site::encoded(&form);
    let answer = browser::post(site.address, "/bitrix24/events", FORM, &body).await;
    assert_eq!(answer.status, 200);
    assert!(began.elapsed() < Duration::from_secs(1));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(site.user().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn update_brings_a_new_proof_and_only_that_one_removes_the_application() {
    let mut site = Site::new().await;
    site.install(1).await;
    site.stage.scene.helper().await;
    let before = site.portal().application(CLIENT).unwrap().application_token;
    let tokens = site.portal().update_application(CLIENT, true).unwrap();
    site.settle().await;
    let auth = site.auth(site.portal(), &tokens);
    let old = with(&auth, "application_token", Some(&before));
    assert_eq!(site.tell("ONAPPUNINSTALL", &old).await.status, 200);
    say(&site.stage.scene, "still here").await.unwrap();
    assert_eq!(site.tell("ONAPPUNINSTALL", &auth).await.status, 200);
    assert_eq!(site.shown().await.reason, "APPLICATION_NOT_INSTALLED");
}

#[tokio::test(start_paused = true)]
async fn removal_keeps_bots_and_events_unless_somebody_asked_to_erase_them() {
    for clean in [false, true] {
        let mut site = Site::new().await;
        site.install(1).await;
        site.stage.scene.helper().await;
        let live = pb::SubscribeCommandEventsRequest::default();
        let mut stream = site.stage.scene.subscribe(live).await;
        site.stage.scene.anna_types("/help one");
        assert_eq!(stream.params().await, "one");
        // Bitrix24 removes the bots of the application, and with them what they were to be told.
        let bot = site.portal().bot_by_code("helper").unwrap().id;
        site.portal().uninstall(CLIENT, clean).unwrap();
        assert!(site.portal().remove_bot(bot));
        site.settle().await;
        assert_eq!(site.shown().await.reason, "APPLICATION_NOT_INSTALLED");
        let left = usize::from(!clean);
        assert_eq!(bots(&mut site).await, left);
        site.stage.scene.restart().await;
        assert_eq!(bots(&mut site).await, left);

        // It comes again, and its past is there or it is not.
        site.address = site.stage.scene.http();
        site.known_in(&site.stage.scene.portal, false);
        site.install(1).await;
        site.stage.scene.helper().await;
        let all = pb::SubscribeCommandEventsRequest {
            start: Some(pb::StreamStart {
                position: Some(pb::stream_start::Position::Point(
                    pb::StreamStartPoint::Earliest.into(),
                )),
            }),
            ..pb::SubscribeCommandEventsRequest::default()
        };
        let mut stream = site.stage.scene.subscribe(all).await;
        site.stage.scene.anna_types("/help two");
        let first = if clean { "two" } else { "one" };
        assert_eq!(stream.params().await, first);
    }
}

#[tokio::test(start_paused = true)]
async fn payment_is_looked_into_whoever_speaks_of_it_and_once_a_minute() {
    let mut site = Site::new().await;
    site.install(1).await;
    site.stage.scene.helper().await;
    site.portal().set_paid(CLIENT, false).unwrap();
    sleep(Duration::from_secs(5)).await;
    let shown = site.shown().await;
    assert_eq!(
        (shown.state(), shown.reason.as_str()),
        (PortalState::Parked, "PAYMENT_REQUIRED")
    );
    sleep(Duration::from_secs(300)).await;
    site.portal().set_paid(CLIENT, true).unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(site.shown().await.state(), PortalState::Ok);
    say(&site.stage.scene, "paid").await.unwrap();

    sleep(Duration::from_secs(60)).await;
    let asked = || site.stage.scene.sim.oauth().journal().calls(INFO).len();
    let before = asked();
    let member = [("member_id".to_owned(), site.portal().member_id())];
    let form: Vec<_> = member
        .iter()
        .map(|(name, value)| (format!("auth[{name}]"), value.clone()))
        .chain([("event".to_owned(), "ONAPPPAYMENT".to_owned())])
        .collect();
    let body = super::site::encoded(&form);
    for _ in 0..30 {
        let answer = browser::post(site.address, "/bitrix24/events", FORM, &body).await;
        assert_eq!(answer.status, 200);
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(asked(), before + 1);
    assert_eq!(site.shown().await.state(), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn installation_under_way_is_finished_before_the_process_ends() {
    let mut site = Site::new().await;
    let slow = Fault::latency(Duration::from_secs(5)).after_effect();
    site.stage.scene.sim.oauth().faults().on(INFO, slow);
    let oauth = site.stage.scene.sim.oauth().clone();
    site.portal().install(CLIENT, 1).unwrap();
    until("the server is asked", || oauth.journal().arrivals() > 0).await;
    site.stage.scene.restart().await;
    assert_eq!(site.user().await, Some(1));
}
