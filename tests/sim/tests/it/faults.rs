//! What can go wrong on the way.

use std::time::Duration;

use bitrix24_sim::Fault;
use serde_json::{Value, json};

use crate::world::{TOKEN, World};

fn register() -> Value {
    json!({"fields": {"code": "a", "botToken": TOKEN, "properties": {"name": "A"}}})
}

const METHOD: &str = "imbot.v2.Bot.register";

#[tokio::test(start_paused = true)]
async fn before_means_nothing_happened_and_after_means_everything_did() {
    for (fault, happened) in [
        (Fault::error(500, "INTERNAL_SERVER_ERROR", ""), false),
        (
            Fault::error(500, "INTERNAL_SERVER_ERROR", "").after_effect(),
            true,
        ),
        (Fault::html(502), false),
        (Fault::html(502).after_effect(), true),
    ] {
        let world = World::new().await;
        world.portal.faults().next(fault);
        let answer = world.call(METHOD, register()).await;
        assert!(answer.status >= 500);
        assert_eq!(world.portal.bots().len(), usize::from(happened));
        let request = &world.portal.journal().requests()[0];
        assert_eq!((request.executed, request.faulted), (happened, true));
        world.call("profile", json!({})).await.result();
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_connection_gives_no_answer() {
    for (fault, happened) in [
        (Fault::reset(), false),
        (Fault::reset().after_effect(), true),
    ] {
        let world = World::new().await;
        world.portal.faults().on(METHOD, fault);
        world.call("profile", json!({})).await.result();
        assert!(world.try_call(METHOD, register()).await.is_err());
        assert_eq!(world.portal.bots().len(), usize::from(happened));
        assert_eq!(world.portal.journal().calls(METHOD)[0].status, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_never_ends_but_may_have_happened() {
    for (fault, happened) in [(Fault::hang(), false), (Fault::hang().after_effect(), true)] {
        let world = World::new().await;
        world.portal.faults().next(fault);
        let call = world.try_call(METHOD, register());
        assert!(
            tokio::time::timeout(Duration::from_secs(3600), call)
                .await
                .is_err()
        );
        assert_eq!(world.portal.bots().len(), usize::from(happened));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_body_is_noticed_by_the_client() {
    let world = World::new().await;
    world.portal.faults().next(Fault::cut_body());
    assert!(world.try_call(METHOD, register()).await.is_err());
    assert_eq!(world.portal.bots().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dripping_answer_takes_its_time_and_is_whole() {
    let world = World::new().await;
    world
        .portal
        .faults()
        .next(Fault::drip(10, Duration::from_secs(1)));
    let start = tokio::time::Instant::now();
    let answer = world.call("profile", json!({})).await;
    assert_eq!(answer.result()["ID"], "1");
    assert!(start.elapsed() >= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn an_enormous_answer_is_as_long_as_asked() {
    let world = World::new().await;
    world.portal.faults().next(Fault::enormous(1_000_000));
    let answer = world.call("profile", json!({})).await;
    assert!(answer.raw.len() > 1_000_000);
    assert_eq!(answer.result()["ID"], "1");
}

#[tokio::test(start_paused = true)]
async fn a_moved_portal_answers_302_with_a_location() {
    let world = World::new().await;
    world
        .portal
        .faults()
        .next(Fault::redirect("https://new.example.com/rest/1/x/profile"));
    let answer = world.call("profile", json!({})).await;
    assert_eq!((answer.status, answer.raw.as_str()), (302, ""));
    let location = answer.location.unwrap();
    assert_eq!(location, "https://new.example.com/rest/1/x/profile");
}

#[tokio::test(start_paused = true)]
async fn an_effect_comes_even_when_the_client_left() {
    let world = World::new().await;
    world
        .portal
        .set_latency(Some(METHOD), Duration::from_secs(30));
    let call = world.try_call(METHOD, register());
    assert!(
        tokio::time::timeout(Duration::from_secs(10), call)
            .await
            .is_err()
    );
    assert!(world.portal.bots().is_empty());
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(world.portal.bots().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn latency_delays_the_effect_or_the_answer_alone() {
    let world = World::new().await;
    world
        .portal
        .faults()
        .next(Fault::latency(Duration::from_secs(30)).after_effect());
    let call = world.try_call(METHOD, register());
    assert!(
        tokio::time::timeout(Duration::from_secs(10), call)
            .await
            .is_err()
    );
    assert_eq!(world.portal.bots().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fault_happens_as_often_as_asked() {
    let world = World::new().await;
    world.portal.faults().on(
        "PROFILE",
        Fault::error(503, "QUERY_LIMIT_EXCEEDED", "").times(2),
    );
    for expected in [503, 503, 200] {
        assert_eq!(world.call("profile", json!({})).await.status, expected);
    }
    world.portal.faults().next(Fault::html(500).always());
    for _ in 0..5 {
        assert_eq!(world.call("profile", json!({})).await.status, 500);
    }
    world.portal.faults().clear();
    world.call("profile", json!({})).await.result();
}
