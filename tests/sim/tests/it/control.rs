//! The simulation, driven over HTTP.

use serde_json::{Value, json};

use crate::driven::Driven;
use crate::world::{Client, path_of};

#[tokio::test(start_paused = true)]
async fn a_conversation_can_be_driven_over_http() {
    let driven = Driven::new().await;
    let anna = driven
        .portal(
            "POST",
            "/users",
            json!({"first_name": "Anna", "last_name": "B"}),
        )
        .await["id"]
        .clone();
    let bot = driven.world.bot("a").await;
    driven.world.command(bot, "help", json!({})).await;
    let chat = driven
        .portal(
            "POST",
            "/chats",
            json!({"title": "T", "members": [1, anna]}),
        )
        .await;
    let at = format!("/chats/{}/bots", chat["id"]);
    driven.portal("POST", &at, json!({"bot_id": bot})).await;
    let act = format!("/users/{anna}");
    let text = json!({"dialog": chat["dialog_id"], "text": "/help me"});
    let message = driven.portal("POST", &format!("{act}/types"), text).await["message_id"].clone();

    let bots = driven.portal("GET", "/bots", Value::Null).await;
    assert_eq!(bots["bots"][0]["code"], "a");
    let events = driven
        .portal("GET", &format!("/bots/{bot}/events"), Value::Null)
        .await;
    assert_eq!(events["event_ids"].as_array().unwrap().len(), 2);
    let commands = driven
        .portal("GET", &format!("/bots/{bot}/commands"), Value::Null)
        .await;
    assert_eq!(commands["commands"][0]["name"], "help");

    let edit = json!({"message_id": message, "text": "new"});
    driven.portal("POST", &format!("{act}/edits"), edit).await;
    let like = json!({"message_id": message, "reaction": "like"});
    driven.portal("POST", &format!("{act}/reacts"), like).await;
    let seen = driven
        .portal("GET", &format!("/messages/{message}"), Value::Null)
        .await;
    assert_eq!(
        (&seen["text"], &seen["reactions"]),
        (&json!("new"), &json!([[anna, "like"]]))
    );
    let gone = json!({"message_id": message});
    driven.portal("POST", &format!("{act}/deletes"), gone).await;
    let path = format!("/messages?dialog={}", chat["dialog_id"].as_str().unwrap());
    let all = driven.portal("GET", &path, Value::Null).await;
    assert_eq!(all["messages"][0]["deleted"], true);

    let requests = driven
        .portal(
            "GET",
            "/journal/requests?method=imbot.v2.Bot.register",
            Value::Null,
        )
        .await;
    assert_eq!(requests["requests"].as_array().unwrap().len(), 1);
    let effects = driven.portal("GET", "/journal/effects", Value::Null).await;
    let kinds = effects["effects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["effect"].as_str().unwrap());
    assert!(
        kinds.clone().any(|kind| kind == "command_dispatched"),
        "{effects}"
    );
    driven
        .portal("DELETE", &format!("/bots/{bot}"), Value::Null)
        .await;
    assert!(driven.world.portal.bots().is_empty());
    driven.portal("DELETE", "/journal", Value::Null).await;
    assert_eq!(
        driven.portal("GET", "/journal", Value::Null).await["arrivals"],
        0
    );
}

#[tokio::test(start_paused = true)]
async fn portals_are_made_and_stopped_over_http() {
    let driven = Driven::new().await;
    let made = driven
        .ask(
            "POST",
            "/portals",
            json!({"language": "de", "limits": "none", "quirks": {"time": false},
            "owner": {"first_name": "Eva"}, "webhook_code": "abc", "revision": [33, 1, 2, 3]}),
        )
        .await
        .body;
    let url = made["webhook_url"].as_str().unwrap();
    let client = Client::new(&driven.world.sim, url);
    let path = format!("{}imbot.v2.Revision.get", path_of(url));
    let answer = client
        .ask("POST", &path, "application/json", "{}")
        .await
        .unwrap();
    assert_eq!(
        answer.body,
        json!({"result": {"rest": 33, "web": 1, "mobile": 2, "desktop": 3}})
    );

    let number = made["portal"].as_u64().unwrap();
    let all = driven.ask("GET", "/portals", Value::Null).await.body;
    assert_eq!(all["portals"].as_array().unwrap().len(), 2);
    let at = format!("/portals/{number}");
    assert_eq!(driven.ask("DELETE", &at, Value::Null).await.status, 200);
    assert_eq!(driven.ask("GET", &at, Value::Null).await.status, 404);
    assert!(
        client
            .ask("POST", &path, "application/json", "{}")
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn faults_of_every_kind_are_made_over_http() {
    let driven = Driven::new().await;
    for (fault, status) in [
        (
            json!({"kind": "error", "status": 503, "code": "QUERY_LIMIT_EXCEEDED"}),
            503,
        ),
        (
            json!({"kind": "error", "code": 100, "method": "profile"}),
            400,
        ),
        (json!({"kind": "html", "status": 504, "when": "after"}), 504),
        (
            json!({"kind": "redirect", "location": "https://new.example.com/rest/"}),
            302,
        ),
        (
            json!({"kind": "raw", "status": 204, "headers": {"x-a": "b"}, "body": "ignored"}),
            204,
        ),
        (json!({"kind": "drip", "bytes": 100, "pause_ms": 5}), 200),
        (json!({"kind": "enormous", "bytes": 5000}), 200),
        (json!({"kind": "latency", "ms": 5}), 200),
        (json!({"kind": "cut"}), 0),
        (json!({"kind": "reset", "when": "after"}), 0),
    ] {
        let added = driven.portal("POST", "/faults", fault.clone()).await;
        assert_eq!(added["waiting"], 1);
        let answer = driven.world.try_call("profile", json!({})).await;
        assert_eq!(answer.map_or(0, |answer| answer.status), status, "{fault}");
    }
    driven
        .portal(
            "POST",
            "/faults",
            json!({"kind": "hang", "times": "always"}),
        )
        .await;
    assert_eq!(
        driven.portal("DELETE", "/faults", Value::Null).await["waiting"],
        0
    );

    let entry = json!({"kind": "error", "code": "X", "method": "profile", "times": 2});
    driven.portal("POST", "/faults", entry).await;
    let batch = json!({"cmd": {"a": "profile", "b": "scope"}});
    let answer = driven.world.call("batch", batch).await;
    assert_eq!(answer.result()["result_error"]["a"]["error"], "X");
    assert!(answer.result()["result"]["b"].is_array());
}

#[tokio::test(start_paused = true)]
async fn settings_are_read_and_changed_by_name() {
    let driven = Driven::new().await;
    let quirks = driven.portal("GET", "/quirks", Value::Null).await;
    assert_eq!(
        (&quirks["ids"], &quirks["time"]),
        (&json!("numbers"), &json!(true))
    );
    let quirks = driven
        .portal("PATCH", "/quirks", json!({"ids": "strings"}))
        .await;
    assert_eq!(
        (&quirks["ids"], &quirks["time"]),
        (&json!("strings"), &json!(true))
    );
    let limits = driven
        .portal(
            "PATCH",
            "/limits",
            json!({"threshold": 1, "refused_count": false}),
        )
        .await;
    assert_eq!(limits["operating_limit_ms"], 480_000);
    driven.world.call("profile", json!({})).await.result();
    assert_eq!(
        driven.world.call("profile", json!({})).await.error(),
        "QUERY_LIMIT_EXCEEDED"
    );
    let step = driven
        .ask("POST", "/clock", json!({"advance_ms": 1_000, "scale": 60}))
        .await;
    assert_eq!(step.body["scale"], 60.0);
    driven.world.call("profile", json!({})).await.result();
    driven
        .portal("POST", "/latency", json!({"ms": 500, "method": "profile"}))
        .await;
}

#[tokio::test(start_paused = true)]
async fn webhooks_and_people_come_and_go() {
    let driven = Driven::new().await;
    let made = driven
        .portal(
            "POST",
            "/webhooks",
            json!({"scopes": ["im"], "code": "zzz"}),
        )
        .await;
    let path = format!("{}profile", path_of(made["webhook_url"].as_str().unwrap()));
    let client = &driven.world.client;
    let status = async || client.ask("POST", &path, "", "").await.unwrap().status;
    assert_eq!(status().await, 200);
    driven.portal("POST", "/users/1/dismiss", Value::Null).await;
    assert_eq!(status().await, 401);
    driven.portal("POST", "/users/1/restore", Value::Null).await;
    assert_eq!(status().await, 200);
    driven.portal("DELETE", "/webhooks", made).await;
    assert_eq!(status().await, 401);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_refused_by_name() {
    let driven = Driven::new().await;
    for (verb, path, body, status, field) in [
        ("POST", "/portals/1/users", json!({}), 400, "first_name"),
        (
            "POST",
            "/portals/1/users",
            json!({"first_name": 5}),
            400,
            "first_name",
        ),
        (
            "POST",
            "/portals/1/users",
            json!({"first_name": "A", "age": 5}),
            400,
            "age",
        ),
        (
            "POST",
            "/portals/1/chats",
            json!({"title": "T", "members": [1, "x"]}),
            400,
            "members[1]",
        ),
        (
            "POST",
            "/portals/1/faults",
            json!({"kind": "meteor"}),
            400,
            "kind",
        ),
        (
            "POST",
            "/portals/1/faults",
            json!({"kind": "html", "status": 99}),
            400,
            "status",
        ),
        (
            "POST",
            "/portals/1/faults",
            json!({"kind": "hang", "times": 0}),
            400,
            "times",
        ),
        (
            "POST",
            "/portals/1/faults",
            json!({"kind": "redirect", "location": "a\nb"}),
            400,
            "location",
        ),
        (
            "POST",
            "/portals/1/faults",
            json!({"kind": "raw", "headers": {"a b": "c"}}),
            400,
            "headers.a b",
        ),
        (
            "PATCH",
            "/portals/1/quirks",
            json!({"colour": 5}),
            400,
            "colour",
        ),
        (
            "PATCH",
            "/portals/1/quirks",
            json!({"time": "Y"}),
            400,
            "time",
        ),
        (
            "PATCH",
            "/portals/1/limits",
            json!({"threshold": -1}),
            400,
            "threshold",
        ),
        ("POST", "/portals", json!({"limits": "some"}), 400, "limits"),
        ("POST", "/portals", json!({"quirks": {"x": 1}}), 400, "x"),
        (
            "POST",
            "/portals",
            json!({"revision": [1, 2]}),
            400,
            "revision",
        ),
        ("POST", "/clock", json!({"scale": -1}), 400, "scale"),
        ("POST", "/clock", json!([1]), 400, ""),
        (
            "POST",
            "/portals/1/users/99/types",
            json!({"dialog": "1", "text": "x"}),
            409,
            "",
        ),
        ("GET", "/portals/1/messages", Value::Null, 400, "dialog"),
        ("GET", "/portals/7", Value::Null, 404, "portal"),
        ("GET", "/portals/1/bots/99", Value::Null, 404, "bot"),
        ("GET", "/nothing", Value::Null, 404, "path"),
        ("PUT", "/clock", Value::Null, 405, "method"),
    ] {
        let refused = driven.refused(verb, path, body).await;
        assert_eq!(refused, (status, field.to_owned()), "{verb} {path}");
    }
    let broken = driven
        .client
        .ask("POST", "/_sim/v1/clock", "", "{")
        .await
        .unwrap();
    assert_eq!(broken.status, 400);
    assert!(driven.control.address().starts_with("http://127.0.0.1:"));
}
