//! What a stream takes at once, and what a slow one gets.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bitrix24_gateway::proto::v1 as pb;
use tokio::time::sleep;

use super::stage::{named, request, seconds};
use crate::scene::{Scene, command_added};

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
async fn a_reader_that_stalls_an_hour_gets_everything_afterwards_and_nothing_is_set_aside() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_age = seconds(4 * 3600);
    wish.max_processing = seconds(60);
    let mut stream = scene.subscribe(request(wish)).await;
    let mut typed = BTreeSet::new();
    // Far more than lies on the way to a client that does not read.
    let long = "x".repeat(15_000);
    for number in 0..300 {
        let chat = scene.another_chat();
        let text = format!("{number} {long}");
        scene.types_in(chat, &format!("/help {text}"));
        typed.insert(text);
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(scene.set_aside().await, []);
    let mut seen = BTreeSet::new();
    while seen.len() < typed.len() {
        let handed = stream.handed().await;
        scene.acknowledge(&handed).await;
        seen.insert(handed.params());
    }
    assert_eq!(seen, typed);
    assert_eq!(scene.set_aside().await, []);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_events_that_wait_are_handed_out_in_the_order_of_their_dialogs() {
    const CHATS: usize = 100;
    const EACH: usize = 100;
    let mut scene = Scene::start().await;
    scene.helper().await;
    let chats: Vec<_> = (0..CHATS).map(|_| scene.another_chat()).collect();
    let mut wish = named();
    wish.max_age = seconds(4 * 3600);
    let reader = scene.subscribe(request(wish.clone())).await;
    drop(reader);
    for number in 0..EACH {
        for chat in &chats {
            scene.types_in(*chat, &format!("/help {number}"));
        }
    }
    // Pages of a backlog are two seconds apart.
    sleep(Duration::from_secs(120)).await;
    let mut stream = scene.subscribe(request(wish)).await;
    let mut came: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..EACH {
        let mut acks = Vec::new();
        for _ in 0..CHATS {
            let handed = stream.handed().await;
            let dialog = command_added(&handed.event).chat.unwrap().dialog_id;
            let number = came.entry(dialog).or_default();
            assert_eq!(handed.params(), number.to_string());
            *number += 1;
            acks.push(handed.ack_id);
        }
        let acks = pb::AcknowledgeEventsRequest { ack_ids: acks };
        scene.events().acknowledge_events(acks).await.unwrap();
    }
    assert!(came.values().all(|number| *number == EACH) && came.len() == CHATS);
    assert_eq!(scene.set_aside().await, []);
}
