//! The page for people: who may ask it, what it is told, and what it never shows.

mod seen;

use std::time::Duration;

use bitrix24_sim::{ChangeDelivery, UserConfig};
use serde_json::{Value, json};
use tokio::time::timeout;

use self::seen::Seen;
use crate::world::TOKEN;

#[tokio::test]
async fn page_and_its_parts_come_with_a_policy_that_lets_nothing_else_in() {
    let seen = Seen::new().await;
    let host = seen.host();
    for (path, media) in [
        ("/", "text/html"),
        ("/script.js", "text/javascript"),
        ("/style.css", "text/css"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = seen.send("GET", path, &[("host", &host)], "").await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), 200);
        assert!(header("content-type").starts_with(media), "{path}");
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe") && header("x-content-type-options") == "nosniff");
        // No script and no style in the page itself, and nothing from elsewhere.
        let text = String::from_utf8(answer.into_body().to_vec()).unwrap();
        if path == "/" {
            assert_eq!(text.matches("<script").count(), 1);
            assert!(
                ["style=", "onclick=", "onload=", "onsubmit=", "://"]
                    .iter()
                    .all(|part| !text.contains(part)),
                "{text}"
            );
        }
        if path == "/script.js" {
            assert!(!text.contains("innerHTML") && !text.contains("eval("));
        }
    }
}

#[tokio::test]
async fn other_names_and_other_origins_are_refused_before_anything_happens() {
    let seen = Seen::new().await;
    let host = seen.host();
    let own = format!("http://{host}");
    let path = format!("/api/users/{}/types", seen.world.anna);
    let body = json!({"dialog": seen.world.chat.dialog_id(), "text": "from elsewhere"}).to_string();
    let json = ("content-type", "application/json");
    for (headers, status) in [
        (
            vec![("host", "evil.test"), ("origin", "http://evil.test"), json],
            421,
        ),
        (
            vec![("host", &*host), ("origin", "http://evil.test"), json],
            403,
        ),
        (vec![("host", &*host), ("origin", "null"), json], 403),
        (vec![("host", &*host), json], 403),
        (
            vec![
                ("host", &*host),
                ("origin", &*own),
                json,
                ("sec-fetch-site", "cross-site"),
            ],
            403,
        ),
        (
            vec![
                ("host", &*host),
                ("origin", &*own),
                ("content-type", "text/plain"),
            ],
            415,
        ),
    ] {
        let answer = seen.send("POST", &path, &headers, body.clone()).await;
        assert_eq!(answer.status(), status, "{headers:?}");
        assert!(
            answer
                .headers()
                .get("access-control-allow-origin")
                .is_none()
        );
    }
    assert!(
        seen.world
            .portal
            .messages(&seen.world.chat.dialog_id())
            .is_empty()
    );
    let answer = seen
        .send("GET", "/events", &[("host", "evil.test")], "")
        .await;
    assert_eq!(answer.status(), 421);
}

