//! What the authorization server says when there are no new tokens.

use std::{sync::Arc, time::Duration};

use bitrix24_gateway::proto::v1::PortalState;
use bitrix24_sim::{Fault, UninstalledIs, WrongClient};
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};
use tonic::Code;

use super::stage::{Stage, say, say_within};
use crate::scene::{failure, told, until};

const TOKEN: &str = "oauth/token";
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn stage() -> Stage {
    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    stage
}

/// The token is over, and this is the only answer to whoever wants another.
async fn spoilt(answer: Fault) -> Stage {
    let stage = stage().await;
    stage.scene.sim.oauth().faults().on(TOKEN, answer.always());
    stage.expire();
    stage
}

#[tokio::test(start_paused = true)]
async fn definitive_refusal_asks_for_a_new_installation_and_is_not_asked_for_again() {
    for (status, code, reason) in [
        (400, "invalid_grant", "REAUTHORIZATION_REQUIRED"),
        (400, "bad_verification_code", "REAUTHORIZATION_REQUIRED"),
        (401, "NOT_INSTALLED", "APPLICATION_NOT_INSTALLED"),
    ] {
        let mut stage = spoilt(Fault::error(status, code, "no")).await;
        let refused = say(&stage.scene, "hello?").await.unwrap_err();
        assert_eq!(
            told(&refused),
            failure(Code::FailedPrecondition, reason, "no"),
            "{code}"
        );
        let shown = stage.scene.shown().await;
        assert_eq!(
            shown.state(),
            PortalState::ReauthorizationRequired,
            "{code}"
        );
        assert_eq!(shown.reason, reason, "{code}");
        sleep(DAY).await;
        assert_eq!(stage.refreshes(), 1, "{code}");
        stage.scene.sim.oauth().faults().clear();
        stage.install(1).await.unwrap();
        say(&stage.scene, "hello!").await.unwrap();
        assert_eq!(stage.scene.shown().await.state(), PortalState::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_that_somebody_can_lift_parks_the_portal_and_is_looked_into_rarely() {
    for (status, code, reason) in [
        (400, "invalid_request", "APPLICATION_REFUSED"),
        (401, "invalid_client", "APPLICATION_REFUSED"),
        (400, "invalid_client", "APPLICATION_REFUSED"),
        (200, "wrong_client", "APPLICATION_REFUSED"),
        (403, "invalid_scope", "APPLICATION_REFUSED"),
        (403, "insufficient_scope", "APPLICATION_REFUSED"),
        (401, "PAYMENT_REQUIRED", "PAYMENT_REQUIRED"),
        (404, "PORTAL_DELETED", "PORTAL_GONE"),
        (404, "portal_not_found", "PORTAL_GONE"),
    ] {
        let stage = spoilt(Fault::error(status, code, "no")).await;
        let refused = say(&stage.scene, "hello?").await.unwrap_err();
        assert_eq!(
            told(&refused),
            failure(Code::FailedPrecondition, reason, "no"),
            "{code}"
        );
        let shown = stage.scene.shown().await;
        assert_eq!(
            (shown.state(), shown.reason.as_str()),
            (PortalState::Parked, reason),
            "{code}"
        );
        sleep(DAY / 6).await;
        let asked = stage.refreshes();
        assert!(
            (8..50).contains(&asked),
            "{code}: asked {asked} times in four hours"
        );
        stage.scene.sim.oauth().faults().clear();
        sleep(Duration::from_secs(1300)).await;
        say(&stage.scene, "hello!").await.unwrap();
        assert_eq!(stage.scene.shown().await.state(), PortalState::Ok, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn simulated_server_refuses_in_its_own_words() {
    for wrong in [
        WrongClient::Unauthorized,
        WrongClient::BadRequest,
        WrongClient::WrongClientWith200,
    ] {
        let mut stage = stage().await;
        let oauth = stage.scene.sim.oauth();
        oauth.set_quirks(|quirks| quirks.wrong_client = wrong);
        stage.scene.set("oauth.client_secret", "another".to_owned());
        stage.scene.restart().await;
        stage.expire();
        let refused = say(&stage.scene, "hello?").await.unwrap_err();
        assert_eq!(told(&refused).reason, "APPLICATION_REFUSED");
        // The right secret, and all is well.
        let right = super::stage::SECRET.to_owned();
        stage.scene.set("oauth.client_secret", right);
        stage.scene.restart().await;
        say(&stage.scene, "hello!").await.unwrap();
    }
    for (quirk, reason) in [
        (UninstalledIs::NotInstalled, "APPLICATION_NOT_INSTALLED"),
        (UninstalledIs::InvalidClient, "APPLICATION_REFUSED"),
    ] {
        let stage = stage().await;
        let oauth = stage.scene.sim.oauth();
        oauth.set_quirks(|quirks| quirks.uninstalled = quirk);
        stage
            .scene
            .portal
            .uninstall(&stage.client_id, false)
            .unwrap();
        sleep(Duration::from_secs(3600)).await;
        let refused = say(&stage.scene, "hello?").await.unwrap_err();
        let reasons = [reason, "APPLICATION_NOT_INSTALLED"];
        assert!(
            reasons.contains(&told(&refused).reason.as_str()),
            "{refused:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn server_in_trouble_keeps_the_pair_and_calls_wait_for_it() {
    let json = [("content-type", "application/json")];
    for trouble in [
        Fault::html(500),
        Fault::html(502),
        Fault::html(503),
        Fault::html(504),
        Fault::error(503, "SERVER_BUSY", ""),
        Fault::html(404),
        Fault::redirect("https://d.example.com/oauth/token/"),
        Fault::raw(200, &json, "{}"),
        Fault::reset(),
        Fault::hang(),
    ] {
        let stage = spoilt(trouble.clone()).await;
        let late = say_within(&stage.scene, "hello?", Duration::from_secs(300)).await;
        let down = failure(Code::Unavailable, "AUTHORIZATION_SERVER_UNAVAILABLE", "no");
        assert_eq!(told(&late.unwrap_err()), down, "{trouble:?}");
        let shown = stage.scene.shown().await;
        assert_eq!(shown.state(), PortalState::Unreachable, "{trouble:?}");
        assert_eq!(
            shown.reason, "AUTHORIZATION_SERVER_UNAVAILABLE",
            "{trouble:?}"
        );
        let arrivals = stage.scene.sim.oauth().journal().arrivals();
        assert!(
            (3..40).contains(&arrivals),
            "{trouble:?}: asked {arrivals} times"
        );
        let waiting = say_within(&stage.scene, "hello!", Duration::from_secs(300));
        let mended = async {
            sleep(Duration::from_secs(5)).await;
            stage.scene.sim.oauth().faults().clear();
        };
        let (said, ()) = tokio::join!(waiting, mended);
        said.unwrap();
        assert_eq!(
            stage.scene.shown().await.state(),
            PortalState::Ok,
            "{trouble:?}"
        );
        assert!(!stage.scene.texts().contains(&"hello?".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_of_another_account_or_user_are_not_used() {
    let stranger = json!({"member_id": "ffffffffffffffffffffffffffffffff", "user_id": 1});
    let colleague = json!({"user_id": 77});
    for who in [stranger, colleague] {
        let stage = stage().await;
        stage.expire();
        let pair = stage
            .scene
            .portal
            .issue_tokens(&stage.client_id, 1)
            .unwrap();
        let mut answer = json!({
            "access_token": pair.access_token, "refresh_token": pair.refresh_token,
            "expires_in": 3600, "member_id": stage.scene.portal.member_id(),
        });
        answer
            .as_object_mut()
            .unwrap()
            .extend(who.as_object().unwrap().clone());
        let json = [("content-type", "application/json")];
        let answer = Fault::raw(200, &json, answer.to_string());
        stage.scene.sim.oauth().faults().on(TOKEN, answer);
        let refused = say(&stage.scene, "hello?").await.unwrap_err();
        let foreign = failure(Code::FailedPrecondition, "REAUTHORIZATION_REQUIRED", "no");
        assert_eq!(told(&refused), foreign);
        sleep(DAY).await;
        assert_eq!(stage.refreshes(), 1);
        assert!(stage.scene.texts().is_empty());
        let head: String = pair.access_token.chars().take(4).collect();
        for request in super::requests(&stage) {
            assert!(!request.credential.contains(&head), "{request:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn server_that_is_not_named_gets_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connected = Arc::new(());
    let witness = Arc::clone(&connected);
    tokio::spawn(async move {
        let _connection = listener.accept().await;
        drop(witness);
    });
    let mut stage = stage().await;
    // The operator trusts another server than the one that the pair names.
    stage.scene.set("oauth.hosts", format!("127.0.0.1:{port}"));
    stage.scene.restart().await;
    stage.expire();
    let refused = say(&stage.scene, "hello?").await.unwrap_err();
    let parked = failure(Code::FailedPrecondition, "APPLICATION_REFUSED", "no");
    assert_eq!(told(&refused), parked);
    assert_eq!(stage.scene.shown().await.state(), PortalState::Parked);
    sleep(DAY).await;
    assert_eq!(stage.scene.sim.oauth().journal().arrivals(), 0);
    assert_eq!(Arc::strong_count(&connected), 2, "somebody connected");

    // Once it is named again, all is well.
    let server = stage.scene.sim.oauth().address().replace("https://", "");
    stage.scene.set("oauth.hosts", server);
    stage.scene.restart().await;
    say(&stage.scene, "hello!").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn portal_that_refuses_for_another_reason_is_not_refreshed_for_it() {
    let stage = stage().await;
    stage.scene.portal.set_active(1, false);
    let refused = say(&stage.scene, "hello?").await.unwrap_err();
    assert_eq!(told(&refused).reason, "REAUTHORIZATION_REQUIRED");
    sleep(Duration::from_secs(1800)).await;
    assert_eq!(stage.refreshes(), 0);
    stage.scene.portal.set_active(1, true);
    until("the portal is called again", || {
        stage
            .scene
            .portal
            .journal()
            .calls("imbot.v2.Event.get")
            .last()
            .is_some()
    })
    .await;
}
