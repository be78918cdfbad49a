//! The authorization server (C2, C7).

use std::time::Duration;

use bitrix24_sim::{
    ApplicationConfig, ApplicationView, Fault, TokenPair, UninstalledIs, WrongClient,
};
use serde_json::{Value, json};

use crate::world::{Answer, Client, World};

/// A world with an installed application.
pub(crate) struct Installed {
    pub(crate) world: World,
    pub(crate) application: ApplicationView,
    pub(crate) pair: TokenPair,
    server: Client,
}

impl Installed {
    pub(crate) async fn new() -> Self {
        Self::with(ApplicationConfig::default()).await
    }

    pub(crate) async fn with(config: ApplicationConfig) -> Self {
        let world = World::new().await;
        let client_id = world.portal.add_application(config);
        let pair = world.portal.install(&client_id, 1).unwrap();
        let application = world.portal.application(&client_id).unwrap();
        let server = Client::new(&world.sim, &world.sim.oauth().address());
        Self {
            world,
            application,
            pair,
            server,
        }
    }

    /// A call with an access token in its body.
    pub(crate) async fn call(&self, token: &str, method: &str, mut params: Value) -> Answer {
        params["auth"] = token.into();
        let path = format!("/rest/{method}");
        let body = params.to_string();
        let asked = self
            .world
            .client
            .ask("POST", &path, "application/json", body);
        asked.await.unwrap()
    }

    /// A call with the first access token.
    pub(crate) async fn own(&self, method: &str, params: Value) -> Answer {
        self.call(&self.pair.access_token, method, params).await
    }