#[tokio::test]
async fn what_happens_in_a_dialog_is_pushed() {
    let seen = Seen::new().await;
    let world = &seen.world;
    let bot = world.bot("helper").await;
    let titles =
        json!({"title": {"en": "Show help", "de": "Hilfe zeigen"}, "params": {"de": "Thema"}});
    world.command(bot, "help", titles).await;
    world
        .portal
        .add_bot_to_chat(bot, world.chat.id, world.anna)
        .unwrap();
    let dialog = world.chat.dialog_id();
    let mut pushes = seen.watch(world.anna, &dialog).await;
    let (commands, level) = pushes
        .until(|push| Some((push["world"]["commands"].clone(), push["level"].clone())))
        .await;
    assert_eq!(commands[0]["name"], "help");
    assert_eq!(
        (&commands[0]["title"], &commands[0]["hint"]),
        (&json!("Hilfe zeigen"), &json!("Thema"))
    );
    assert_eq!(level["threshold"], json!(null));

    let act = |verb: &str| format!("/api/users/{}/{verb}", world.anna);
    let text = json!({"dialog": dialog, "text": "[b]hello[/b] /x"});
    let (status, answer) = seen.ask("POST", &act("types"), &text).await;
    assert_eq!(status, 200, "{answer}");
    let id = answer["message_id"].as_i64().unwrap();
    let message = pushes.message(id).await;
    assert_eq!(
        message["text"][0],
        json!({"is": "bold", "inside": [{"is": "text", "text": "hello"}]})
    );
    assert_eq!(
        (&message["mine"], &message["source"]),
        (&json!(true), &text["text"])
    );

    let like = json!({"message_id": id, "reaction": "like"});
    seen.ask("POST", &act("reacts"), &like).await;
    let message = pushes.message(id).await;
    assert_eq!(message["reactions"][0]["mine"], true);
    let edit = json!({"message_id": id, "text": "new"});
    seen.ask("POST", &act("edits"), &edit).await;
    let message = pushes.message(id).await;
    assert_eq!(
        (&message["edited"], &message["text"][0]["text"]),
        (&json!(true), &json!("new"))
    );

    world
        .portal
        .user(world.anna)
        .types(&dialog, "/help me")
        .unwrap();
    let told = pushes
        .until(|push| {
            let mut story = push["story"].as_array()?.iter();
            story.find_map(|entry| {
                entry["text"]
                    .as_str()
                    .filter(|text| text.contains("/help me →"))
                    .map(str::to_owned)
            })
        })
        .await;
    assert!(told.contains("textarea"), "{told}");
    let window = pushes
        .until(|push| push["level"]["windows"][0]["left"].as_u64())
        .await;
    assert!((590..=600).contains(&window), "{window}");
    let action =
        json!({"dialogId": dialog, "statusMessageCode": "IMBOT_AGENT_ACTION_READING_DOCS"});
    world
        .of_bot("imbot.v2.Chat.InputAction.notify", bot, action)
        .await;
    let busy = |push: &Value| push["level"]["busy"].as_object().cloned();
    assert_eq!(pushes.until(busy).await["doing"], "reading docs");
    // Ten minutes pass, and it is over.
    seen.ask("POST", "/api/clock", &json!({"advance_ms": 600_000}))
        .await;
    let over = |push: &Value| {
        push["level"]["windows"][0]["left"]
            .as_u64()
            .filter(|left| *left == 0)
    };
    assert_eq!(pushes.until(over).await, 0);
}

