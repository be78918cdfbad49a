//! Trouble while events are fetched: none is lost, and one that cannot be read stops no other.

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use serde_json::{Value, json};

use crate::scene::{Scene, number, until};

const FETCH: &str = "imbot.v2.Event.get";

fn page(events: &[Value], next_offset: Value) -> Fault {
    let body = json!({"result": {"events": events, "nextOffset": next_offset, "hasMore": false}});
    Fault::raw(
        200,
        &[("content-type", "application/json")],
        body.to_string(),
    )
}

/// A command as the portal tells it, numbered anew and with other parameters.
fn like(event: &Value, id: i64, params: &str) -> Value {
    let mut event = event.clone();
    event["eventId"] = id.into();
    event["data"]["command"]["params"] = params.into();
    event
}

/// The last event that was fetched, as it came.
fn last_fetched(scene: &Scene) -> Value {
    let fetched = scene.portal.journal().calls(FETCH).into_iter().rev();
    let mut events = fetched.filter_map(|request| {
        request.answer["result"]["events"]
            .as_array()?
            .last()
            .cloned()
    });
    events.next().expect("an event was fetched")
}

fn last_offset(scene: &Scene) -> Value {
    let last = scene
        .portal
        .journal()
        .calls(FETCH)
        .pop()
        .expect("events were fetched");
    last.params["offset"].clone()
}

#[tokio::test(start_paused = true)]
async fn malformed_event_stops_no_other_and_is_not_asked_for_again() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help first");
    assert_eq!(stream.params().await, "first");

    let event = last_fetched(&scene);
    let id = event["eventId"]
        .as_i64()
        .or_else(|| event["eventId"].as_str()?.parse().ok())
        .unwrap();
    let without = |member: &str, id: i64| {
        let mut event = like(&event, id, &format!("without {member}"));
        event["data"].as_object_mut().unwrap().remove(member);
        event
    };
    let events = [
        json!("text"),
        json!(null),
        json!({}),
        json!({"eventId": id + 10}),
        json!({"eventId": id + 11, "type": 7, "data": []}),
        json!({"eventId": id + 12, "type": "ONIMBOTV2COMMANDADD", "data": "text"}),
        without("command", id + 13),
        without("message", id + 14),
        like(&event, id + 15, "second"),
        json!({"eventId": {}, "type": "ONIMBOTV2COMMANDADD"}),
        json!([[], {}]),
        like(&event, id + 16, "third"),
        json!({"eventId": id + 17, "type": "ONIMBOTV2COMMANDADD", "data": {"command": {"id": []}}}),
    ];
    scene
        .portal
        .faults()
        .on(FETCH, page(&events, (id + 18).into()));
    // It cannot be answered, but it can be seen.
    assert_eq!(stream.params().await, "without message");
    assert_eq!(stream.params().await, "second");
    assert_eq!(stream.params().await, "third");
    until("the whole page is acknowledged", || {
        last_offset(&scene) == json!(id + 18)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn page_of_nothing_readable_is_left_behind() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    scene.anna_types("/help first");
    assert_eq!(stream.params().await, "first");
    let next = number(&last_fetched(&scene)["eventId"]).unwrap() + 1;
    scene
        .portal
        .faults()
        .on(FETCH, page(&[json!("text"), json!(17)], next.into()));
    until("the page was fetched", || {
        scene.portal.faults().waiting() == 0
    })
    .await;
    scene.anna_types("/help second");
    assert_eq!(stream.params().await, "second");
}

#[tokio::test(start_paused = true)]
async fn senseless_answer_to_a_fetch_loses_nothing() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene
        .subscribe(pb::SubscribeCommandEventsRequest::default())
        .await;
    let json = |body: &str| Fault::raw(200, &[("content-type", "application/json")], body);
    let faults = [
        ("result 5", json(r#"{"result": 5}"#)),
        ("result true", json(r#"{"result": true}"#)),
        ("empty result", json(r#"{"result": {}}"#)),
        (
            "events of text",
            json(r#"{"result": {"events": "x", "nextOffset": 999999}}"#),
        ),
        (
            "events of 5",
            json(r#"{"result": {"events": 5, "nextOffset": 999999}}"#),
        ),
        (
            "offset beyond",
            json(r#"{"result": {"events": [], "nextOffset": 999999999}}"#),
        ),
        ("no JSON", json("{")),
        ("empty", json("")),
        ("page", Fault::html(502)),
        ("reset", Fault::reset()),
        ("reset after", Fault::reset().after_effect()),
        ("cut", Fault::cut_body()),
        ("silence", Fault::hang()),
        ("too large", Fault::enormous(9 << 20)),
        ("throttled", Fault::error(503, "QUERY_LIMIT_EXCEEDED", "x")),
        ("overloaded", Fault::error(503, "OVERLOAD_LIMIT", "x")),
        ("core", Fault::error(400, "ERROR_CORE", "x")),
    ];
    for (name, fault) in faults {
        let fault = fault.times(2);
        scene.portal.faults().on(FETCH, fault);
        scene.anna_types(&format!("/help {name}"));
        assert_eq!(stream.params().await, name);
        assert_eq!(scene.portal.faults().waiting(), 0, "{name}");
    }
    // Other fetches went on as if nothing had been.
    let bots = scene
        .bots
        .list_bots(pb::ListBotsRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(bots.bots[0].status(), pb::BotStatus::Active);
}