    async fn server(&self, query: &str) -> Answer {
        let path = format!("/oauth/token/?{query}");
        self.server.ask("GET", &path, "", "").await.unwrap()
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Answer {
        let id = &self.application.client_id;
        let secret = &self.application.client_secret;
        let grant = format!("grant_type=refresh_token&refresh_token={refresh_token}");
        self.server(&format!("{grant}&client_id={id}&client_secret={secret}"))
            .await
    }

    async fn exchange(&self, code: &str) -> Answer {
        let id = &self.application.client_id;
        let secret = &self.application.client_secret;
        let grant = format!("grant_type=authorization_code&code={code}");
        self.server(&format!("{grant}&client_id={id}&client_secret={secret}"))
            .await
    }

    async fn info(&self, token: &str) -> Answer {
        let path = format!("/rest/app.info?auth={token}");
        self.server.ask("GET", &path, "", "").await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn an_access_token_lasts_an_hour_and_a_refresh_replaces_the_pair() {
    let app = Installed::new().await;
    app.world.sim.clock().advance(Duration::from_secs(3599));
    app.own("profile", json!({})).await.result();
    app.world.sim.clock().advance(Duration::from_secs(1));
    let expired = app.own("profile", json!({})).await;
    assert_eq!((expired.status, expired.error()), (401, "expired_token"));

    let new = app.refresh(&app.pair.refresh_token).await.body;
    let access = new["access_token"].as_str().unwrap();
    assert_ne!(new["refresh_token"], json!(app.pair.refresh_token));
    assert_eq!(
        (&new["expires_in"], &new["user_id"]),
        (&json!(3600), &json!(1))
    );
    let endpoint = format!("{}/rest/", app.world.portal.address());
    assert_eq!(new["client_endpoint"], endpoint);
    assert_eq!(
        new["server_endpoint"],
        format!("{}/rest/", app.world.sim.oauth().address())
    );
    assert_eq!(new["member_id"], app.world.portal.member_id());
    assert_eq!(new["scope"], "im,imbot,user");
    app.call(access, "profile", json!({})).await.result();
    assert_eq!(
        app.refresh(&app.pair.refresh_token).await.error(),
        "invalid_grant"
    );
}

#[tokio::test(start_paused = true)]
async fn sample_refreshes_are_served_in_their_shape() {
    let config = ApplicationConfig {
        client_id: Some("app.573ad8a0346747.09223434".into()),
        client_secret: Some("example-client-secret".into()),
        ..ApplicationConfig::default()
    };
    let app = Installed::with(config).await;
    let request: Value =
        serde_json::from_str(include_str!("../fixtures/oauth.refresh.basic.request.json")).unwrap();
    let query = request["query"].as_object().unwrap().iter();
    let query: Vec<String> = query
        .map(|(name, value)| match name.as_str() {
            "refresh_token" => format!("{name}={}", app.pair.refresh_token),
            _ => format!("{name}={}", value.as_str().unwrap()),
        })
        .collect();
    let answer = app.server(&query.join("&")).await.body;
    let sample: Value =
        serde_json::from_str(include_str!("../fixtures/oauth.refresh.ok.response.json")).unwrap();
    let names = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&answer), names(&sample));

    let spent = app.server(&query.join("&")).await;
    let sample = include_str!("../fixtures/oauth.refresh.invalid-grant.error.json");
    assert_eq!(spent.body, serde_json::from_str::<Value>(sample).unwrap());
    let wrong = query.join("&").replace("example", "other");
    let sample = include_str!("../fixtures/oauth.refresh.invalid-client.error.json");
    let refused = app.server(&wrong).await;
    assert_eq!(refused.body, serde_json::from_str::<Value>(sample).unwrap());
    let oauth = app.world.sim.oauth();
    oauth.set_quirks(|quirks| quirks.wrong_client = WrongClient::WrongClientWith200);
    let sample = include_str!("../fixtures/oauth.refresh.wrong-client.error.json");
    let refused = app.server(&wrong).await;
    assert_eq!(refused.body, serde_json::from_str::<Value>(sample).unwrap());
    app.world
        .portal
        .set_paid(&app.application.client_id, false)
        .unwrap();
    let sample = include_str!("../fixtures/oauth.refresh.payment-required.error.json");
    let refused = app.server(&query.join("&")).await;
    assert_eq!(refused.body, serde_json::from_str::<Value>(sample).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_spent_refresh_token_can_have_a_grace_period() {
    let app = Installed::new().await;
    app.world.sim.oauth().set_quirks(|quirks| {
        quirks.refresh_grace = Duration::from_secs(60);
        quirks.refresh_ends_old_access = true;
    });
    let first = app.refresh(&app.pair.refresh_token).await;
    assert_eq!(first.status, 200);
    assert_eq!(app.own("profile", json!({})).await.error(), "expired_token");
    app.world.sim.clock().advance(Duration::from_secs(59));
    assert_eq!(app.refresh(&app.pair.refresh_token).await.status, 200);
    app.world.sim.clock().advance(Duration::from_secs(1));
    assert_eq!(
        app.refresh(&app.pair.refresh_token).await.error(),
        "invalid_grant"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_lasts_180_days() {
    let app = Installed::new().await;
    app.world
        .sim
        .clock()
        .advance(Duration::from_secs(180 * 86_400));
    let late = app.refresh(&app.pair.refresh_token).await;
    assert_eq!((late.status, late.error()), (400, "invalid_grant"));
}

#[tokio::test(start_paused = true)]
async fn the_server_refuses_by_all_its_names() {
    let app = Installed::new().await;
    let token = &app.pair.refresh_token;
    let id = &app.application.client_id;
    let secret = &app.application.client_secret;
    let right = format!("grant_type=refresh_token&client_id={id}&client_secret={secret}");
    let wrong =
        format!("grant_type=refresh_token&client_id={id}&client_secret=x&refresh_token={token}");
    for (query, status, code) in [
        (String::new(), 400, "invalid_request"),
        (right.clone(), 400, "invalid_request"),
        (format!("{right}&refresh_token=zzz"), 400, "invalid_grant"),
        (wrong.clone(), 401, "invalid_client"),
        (
            format!("{right}&refresh_token={token}&scope=weather"),
            403,
            "invalid_scope",
        ),
        (
            format!("{right}&refresh_token={token}&scope=im,crm"),
            403,
            "insufficient_scope",
        ),
    ] {
        let answer = app.server(&query).await;
        assert_eq!((answer.status, answer.error()), (status, code), "{query}");
    }
    let oauth = app.world.sim.oauth();
    oauth.set_quirks(|quirks| quirks.wrong_client = WrongClient::BadRequest);
    assert_eq!(app.server(&wrong).await.status, 400);
    oauth.set_quirks(|quirks| quirks.wrong_client = WrongClient::WrongClientWith200);
    let answer = app.server(&wrong).await;
    assert_eq!((answer.status, answer.error()), (200, "wrong_client"));

    app.world.portal.set_paid(id, false).unwrap();
    assert_eq!(app.refresh(token).await.error(), "PAYMENT_REQUIRED");
    app.world.portal.uninstall(id, false).unwrap();
    assert_eq!(app.refresh(token).await.error(), "NOT_INSTALLED");
    oauth.set_quirks(|quirks| quirks.uninstalled = UninstalledIs::InvalidClient);
    assert_eq!(app.refresh(token).await.error(), "invalid_client");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_server_leaves_the_old_pair_or_loses_the_new_one() {
    let app = Installed::new().await;
    let token = &app.pair.refresh_token;
    let faults = app.world.sim.oauth().faults();
    faults.on("oauth/token", Fault::html(503));
    assert_eq!(app.refresh(token).await.status, 503);
    faults.on("oauth/token", Fault::html(504).after_effect());
    assert_eq!(app.refresh(token).await.status, 504);
    assert_eq!(app.refresh(token).await.error(), "invalid_grant");
    let calls = app.world.sim.oauth().journal().calls("oauth/token");
    let executed: Vec<bool> = calls.iter().map(|call| call.executed).collect();
    assert_eq!(executed, [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_pair_is_replaced_even_when_the_client_left() {
    let app = Installed::new().await;
    let slow = Fault::latency(Duration::from_secs(30));
    app.world.sim.oauth().faults().on("oauth/token", slow);
    let refresh = app.refresh(&app.pair.refresh_token);
    let given_up = tokio::time::timeout(Duration::from_secs(10), refresh).await;
    assert!(given_up.is_err());
    tokio::time::sleep(Duration::from_secs(25)).await;
    let again = app.refresh(&app.pair.refresh_token).await;
    assert_eq!(again.error(), "invalid_grant");
}

#[tokio::test(start_paused = true)]
async fn the_server_tells_the_trusted_status_of_a_token() {
    let app = Installed::new().await;
    let info = app.info(&app.pair.access_token).await;
    let result = info.result();
    assert_eq!(result["client_id"], json!(app.application.client_id));
    assert_eq!(
        (&result["user_id"], &result["scope"]),
        (&json!(1), &json!("im,imbot,user"))
    );
    let install = &result["install"];
    assert_eq!(
        (&install["installed"], &install["status"]),
        (&json!(true), &json!("L"))
    );
    assert_eq!(install["member_id"], app.world.portal.member_id());
    assert_eq!(app.info("zzz").await.error(), "invalid_token");
    app.world
        .portal
        .set_paid(&app.application.client_id, false)
        .unwrap();
    app.info(&app.pair.access_token).await.result();
    app.world.portal.expire_token(&app.pair.access_token);
    assert_eq!(
        app.info(&app.pair.access_token).await.error(),
        "expired_token"
    );
}

#[tokio::test(start_paused = true)]
async fn a_browser_brings_a_code_that_works_once_for_half_a_minute() {
    let app = Installed::with(ApplicationConfig {
        redirect_url: Some("https://app.example.com/back?x=1".into()),
        ..ApplicationConfig::default()
    })
    .await;
    app.world.portal.sign_in(app.world.anna);
    let path = format!(
        "/oauth/authorize/?client_id={}&state=a%20b",
        app.application.client_id
    );
    let page = app.world.client.ask("GET", &path, "", "").await.unwrap();
    let location = page.location.unwrap();
    assert_eq!(page.status, 302);
    let (target, query) = location.split_once("&code=").unwrap();
    assert_eq!(target, "https://app.example.com/back?x=1");
    assert!(query.contains("&state=a+b&domain=127.0.0.1%3A"), "{query}");
    assert!(
        query.contains("&scope=im%2Cimbot%2Cuser&server_domain="),
        "{query}"
    );

    let code = query.split('&').next().unwrap();
    let first = app.exchange(code).await.body;
    assert!(first.get("user_id").is_none() && first.get("expires").is_none());
    let profile = app
        .call(
            first["access_token"].as_str().unwrap(),
            "profile",
            json!({}),
        )
        .await;
    assert_eq!(profile.result()["ID"], app.world.anna.to_string());
    assert_eq!(app.exchange(code).await.error(), "bad_verification_code");

    let late = app
        .world
        .portal
        .issue_code(&app.application.client_id, 1)
        .unwrap();
    app.world.sim.clock().advance(Duration::from_secs(30));
    assert_eq!(app.exchange(&late).await.error(), "bad_verification_code");
    let nobody = app
        .world
        .client
        .ask("GET", "/oauth/authorize/?client_id=x", "", "")
        .await
        .unwrap();
    assert_eq!((nobody.status, nobody.location), (200, None));
}

#[tokio::test(start_paused = true)]
async fn a_browser_opens_the_page_in_a_frame() {
    let app = Installed::with(ApplicationConfig {
        page_url: Some("https://app.example.com/page?a=1&b=\"<".into()),
        ..ApplicationConfig::default()
    })
    .await;
    app.world.portal.sign_in(app.world.anna);
    let path = format!("/marketplace/app/{}/", app.application.client_id);
    let page = app.world.client.ask("GET", &path, "", "").await.unwrap();
    assert_eq!(page.status, 200);
    let target = "action=\"https://app.example.com/page?a=1&amp;b=&quot;&lt;&amp;DOMAIN=";
    assert!(page.raw.contains(target), "{}", page.raw);
    let value = |name: &str| {
        let (_, rest) = page
            .raw
            .split_once(&format!("name=\"{name}\" value=\""))
            .unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    assert_eq!(value("member_id"), app.world.portal.member_id());
    let profile = app.call(&value("AUTH_ID"), "profile", json!({})).await;
    assert_eq!(profile.result()["ID"], app.world.anna.to_string());
    let nobody = app
        .world
        .client
        .ask("GET", "/marketplace/app/x/", "", "")
        .await;
    assert_eq!(nobody.unwrap().status, 404);
}

#[tokio::test(start_paused = true)]
async fn one_application_in_two_portals_keeps_their_tokens_apart() {
    let config = ApplicationConfig {
        client_id: Some("app.one".into()),
        client_secret: Some("secret".into()),
        ..ApplicationConfig::default()
    };
    let app = Installed::with(config.clone()).await;
    let other = app.world.sim.add_portal(Default::default()).await.unwrap();
    let id = other.add_application(config);
    let pair = other.install(&id, 1).unwrap();
    assert_eq!(
        app.call(&pair.access_token, "profile", json!({}))
            .await
            .error(),
        "NO_AUTH_FOUND"
    );
    let new = app.refresh(&pair.refresh_token).await.body;
    assert_eq!(new["member_id"], other.member_id());
    assert_ne!(other.member_id(), app.world.portal.member_id());
}
