//! Callbacks of applications, and the handlers they bind (C8, C24).

use bitrix24_sim::ApplicationConfig;
use serde_json::{Value, json};

use crate::oauth::Installed;
use crate::receiver::{Received, Receiver};

/// An application whose callbacks arrive, with a handler for one of them.
pub(crate) async fn with_callbacks(bound: &[&str]) -> (Installed, Receiver) {
    let mut receiver = Receiver::plain().await;
    let app = Installed::with(ApplicationConfig {
        handler_url: Some(receiver.url.clone()),
        ..ApplicationConfig::default()
    })
    .await;
    let install = receiver.next().await;
    assert_eq!(install.get("event"), "ONAPPINSTALL");
    for event in bound {
        let handler = json!({"event": event, "handler": receiver.url});
        assert_eq!(app.own("event.bind", handler).await.result(), &json!(true));
    }
    (app, receiver)
}

#[tokio::test(start_paused = true)]
async fn an_install_callback_brings_the_first_pair() {
    let mut receiver = Receiver::plain().await;
    let app = Installed::with(ApplicationConfig {
        handler_url: Some(receiver.url.clone()),
        ..ApplicationConfig::default()
    })
    .await;
    let event = receiver.next().await;
    assert_eq!(event.get("data[VERSION]"), "1");
    assert_eq!(
        (event.get("data[ACTIVE]"), event.get("data[INSTALLED]")),
        ("Y", "Y")
    );
    assert_eq!(event.get("data[LANGUAGE_ID]"), "en");
    assert_eq!(event.get("auth[access_token]"), app.pair.access_token);
    assert_eq!(event.get("auth[refresh_token]"), app.pair.refresh_token);
    assert_eq!(event.get("auth[expires_in]"), "3600");
    assert_eq!(
        event.get("auth[application_token]"),
        app.application.application_token
    );
    for name in [
        "domain",
        "scope",
        "server_endpoint",
        "status",
        "client_endpoint",
        "member_id",
    ] {
        assert!(!event.get(&format!("auth[{name}]")).is_empty());
    }
    assert_eq!(event.find("event_handler_id"), None);
}

#[tokio::test(start_paused = true)]
async fn an_update_can_bring_a_new_application_token_and_drops_handlers() {
    let (app, mut receiver) = with_callbacks(&["ONAPPUNINSTALL"]).await;
    let id = &app.application.client_id;
    let pair = app.world.portal.update_application(id, true).unwrap();
    let event = receiver.next().await;
    assert_eq!(
        (event.get("event"), event.get("data[PREVIOUS_VERSION]")),
        ("ONAPPUPDATE", "1")
    );
    assert_eq!(event.get("auth[refresh_token]"), pair.refresh_token);
    assert_ne!(
        event.get("auth[application_token]"),
        app.application.application_token
    );
    let now = app.world.portal.application(id).unwrap();
    assert_eq!(event.get("auth[application_token]"), now.application_token);
    assert_eq!(app.own("event.get", json!({})).await.result(), &json!([]));
}

