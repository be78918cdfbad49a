//! One refresh, however many calls wait for it.

use std::time::Duration;

use bitrix24_gateway::proto::v1::PortalState;
use bitrix24_sim::Fault;
use tokio::time::{Instant, sleep};
use tonic::Code;

use super::{
    requests,
    stage::{Stage, say, say_within},
};
use crate::scene::{failure, told};

const TOKEN: &str = "oauth/token";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A stage with a bot that nobody asks for events: only what a test sends is called.
async fn stage() -> Stage {
    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    stage
}

/// A thousand calls, each in a room of its own; every one is posted once.
async fn thousand(stage: &Stage) {
    let rooms = stage.rooms(1000);
    stage.say_in(&rooms, "hello").await;
    for room in &rooms {
        assert_eq!(stage.scene.portal.messages(room).len(), 1, "{room}");
    }
}

#[tokio::test(start_paused = true)]
async fn thousand_calls_at_the_known_end_of_a_token_cost_one_refresh_and_no_refusal() {
    // Without a bot that is asked for events, nobody refreshes before.
    let mut stage = Stage::set(&[]).await;
    sleep(HOUR).await;
    assert_eq!(stage.refreshes(), 0);
    let slow = Fault::latency(Duration::from_millis(500));
    stage.scene.sim.oauth().faults().on(TOKEN, slow);
    let registering = stage.scene.helper();
    registering.await;
    assert_eq!(stage.refreshes(), 1);
    sleep(HOUR).await;
    thousand(&stage).await;
    assert_eq!(stage.refreshes(), 2);
    for request in requests(&stage) {
        assert_ne!(request.status, 401, "{request:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn thousand_calls_that_the_portal_refuses_for_their_token_cost_one_refresh() {
    let stage = stage().await;
    stage
        .scene
        .portal
        .set_latency(None, Duration::from_millis(300));
    stage.expire();
    thousand(&stage).await;
    assert_eq!(stage.refreshes(), 1);
    assert_eq!(stage.scene.shown().await.state(), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn thousand_calls_wait_while_a_refresh_fails_twice() {
    let stage = stage().await;
    let oauth = stage.scene.sim.oauth();
    oauth.faults().on(TOKEN, Fault::html(502).times(2));
    stage.expire();
    thousand(&stage).await;
    assert_eq!(stage.refreshes(), 3);
    assert_eq!(stage.scene.shown().await.state(), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn thousand_calls_wait_for_a_refresh_that_takes_thirty_seconds() {
    let stage = stage().await;
    let slow = Fault::latency(Duration::from_secs(30));
    stage.scene.sim.oauth().faults().on(TOKEN, slow);
    stage.expire();
    let began = Instant::now();
    thousand(&stage).await;
    assert!(began.elapsed() >= Duration::from_secs(30));
    assert_eq!(stage.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn refresh_goes_on_when_the_call_that_wanted_it_leaves() {
    let stage = stage().await;
    let slow = Fault::latency(Duration::from_secs(5));
    stage.scene.sim.oauth().faults().on(TOKEN, slow);
    stage.expire();
    let short = say_within(&stage.scene, "in a hurry", Duration::from_secs(1));
    let long = async {
        sleep(Duration::from_secs(2)).await;
        say(&stage.scene, "patient").await
    };
    let (short, long) = tokio::join!(short, long);
    let late = failure(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "no");
    assert_eq!(told(&short.unwrap_err()), late);
    long.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.refreshes(), 1);
    let texts = stage.scene.texts();
    assert!(texts.contains(&"patient".to_owned()) && !texts.contains(&"in a hurry".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn call_refused_again_with_the_new_token_is_told_and_nothing_loops() {
    let stage = stage().await;
    let refused = Fault::error(401, "expired_token", "over").always();
    for method in [
        "imbot.v2.Chat.Message.send",
        "profile",
        "imbot.v2.Event.get",
    ] {
        stage.scene.portal.faults().on(method, refused.clone());
    }
    let status = say(&stage.scene, "hello?").await.unwrap_err();
    let over = failure(Code::FailedPrecondition, "REAUTHORIZATION_REQUIRED", "no");
    assert_eq!(told(&status), over);
    sleep(HOUR / 2).await;
    assert_eq!(stage.refreshes(), 1);
    let shown = stage.scene.shown().await;
    assert_eq!(shown.state(), PortalState::ReauthorizationRequired);
    stage.scene.portal.faults().clear();
    sleep(HOUR).await;
    say(&stage.scene, "hello!").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answer_that_was_lost_is_asked_for_again_with_the_same_token() {
    let stage = stage().await;
    let oauth = stage.scene.sim.oauth();
    oauth.set_quirks(|quirks| quirks.refresh_grace = Duration::from_secs(60));
    for lost in [Fault::reset(), Fault::cut_body()] {
        oauth.faults().on(TOKEN, lost.after_effect());
        stage.expire();
        say(&stage.scene, "still here").await.unwrap();
    }
    assert_eq!(stage.refreshes(), 4);
}

#[tokio::test(start_paused = true)]
async fn answer_that_was_lost_ends_the_pair_where_a_token_works_once() {
    let mut stage = stage().await;
    let oauth = stage.scene.sim.oauth();
    oauth.faults().on(TOKEN, Fault::reset().after_effect());
    stage.expire();
    let status = say(&stage.scene, "hello?").await.unwrap_err();
    let over = failure(Code::FailedPrecondition, "REAUTHORIZATION_REQUIRED", "no");
    assert_eq!(told(&status), over);
    assert_eq!(stage.refreshes(), 2);
    let shown = stage.scene.shown().await;
    assert_eq!(shown.state(), PortalState::ReauthorizationRequired);
    assert_eq!(shown.reason, "REAUTHORIZATION_REQUIRED");
    sleep(DAY).await;
    assert_eq!(stage.refreshes(), 2, "nobody asks again");
    stage.install(1).await.unwrap();
    say(&stage.scene, "hello!").await.unwrap();
    assert_eq!(stage.scene.shown().await.state(), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_portal_that_nobody_calls_are_kept_alive() {
    // Without a bot nobody asks for events.
    let mut stage = Stage::set(&[]).await;
    stage.scene.starts_again_after(DAY * 147).await;
    sleep(DAY * 2).await;
    assert_eq!(stage.refreshes(), 0);
    sleep(DAY * 3).await;
    assert_eq!(stage.refreshes(), 1);
    // Past the end of the tokens it began with.
    stage.scene.starts_again_after(DAY * 39).await;
    sleep(DAY).await;
    assert_eq!(stage.refreshes(), 1);
    stage.scene.helper().await;
    say(&stage.scene, "after half a year").await.unwrap();
    assert_eq!(stage.refreshes(), 2);
}

#[tokio::test(start_paused = true)]
async fn refreshed_tokens_outlive_a_restart() {
    let mut stage = stage().await;
    stage.expire();
    say(&stage.scene, "one").await.unwrap();
    let shown = stage.scene.shown().await;
    stage.scene.restart().await;
    let again = stage.scene.shown().await;
    assert_eq!(again.token_expire_time, shown.token_expire_time);
    assert_eq!(again.tokens_obtained_time, shown.tokens_obtained_time);
    say(&stage.scene, "two").await.unwrap();
    assert_eq!(stage.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_a_refresh_so_that_the_pair_is_not_lost() {
    let mut stage = stage().await;
    let slow = Fault::latency(Duration::from_secs(10)).after_effect();
    stage.scene.sim.oauth().faults().on(TOKEN, slow);
    stage.expire();
    let hurried = say_within(&stage.scene, "in a hurry", Duration::from_secs(1));
    hurried.await.unwrap_err();
    assert_eq!(stage.scene.sim.oauth().journal().arrivals(), 1);
    stage.scene.restart().await;
    say(&stage.scene, "here").await.unwrap();
    assert_eq!(stage.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn quirks_of_the_authorization_server_are_understood() {
    let stage = stage().await;
    stage.scene.sim.oauth().set_quirks(|quirks| {
        quirks.refresh_ends_old_access = true;
        quirks.expires_in_is_text = true;
        quirks.user_id_is_text = true;
    });
    for text in ["one", "two"] {
        stage.expire();
        say(&stage.scene, text).await.unwrap();
    }
    assert_eq!(stage.refreshes(), 2);
}

#[tokio::test(start_paused = true)]
async fn portal_renamed_is_found_by_what_a_refresh_tells() {
    let mut stage = stage().await;
    let new = stage.scene.portal.rename_to("b.portal.test").await.unwrap();
    stage.expire();
    // The old address refuses the token before it leads anywhere.
    sleep(HOUR).await;
    say(&stage.scene, "one").await.unwrap();
    let shown = stage.scene.shown().await;
    assert_eq!(
        (shown.address, shown.configured_address),
        (new.clone(), new.clone())
    );
    stage.scene.restart().await;
    stage.scene.portal.journal().clear();
    say(&stage.scene, "two").await.unwrap();
    let led = requests(&stage).into_iter().filter(|it| it.status == 302);
    assert_eq!(led.count(), 0, "the new address is known");
}

#[tokio::test(start_paused = true)]
async fn address_that_is_not_trusted_is_not_taken_from_a_refresh() {
    let stage = stage().await;
    let old = stage.scene.portal.address();
    stage.expire();
    let pair = stage
        .scene
        .portal
        .issue_tokens(&stage.client_id, 1)
        .unwrap();
    let answer = serde_json::json!({
        "access_token": pair.access_token, "refresh_token": pair.refresh_token,
        "expires_in": 3600, "member_id": stage.scene.portal.member_id(), "user_id": 1,
        "client_endpoint": "https://d.example.com/rest/",
        "server_endpoint": "https://d.example.com/rest/",
    });
    let json = [("content-type", "application/json")];
    let answer = Fault::raw(200, &json, answer.to_string());
    stage.scene.sim.oauth().faults().on(TOKEN, answer);
    say(&stage.scene, "one").await.unwrap();
    assert_eq!(stage.scene.shown().await.address, old);
    // The next refresh goes to the server of before.
    stage.expire();
    say(&stage.scene, "two").await.unwrap();
    assert_eq!(stage.refreshes(), 2);
}
