//! What a stream takes at once, and what a slow one gets.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::sleep;

use super::stage::{named, request};
use crate::scene::Scene;

#[tokio::test(start_paused = true)]
async fn a_stream_has_no_more_outstanding_than_it_asked_for() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_outstanding_events = 2;
    let mut stream = scene.subscribe(request(wish)).await;
    for number in 0..5 {
        let chat = scene.another_chat();
        scene.types_in(chat, &format!("/help {number}"));
    }
    let (first, second) = (stream.handed().await, stream.handed().await);
    stream.is_quiet().await;
    scene.acknowledge(&first).await;
    scene.acknowledge(&second).await;
    stream.handed().await;
    stream.handed().await;
    stream.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn bytes_bound_a_stream_too_and_an_event_beyond_them_comes_alone() {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.helper().await;
    let mut wish = named();
    wish.max_outstanding_bytes = 20_000;
    let mut stream = scene.subscribe(request(wish)).await;
    let large = "x".repeat(15_000);
    for number in 0..3 {
        let chat = scene.another_chat();
        scene.types_in(chat, &format!("/help {number}{large}"));
    }
    for _ in 0..3 {
        let handed = stream.handed().await;
        stream.is_quiet().await;
        scene.acknowledge(&handed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_gets_everything_afterwards() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    let mut typed = BTreeSet::new();
    for number in 0..150 {
        let chat = scene.another_chat();
        scene.types_in(chat, &format!("/help {number}"));
        typed.insert(number.to_string());
        sleep(Duration::from_secs(1)).await;
    }
    let mut seen = BTreeSet::new();
    for _ in 0..150 {
        let handed = stream.handed().await;
        assert_eq!(handed.attempt, 1);
        scene.acknowledge(&handed).await;
        seen.insert(handed.params());
    }
    assert_eq!(seen, typed);
}
