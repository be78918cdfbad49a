//! URLs, encodings, envelopes, system errors, limits (C1, C3, C4, C5) and basic methods (C24).

use std::time::Duration;

use bitrix24_sim::{Encoding, Limits, OperatingRule, PortalConfig, UserConfig, WebhookConfig};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};

use crate::world::{TOKEN, World, path_of};

#[tokio::test(start_paused = true)]
async fn plain_http_is_refused() {
    let world = World::new().await;
    let request = Request::get(format!("{}profile", world.base)).header("host", "x");
    let answer = world
        .plain_client()
        .send(request.body(Full::default()).unwrap())
        .await
        .unwrap();
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(body["error"], "INVALID_REQUEST");
}

#[tokio::test(start_paused = true)]
async fn method_names_have_no_case_and_may_have_a_suffix() {
    let world = World::new().await;
    for name in ["profile", "PROFILE", "Profile.json"] {
        assert_eq!(
            world.call(name, json!({})).await.result()["ID"],
            "1",
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_code_is_refused_before_anything_else() {
    let world = World::new().await;
    let path = "/rest/1/wrong/no.such.method";
    let answer = world
        .attempt(path, "application/json", "{}".into())
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.error()),
        (401, "INVALID_CREDENTIALS")
    );
    let answer = world
        .attempt("/rest/profile", "application/json", "{}".into())
        .await
        .unwrap();
    assert_eq!((answer.status, answer.error()), (401, "NO_AUTH_FOUND"));
}

#[tokio::test(start_paused = true)]
async fn a_removed_webhook_is_refused() {
    let world = World::new().await;
    world.portal.remove_webhook(&world.portal.webhook_url());
    assert_eq!(
        world.call("profile", json!({})).await.error(),
        "INVALID_CREDENTIALS"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_method_does_not_exist() {
    let world = World::new().await;
    let answer = world.call("imbot.v2.Nothing", json!({})).await;
    assert_eq!(
        (answer.status, answer.error()),
        (404, "ERROR_METHOD_NOT_FOUND")
    );
    assert!(answer.body.get("time").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_webhook_calls_only_what_its_scopes_allow() {
    let world = World::new().await;
    let config = WebhookConfig {
        scopes: vec!["im".into()],
        ..WebhookConfig::default()
    };
    let base = path_of(&world.portal.add_webhook(config));
    let path = format!("{base}imbot.v2.Bot.list");
    let answer = world
        .attempt(&path, "application/json", "{}".into())
        .await
        .unwrap();
    assert_eq!((answer.status, answer.error()), (401, "insufficient_scope"));
}

#[tokio::test(start_paused = true)]
async fn broken_json_gives_a_misleading_error() {
    let world = World::new().await;
    let body = format!(r#"{{"botToken":"{TOKEN}","botId":1"#);
    let answer = world
        .post("imbot.v2.Command.list", "application/json", body)
        .await;
    assert_eq!(
        (answer.status, answer.error()),
        (400, "BOT_TOKEN_NOT_SPECIFIED")
    );
}

#[tokio::test(start_paused = true)]
async fn forms_queries_and_upper_case_names_serve_as_well_as_json() {
    let world = World::new().await;
    let form =
        "fields%5Bcode%5D=a&fields[botToken]=t&fields[properties][name]=Bot+A&fields[isHidden]=Y";
    let answer = world.form("imbot.v2.Bot.register", form).await;
    assert_eq!(answer.result()["bot"]["isHidden"], true);
    let id = answer.result()["bot"]["id"].clone();
    let path = format!("{}imbot.v2.Bot.get?BOT_TOKEN=t&code=a", world.base);
    let answer = world.attempt(&path, "", String::new()).await.unwrap();
    assert_eq!(answer.result()["bot"]["id"], id);
    let calls = world.portal.journal().requests();
    assert_eq!(
        [calls[0].encoding, calls[1].encoding],
        [Encoding::Form, Encoding::Query]
    );
}

#[tokio::test(start_paused = true)]
async fn a_success_carries_all_times_and_an_error_none() {
    let world = World::with(PortalConfig::default()).await;
    world
        .portal
        .set_latency(Some("server.time"), Duration::from_secs(2));
    let answer = world.call("server.time", json!({})).await;
    assert_eq!(*answer.result(), "2026-11-20T11:00:02+01:00");
    let time = &answer.body["time"];
    assert_eq!(time["date_start"], "2026-11-20T11:00:00+01:00");
    assert_eq!(time["date_finish"], "2026-11-20T11:00:02+01:00");
    let (start, finish) = (
        time["start"].as_f64().unwrap(),
        time["finish"].as_f64().unwrap(),
    );
    assert!((finish - start - time["duration"].as_f64().unwrap()).abs() < 1e-3);
    assert!((time["operating"].as_f64().unwrap() - 2.02).abs() < 1e-9);
    assert!(time["operating_reset_at"].is_u64() && time["processing"].is_f64());
    let answer = world.call("imbot.v2.Bot.list", json!({})).await;
    assert!(answer.body.get("time").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_missing_argument_is_the_number_100() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let answer = world
        .of_bot("imbot.v2.Command.unregister", bot, json!({}))
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.body["error"], 100);
    let expected = "Could not find value for parameter {commandId}";
    assert_eq!(answer.body["error_description"], expected);
}

#[tokio::test(start_paused = true)]
async fn bot_methods_check_token_then_id_then_bot_then_owner_then_arguments() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let method = "imbot.v2.Command.answer";
    let mut params = json!({});
    for (name, value, expected) in [
        ("botToken", json!("another"), "BOT_TOKEN_NOT_SPECIFIED"),
        ("botId", json!(99_999), "BOT_ID_REQUIRED"),
        ("botId", json!(bot), "BOT_NOT_FOUND"),
        ("botToken", json!(TOKEN), "BOT_OWNERSHIP_ERROR"),
    ] {
        let answer = world.call(method, params.clone()).await;
        assert_eq!((answer.status, answer.error()), (400, expected));
        params[name] = value;
    }
    assert_eq!(world.call(method, params).await.body["error"], 100);
}

#[tokio::test(start_paused = true)]
async fn the_fifty_first_call_of_a_burst_is_refused_until_the_bucket_drained() {
    let limits = Limits {
        refused_count: false,
        ..Limits::default()
    };
    let world = World::with(PortalConfig {
        limits,
        ..PortalConfig::default()
    })
    .await;
    for _ in 0..50 {
        world.call("profile", json!({})).await.result();
    }
    let answer = world.call("profile", json!({})).await;
    assert_eq!(
        (answer.status, answer.error()),
        (503, "QUERY_LIMIT_EXCEEDED")
    );
    world.sim.clock().advance(Duration::from_secs(1));
    world.call("profile", json!({})).await.result();
    world.call("profile", json!({})).await.result();
    assert_eq!(
        world.call("profile", json!({})).await.error(),
        "QUERY_LIMIT_EXCEEDED"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_leaves_no_effect() {
    let limits = Limits {
        threshold: Some(0),
        ..Limits::default()
    };
    let world = World::with(PortalConfig {
        limits,
        ..PortalConfig::default()
    })
    .await;
    let fields = json!({"code": "a", "botToken": "t", "properties": {"name": "A"}});
    let answer = world
        .call("imbot.v2.Bot.register", json!({"fields": fields}))
        .await;
    assert_eq!(answer.error(), "QUERY_LIMIT_EXCEEDED");
    assert!(world.portal.bots().is_empty());
    assert!(!world.portal.journal().requests()[0].executed);
}

#[tokio::test(start_paused = true)]
async fn the_call_that_crosses_the_operating_limit_succeeds_and_the_next_is_refused() {
    for rule in [OperatingRule::Sliding, OperatingRule::Ban] {
        let limits = Limits {
            operating: rule,
            ..Limits::default()
        };
        let world = World::with(PortalConfig {
            limits,
            ..PortalConfig::default()
        })
        .await;
        world
            .portal
            .set_latency(Some("profile"), Duration::from_secs(481));
        world.call("profile", json!({})).await.result();
        world.portal.set_latency(None, Duration::ZERO);
        let answer = world.call("profile", json!({})).await;
        assert_eq!(
            (answer.status, answer.error()),
            (429, "OPERATION_TIME_LIMIT")
        );
        world.call("scope", json!({})).await.result();
        let wait = if rule == OperatingRule::Ban { 300 } else { 600 };
        world.sim.clock().advance(Duration::from_secs(wait));
        world.call("profile", json!({})).await.result();
    }
}

#[tokio::test(start_paused = true)]
async fn basic_methods_tell_of_credential_and_portal() {
    let world = World::new().await;
    let anna = WebhookConfig {
        user_id: world.anna,
        scopes: vec!["im".into()],
        code: Some("annas".into()),
    };
    let base = path_of(&world.portal.add_webhook(anna));
    let get = |method: &str| format!("{base}{method}");
    let profile = world
        .attempt(&get("profile"), "", String::new())
        .await
        .unwrap();
    assert_eq!(profile.result()["ID"], world.anna.to_string());
    assert_eq!(profile.result()["ADMIN"], false);
    let scope = world
        .attempt(&get("scope"), "", String::new())
        .await
        .unwrap();
    assert_eq!(*scope.result(), json!(["im"]));
    let method = get("method.get?name=imbot.v2.event.get");
    let method = world.attempt(&method, "", String::new()).await.unwrap();
    assert_eq!(
        *method.result(),
        json!({"isExisting": true, "isAvailable": false})
    );
    let method = world
        .attempt(&get("method.get"), "", String::new())
        .await
        .unwrap();
    assert_eq!(
        *method.result(),
        json!({"isExisting": false, "isAvailable": false})
    );
    let info = world
        .attempt(&get("app.info"), "", String::new())
        .await
        .unwrap();
    assert_eq!(info.result()["SCOPE"], json!(["im"]));
    let revision = world.call("imbot.v2.Revision.get", json!({})).await;
    assert_eq!(
        *revision.result(),
        json!({"rest": 36, "web": 130, "mobile": 23, "desktop": 6})
    );
}

#[tokio::test(start_paused = true)]
async fn portals_know_nothing_of_each_other() {
    let world = World::new().await;
    world.bot("a").await;
    let other = world.sim.add_portal(PortalConfig::default()).await.unwrap();
    assert!(other.bots().is_empty());
    assert_eq!(other.add_user(UserConfig::named("B", "C")), world.anna);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_portal_accepts_no_connection() {
    let world = World::new().await;
    world.portal.stop();
    tokio::task::yield_now().await;
    assert!(world.try_call("profile", json!({})).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_journal_masks_the_code_and_drops_the_oldest() {
    let world = World::new().await;
    world.call("profile", json!({"a": 1})).await;
    let request = &world.portal.journal().calls("PROFILE")[0];
    assert_eq!(request.params, json!({"a": 1}));
    assert_eq!(request.status, 200);
    assert!(request.executed && request.answer["result"]["ID"] == "1");
    assert!(!format!("{request:?}").contains(world.base.split('/').nth(3).unwrap()));
    world.portal.journal().clear();
    assert_eq!(world.portal.journal().arrivals(), 0);
}
