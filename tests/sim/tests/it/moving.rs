//! Portals that move, close, or serve no REST (C4, C9).

use bitrix24_sim::{ClosedPortal, Condition};
use serde_json::{Value, json};

use crate::driven::Driven;
use crate::oauth::Installed;
use crate::world::{Client, World, path_of};

#[tokio::test(start_paused = true)]
async fn a_renamed_portal_leads_from_each_old_address_to_the_next() {
    let world = World::new().await;
    let path = format!("{}profile?x=1", world.base);
    let member = world.portal.member_id();
    let second = world.portal.rename().await.unwrap();
    let third = world.portal.rename().await.unwrap();
    let mut client = world.client.clone();
    for next in [second, third.clone()] {
        let answer = client
            .ask("POST", &path, "application/json", "{}")
            .await
            .unwrap();
        assert_eq!(answer.status, 302);
        assert_eq!(answer.location.unwrap(), format!("{next}{path}"));
        client = Client::new(&world.sim, &next);
    }
    let answer = client
        .ask("POST", &path, "application/json", "{}")
        .await
        .unwrap();
    assert_eq!(answer.result()["ID"], "1");
    assert_eq!(world.portal.address(), third);
    assert_eq!(path_of(&world.portal.webhook_url()), world.base);
    assert_eq!(world.portal.member_id(), member);
    let executed: Vec<bool> = world
        .portal
        .journal()
        .requests()
        .iter()
        .map(|r| r.executed)
        .collect();
    assert_eq!(executed, [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_tells_the_new_address_of_a_renamed_portal() {
    let app = Installed::new().await;
    let address = app.world.portal.rename().await.unwrap();
    let answer = app.refresh(&app.pair.refresh_token).await.body;
    assert_eq!(answer["client_endpoint"], format!("{address}/rest/"));
}

#[tokio::test(start_paused = true)]
async fn a_closed_portal_says_so_in_one_of_three_ways() {
    let app = Installed::new().await;
    let portal = &app.world.portal;
    portal.set_condition(Condition::Closed);
    for (status, quirk) in [
        (403, ClosedPortal::Forbidden),
        (500, ClosedPortal::ServerError),
        (410, ClosedPortal::Gone),
    ] {
        portal.set_quirks(|quirks| quirks.closed_portal = quirk);
        let answer = app.own("profile", json!({})).await;
        assert_eq!((answer.status, answer.error()), (status, "PORTAL_DELETED"));
    }
    assert_eq!(app.refresh(&app.pair.refresh_token).await.status, 404);
    portal.set_condition(Condition::Open);
    app.own("profile", json!({})).await.result();
}

#[tokio::test(start_paused = true)]
async fn plans_and_blocks_refuse_by_authorization_errors() {
    let world = World::new().await;
    for (condition, code, documented) in [
        (Condition::NoRest, "ACCESS_DENIED", 403),
        (Condition::Overloaded, "OVERLOAD_LIMIT", 503),
    ] {
        world.portal.set_condition(condition);
        for (seen, status) in [(true, 401), (false, documented)] {
            world
                .portal
                .set_quirks(|quirks| quirks.auth_errors_are_401 = seen);
            let answer = world.call("profile", json!({})).await;
            assert_eq!((answer.status, answer.error()), (status, code));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_the_same_host_are_no_new_address() {
    let world = World::new().await;
    for (condition, page) in [
        (Condition::LicencePage, "/settings/license.php"),
        (Condition::LoginPage, "/auth/?backurl=%2Frest%2F"),
    ] {
        world.portal.set_condition(condition);
        let answer = world.call("profile", json!({})).await;
        let location = format!("{}{page}", world.portal.address());
        assert_eq!((answer.status, answer.location), (302, Some(location)));
    }
    world.portal.set_condition(Condition::Maintenance);
    let answer = world.call("profile", json!({})).await;
    assert_eq!((answer.status, answer.body), (503, Value::Null));
}

#[tokio::test(start_paused = true)]
async fn portals_move_and_close_over_http() {
    let driven = Driven::new().await;
    let moved = driven.portal("POST", "/rename", Value::Null).await;
    assert_eq!(moved["address"], driven.world.portal.address());
    assert_eq!(driven.world.call("profile", json!({})).await.status, 302);
    let closed = driven
        .portal("POST", "/condition", json!({"condition": "closed"}))
        .await;
    assert_eq!(closed["condition"], "closed");
    let refused = driven
        .ask("POST", "/portals/1/condition", json!({"condition": "ajar"}))
        .await;
    assert_eq!(
        (refused.status, &refused.body["error"]["field"]),
        (400, &json!("condition"))
    );
}