#[tokio::test]
async fn calls_are_told_with_their_batch_and_without_their_secrets() {
    let seen = Seen::new().await;
    let bot = seen.world.bot("helper").await;
    let command = format!("imbot.v2.Event.get?botId={bot}&botToken={TOKEN}");
    let batch = json!({"halt": 0, "cmd": {"a": command, "b": "profile"}});
    seen.world.call("batch", batch).await;
    let mut pushes = seen.watch(seen.world.anna, "").await;
    let story = pushes.until(|push| push["story"].as_array().cloned()).await;
    let calls: Vec<&Value> = story.iter().filter(|entry| entry["is"] == "call").collect();
    let outer = calls.iter().find(|call| call["carries"].is_u64()).unwrap();
    let inner = calls
        .iter()
        .filter(|call| call["batch"] == outer["carries"]);
    let methods: Vec<_> = inner.map(|call| call["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["imbot.v2.Event.get", "profile"]);
    let of = |method: &str| calls.iter().find(|call| call["method"] == method).unwrap();
    assert_eq!(
        (&of("imbot.v2.Event.get")["quiet"], &of("profile")["quiet"]),
        (&json!(true), &json!(false))
    );

    for call in &calls {
        let path = format!("/api/story/{}", call["id"].as_str().unwrap());
        let (status, detail) = seen.ask("GET", &path, &Value::Null).await;
        assert_eq!(status, 200);
        let shown = detail.to_string();
        assert!(shown.contains("asked") && !shown.contains(TOKEN), "{shown}");
    }
    assert_eq!(
        seen.ask("GET", "/api/story/call-99999", &Value::Null)
            .await
            .0,
        404
    );
    assert_eq!(seen.ask("GET", "/api/story/x", &Value::Null).await.0, 404);
}

#[tokio::test]
async fn page_may_use_people_and_switches_and_nothing_that_tells_secrets() {
    let seen = Seen::new().await;
    let fault = json!({"kind": "reset"});
    let (status, answer) = seen.ask("POST", "/api/faults", &fault).await;
    assert_eq!((status, &answer["waiting"]), (200, &json!(1)));
    let (_, answer) = seen.ask("DELETE", "/api/faults", &json!({})).await;
    assert_eq!(answer["waiting"], 0);
    let (_, limits) = seen
        .ask("PATCH", "/api/limits", &json!({"threshold": 5}))
        .await;
    assert_eq!(limits["threshold"], 5);
    for path in [
        "/api/webhooks",
        "/api/applications",
        "/api/bots",
        "/api/journal",
        "/_sim/v1/",
        "/api/",
        "/x",
    ] {
        assert_eq!(seen.ask("GET", path, &Value::Null).await.0, 404, "{path}");
    }
    let wrong = json!({"dialog": "chat1", "text": "x"});
    let (status, answer) = seen
        .ask(
            "POST",
            &format!("/api/users/{}/types", seen.world.anna),
            &wrong,
        )
        .await;
    assert_eq!(status, 409);
    assert!(
        answer["error"]["rule"].as_str().unwrap().contains("chat1"),
        "{answer}"
    );
    let large = "x".repeat(600 << 10);
    let (status, _) = seen
        .ask(
            "POST",
            &format!("/api/users/{}/types", seen.world.anna),
            &json!({"text": large}),
        )
        .await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn delivery_is_changed_by_whoever_offers_it() {
    let alone = Seen::new().await;
    let change = json!({"code": "helper", "mode": "webhook"});
    assert_eq!(alone.ask("POST", "/api/delivery", &change).await.0, 404);
    assert_eq!(
        alone.ask("GET", "/api/options", &Value::Null).await.1["changes_delivery"],
        false
    );

    let delivery = ChangeDelivery::new(|code, mode| async move {
        match code.as_str() {
            "helper" => Ok(()),
            _ => Err(format!("no {code} for {mode}")),
        }
    });
    let seen = Seen::with(Some(delivery)).await;
    assert_eq!(seen.ask("POST", "/api/delivery", &change).await.0, 200);
    let (status, answer) = seen
        .ask(
            "POST",
            "/api/delivery",
            &json!({"code": "x", "mode": "fetch"}),
        )
        .await;
    assert_eq!(
        (status, &answer["error"]["rule"]),
        (409, &json!("no x for fetch"))
    );
    for wrong in [json!({}), json!({"code": "x", "mode": "y"}), json!([])] {
        assert_eq!(
            seen.ask("POST", "/api/delivery", &wrong).await.0,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn names_lose_what_acts_on_the_text_around_them() {
    let seen = Seen::new().await;
    let name = UserConfig::named("\u{202e}<script>alert(1)</script>", "\u{0}Ж");
    let user = seen.world.portal.add_user(name);
    let mut pushes = seen.watch(user, "").await;
    let people = pushes
        .until(|push| push["world"]["people"].as_array().cloned())
        .await;
    let shown = people.iter().find(|person| person["id"] == user).unwrap();
    assert_eq!(shown["name"], "<script>alert(1)</script> Ж");
}

#[tokio::test]
async fn page_on_a_taken_address_is_told_so_and_one_that_is_closed_is_free_again() {
    let seen = Seen::new().await;
    let address = seen.host().parse().unwrap();
    let again = seen
        .world
        .sim
        .open_chat(&seen.world.portal, address, None)
        .await;
    assert!(again.unwrap_err().to_string().contains(&seen.host()));
    let Seen { world, page, .. } = seen;
    drop(page);
    let freed = async {
        while world
            .sim
            .open_chat(&world.portal, address, None)
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), freed)
        .await
        .expect("the address is free again");
}