#[tokio::test(start_paused = true)]
async fn an_uninstall_callback_has_no_tokens_and_needs_a_handler() {
    for bound in [true, false] {
        let events: &[&str] = if bound { &["ONAPPUNINSTALL"] } else { &[] };
        let (app, mut receiver) = with_callbacks(events).await;
        let id = &app.application.client_id;
        app.world.portal.uninstall(id, true).unwrap();
        if bound {
            let event = receiver.next().await;
            assert_eq!(
                (event.get("event"), event.get("data[CLEAN]")),
                ("ONAPPUNINSTALL", "1")
            );
            assert_eq!(
                event.get("auth[application_token]"),
                app.application.application_token
            );
            assert_eq!(event.find("auth[access_token]"), None);
            assert!(event.find("event_handler_id").is_some());
        } else {
            app.world
                .portal
                .set_quirks(|quirks| quirks.callbacks_need_binding = false);
            app.world.portal.uninstall(id, false).unwrap();
            assert_eq!(receiver.next().await.get("data[CLEAN]"), "0");
            assert!(receiver.is_quiet());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn payment_comes_without_proof_and_confirmation_with_it() {
    let (app, mut receiver) = with_callbacks(&["ONAPPPAYMENT", "OnAppMethodConfirm"]).await;
    let (id, portal) = (&app.application.client_id, &app.world.portal);
    portal.set_paid(id, false).unwrap();
    let event = receiver.next().await;
    assert_eq!(
        (event.get("event"), event.get("data[PAYMENT_EXPIRED]")),
        ("ONAPPPAYMENT", "Y")
    );
    assert_eq!(event.find("auth[application_token]"), None);
    portal.set_paid(id, true).unwrap();
    receiver.next().await;
    portal.require_confirmation(id, "profile").unwrap();
    assert_eq!(
        app.own("profile", json!({})).await.error(),
        "METHOD_CONFIRM_WAITING"
    );
    portal.confirm(id, "profile", true).unwrap();
    let event = receiver.next().await;
    assert_eq!(
        (event.get("event"), event.get("data[CONFIRMED]")),
        ("ONAPPMETHODCONFIRM", "1")
    );
    assert_eq!(event.get("data[TOKEN]"), app.pair.access_token);
    assert_eq!(
        event.get("auth[application_token]"),
        app.application.application_token
    );
}

#[tokio::test(start_paused = true)]
async fn an_opened_page_is_posted_its_frame() {
    let mut receiver = Receiver::plain().await;
    let app = Installed::with(ApplicationConfig {
        page_url: Some(receiver.url.clone()),
        ..ApplicationConfig::default()
    })
    .await;
    app.world
        .portal
        .open_page(&app.application.client_id, app.world.anna)
        .unwrap();
    let frame: Received = receiver.next().await;
    assert!(
        frame.path.starts_with("/hook?DOMAIN=127.0.0.1%3A"),
        "{}",
        frame.path
    );
    assert!(frame.path.contains("&PROTOCOL=1&LANG=en&APP_SID="));
    assert_eq!(
        frame.get("APPLICATION_TOKEN"),
        app.application.application_token
    );
    assert_eq!(frame.get("member_id"), app.world.portal.member_id());
    assert_eq!(
        (frame.get("status"), frame.get("PLACEMENT")),
        ("L", "DEFAULT")
    );
    let caller = app.call(frame.get("AUTH_ID"), "profile", json!({})).await;
    assert_eq!(caller.result()["ID"], app.world.anna.to_string());
    assert!(frame.find("REFRESH_ID").is_some() && frame.find("SERVER_ENDPOINT").is_some());
}

#[tokio::test(start_paused = true)]
async fn handlers_are_bound_listed_and_unbound() {
    let app = Installed::new().await;
    let handler = json!({"event": "ONAPPUNINSTALL", "handler": "https://a.example.com/"});
    let bind = async |params: Value| app.own("event.bind", params).await;
    bind(handler.clone()).await.result();
    assert_eq!(bind(handler.clone()).await.status, 400);
    assert_eq!(
        bind(json!({"event": "ONMOON", "handler": "x"}))
            .await
            .error(),
        "ERROR_EVENT_NOT_FOUND"
    );
    let listed = app.own("event.get", json!({})).await;
    let expected = json!([{"event": "ONAPPUNINSTALL", "handler": "https://a.example.com/",
        "auth_type": "0", "offline": 0}]);
    assert_eq!(listed.result(), &expected);
    let anna = app
        .world
        .portal
        .issue_tokens(&app.application.client_id, app.world.anna)
        .unwrap();
    let foreign =
        json!({"event": "ONAPPTEST", "handler": "https://a.example.com/", "auth_type": 1});
    let foreign = app.call(&anna.access_token, "event.bind", foreign).await;
    assert_eq!(foreign.error(), "ACCESS_DENIED");
    for count in [1, 0] {
        let gone = app.own("event.unbind", handler.clone()).await;
        assert_eq!(gone.result()["count"], count);
    }
    assert_eq!(
        app.world.call("event.bind", handler).await.error(),
        "ACCESS_DENIED"
    );
    assert!(
        app.own("events", json!({}))
            .await
            .result()
            .as_array()
            .unwrap()
            .len()
            > 8
    );
}
