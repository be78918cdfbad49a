//! What an application may do with its tokens (C1, C4, C24).

use bitrix24_sim::{ApplicationConfig, RemovedApplication, UnknownToken};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::driven::Driven;
use crate::oauth::Installed;

#[tokio::test(start_paused = true)]
async fn a_token_is_taken_from_body_query_and_header() {
    let app = Installed::new().await;
    let token = &app.pair.access_token;
    assert_eq!(app.own("profile", json!({})).await.result()["ID"], "1");
    let client = &app.world.client;
    for name in ["auth", "access_token"] {
        let path = format!("/rest/profile?{name}={token}");
        assert_eq!(client.ask("GET", &path, "", "").await.unwrap().status, 200);
        let body = format!("{name}={token}");
        let form = client.ask(
            "POST",
            "/rest/profile",
            "application/x-www-form-urlencoded",
            body,
        );
        assert_eq!(form.await.unwrap().status, 200);
    }
    let request = Request::builder()
        .uri("/rest/profile")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .unwrap();
    assert_eq!(client.send(request).await.unwrap().status(), 200);
    assert_eq!(
        client
            .ask("GET", "/rest/profile", "", "")
            .await
            .unwrap()
            .error(),
        "NO_AUTH_FOUND"
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_fail_by_the_name_of_what_is_wrong() {
    let app = Installed::new().await;
    let id = &app.application.client_id;
    let portal = &app.world.portal;
    let error = async || app.own("profile", json!({})).await.error().to_owned();
    let unknown = app.call("zzz", "profile", json!({})).await;
    assert_eq!((unknown.status, unknown.error()), (401, "NO_AUTH_FOUND"));
    portal.set_quirks(|quirks| quirks.unknown_token = UnknownToken::InvalidToken);
    assert_eq!(
        app.call("zzz", "profile", json!({})).await.error(),
        "invalid_token"
    );

    portal.restrict(id, Some(vec![app.world.anna])).unwrap();
    assert_eq!(error().await, "user_access_error");
    portal.restrict(id, None).unwrap();
    portal.set_active(1, false);
    assert_eq!(error().await, "authorization_error");
    assert_eq!(app.refresh(&app.pair.refresh_token).await.status, 200);
    portal.set_active(1, true);
    portal.set_paid(id, false).unwrap();
    assert_eq!(error().await, "PAYMENT_REQUIRED");
    portal.uninstall(id, false).unwrap();
    assert_eq!(error().await, "APPLICATION_NOT_FOUND");
    for (name, code) in [
        (RemovedApplication::ErrorOauth, "ERROR_OAUTH"),
        (RemovedApplication::NotInstalled, "NOT_INSTALLED"),
    ] {
        portal.set_quirks(|quirks| quirks.removed_application = name);
        assert_eq!(error().await, code);
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_calls_only_what_its_scopes_allow() {
    let app = Installed::with(ApplicationConfig {
        scopes: vec!["im".into()],
        ..ApplicationConfig::default()
    })
    .await;
    let refused = app.own("imbot.v2.Bot.list", json!({})).await;
    assert_eq!(
        (refused.status, refused.error()),
        (401, "insufficient_scope")
    );
}

#[tokio::test(start_paused = true)]
async fn a_delicate_method_waits_for_an_administrator() {
    let app = Installed::new().await;
    let (id, portal) = (&app.application.client_id, &app.world.portal);
    portal
        .require_confirmation(id, "imbot.v2.Bot.list")
        .unwrap();
    let waiting = app.own("imbot.v2.Bot.list", json!({})).await;
    assert_eq!(
        (waiting.status, waiting.error()),
        (401, "METHOD_CONFIRM_WAITING")
    );
    let batch = app
        .own("batch", json!({"cmd": {"a": "imbot.v2.Bot.list"}}))
        .await;
    assert_eq!(
        batch.result()["result_error"]["a"]["error"],
        "METHOD_CONFIRM_WAITING"
    );
    let asked = portal.confirm(id, "imbot.v2.bot.list", false).unwrap();
    assert_eq!(asked, std::slice::from_ref(&app.pair.access_token));
    let denied = app.own("imbot.v2.Bot.list", json!({})).await;
    assert_eq!(
        (denied.status, denied.error()),
        (403, "METHOD_CONFIRM_DENIED")
    );
    portal.confirm(id, "imbot.v2.Bot.list", true).unwrap();
    app.own("imbot.v2.Bot.list", json!({})).await.result();
}

#[tokio::test(start_paused = true)]
async fn bots_of_an_application_need_no_token_and_are_foreign_to_webhooks() {
    let app = Installed::new().await;
    let fields = json!({"code": "a", "botToken": "ignored", "properties": {"name": "A"}});
    let made = app
        .own("imbot.v2.Bot.register", json!({"fields": fields}))
        .await;
    let bot = made.result()["bot"]["id"].clone();
    app.own("imbot.v2.Event.get", json!({"botId": bot}))
        .await
        .result();
    let webhook = app.world.call(
        "imbot.v2.Event.get",
        json!({"botId": bot, "botToken": "ignored"}),
    );
    assert_eq!(webhook.await.error(), "BOT_OWNERSHIP_ERROR");
    let rotation = json!({"botId": bot, "fields": {"botToken": "new"}});
    let rotation = app.own("imbot.v2.Bot.update", rotation).await;
    assert_eq!(rotation.error(), "BOT_TOKEN_ROTATION_FAILED");
    let other = app
        .world
        .portal
        .add_application(ApplicationConfig::default());
    let other = app.world.portal.install(&other, 1).unwrap();
    let foreign = app.call(
        &other.access_token,
        "imbot.v2.Event.get",
        json!({"botId": bot}),
    );
    assert_eq!(foreign.await.error(), "BOT_OWNERSHIP_ERROR");
}

#[tokio::test(start_paused = true)]
async fn the_portal_tells_an_application_about_itself() {
    let app = Installed::with(ApplicationConfig {
        page_url: Some("https://app.example.com/".into()),
        ..ApplicationConfig::default()
    })
    .await;
    let info = app.own("app.info", json!({})).await;
    assert_eq!(
        (&info.result()["INSTALLED"], &info.result()["STATUS"]),
        (&json!(false), &json!("L"))
    );
    app.world
        .portal
        .finish_install(&app.application.client_id)
        .unwrap();
    let info = app.own("app.info", json!({})).await;
    assert_eq!(
        (
            &info.result()["INSTALLED"],
            &info.result()["LICENSE_FAMILY"]
        ),
        (&json!(true), &json!("basic"))
    );
}

#[tokio::test(start_paused = true)]
async fn applications_are_driven_over_http() {
    let driven = Driven::new().await;
    let made = driven
        .portal(
            "POST",
            "/applications",
            json!({"client_id": "app.a", "scopes": ["im"]}),
        )
        .await;
    assert_eq!(
        (&made["client_id"], &made["installed"]),
        (&json!("app.a"), &json!(false))
    );
    let at = |action: &str| format!("/applications/app.a/{action}");
    let pair = driven
        .portal("POST", &at("install"), json!({"user_id": 1}))
        .await;
    let token = pair["access_token"].as_str().unwrap();
    let path = format!("/rest/profile?auth={token}");
    let call = async || driven.world.client.ask("GET", &path, "", "").await.unwrap();
    assert_eq!(call().await.status, 200);
    driven
        .portal(
            "POST",
            &at("require_confirmation"),
            json!({"method": "profile"}),
        )
        .await;
    assert_eq!(call().await.error(), "METHOD_CONFIRM_WAITING");
    let asked = driven
        .portal("POST", &at("confirm"), json!({"method": "profile"}))
        .await;
    assert_eq!(asked["asked_by"], json!([token]));
    driven
        .portal("POST", &at("restrict"), json!({"users": [5]}))
        .await;
    assert_eq!(call().await.error(), "user_access_error");
    driven.portal("POST", &at("restrict"), json!({})).await;
    driven
        .portal("POST", &at("pay"), json!({"paid": false}))
        .await;
    assert_eq!(call().await.error(), "PAYMENT_REQUIRED");
    driven
        .portal("POST", &at("expire"), json!({"access_token": token}))
        .await;
    assert_eq!(call().await.error(), "expired_token");
    driven.portal("POST", &at("tokens"), json!({})).await;
    driven.portal("POST", &at("code"), json!({})).await;
    driven
        .portal("POST", "/sign_in", json!({"user_id": 2}))
        .await;
    driven.portal("POST", &at("finish"), Value::Null).await;
    driven.portal("POST", &at("uninstall"), Value::Null).await;
    assert_eq!(call().await.error(), "APPLICATION_NOT_FOUND");
    let all = driven.portal("GET", "/applications", Value::Null).await;
    assert_eq!(all["applications"][0]["client_id"], "app.a");

    let quirks = driven
        .ask("PATCH", "/oauth/quirks", json!({"refresh_grace_ms": 5}))
        .await;
    assert_eq!(quirks.body["refresh_grace_ms"], 5);
    let fault = json!({"kind": "html", "method": "oauth/token"});
    assert_eq!(
        driven.ask("POST", "/oauth/faults", fault).await.body["waiting"],
        1
    );
    assert_eq!(
        driven.ask("GET", "/oauth/journal", Value::Null).await.body["arrivals"],
        0
    );
    let address = driven.ask("GET", "/oauth", Value::Null).await.body["address"].clone();
    assert_eq!(address, driven.world.sim.oauth().address());
}
