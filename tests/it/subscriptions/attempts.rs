//! What is not done comes again.

use std::{collections::BTreeSet, time::Duration};

use bitrix24_sim::Fault;
use tokio::time::sleep;

use super::stage::{Handed, named, request, seconds};
use crate::scene::Scene;

#[tokio::test(start_paused = true)]
async fn each_event_goes_to_one_of_the_streams() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let (mut first, mut second) = (scene.work().await, scene.work().await);
    for text in ["one", "two", "three", "four"] {
        let chat = scene.another_chat();
        scene.types_in(chat, &format!("/help {text}"));
    }
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        seen.insert(first.handed().await.params());
        seen.insert(second.handed().await.params());
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    first.is_quiet().await;
    second.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_leaves_undone_goes_to_another_at_once_and_what_is_done_does_not() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut first = scene.work().await;
    let (a, b) = (scene.another_chat(), scene.another_chat());
    scene.types_in(a, "/help done");
    scene.types_in(b, "/help left");
    let mut handed = [first.handed().await, first.handed().await];
    handed.sort_by_key(Handed::params);
    assert_eq!((handed[0].attempt, handed[1].attempt), (1, 1));
    scene.acknowledge(&handed[0]).await;
    let mut second = scene.work().await;
    drop(first);
    let again = second.handed().await;
    assert_eq!((again.params(), again.attempt), ("left".to_owned(), 2));
    assert_eq!(again.event.event_id, handed[1].event.event_id);
    assert_ne!(again.ack_id, handed[1].ack_id);
    // That of the first handing-out says as well that it was handled.
    scene.acknowledge(&handed[1]).await;
    scene.acknowledge(&handed[1]).await;
    drop(second);
    scene.work().await.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn restart_and_crash_lose_nothing_and_hand_out_nothing_that_is_done() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    for text in ["one", "two"] {
        let chat = scene.another_chat();
        scene.types_in(chat, &format!("/help {text}"));
    }
    let mut both = [stream.handed().await, stream.handed().await];
    both.sort_by_key(Handed::params);
    scene.acknowledge(&both[0]).await;
    scene.restart().await;
    let mut stream = scene.work().await;
    let again = stream.handed().await;
    assert_eq!((again.params(), again.attempt), ("two".to_owned(), 2));
    scene.crash_at_rest().await;
    let mut stream = scene.work().await;
    let again = stream.handed().await;
    assert_eq!((again.params(), again.attempt), ("two".to_owned(), 3));
    stream.is_quiet().await;
    assert_eq!(scene.set_aside().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_takes_too_long_comes_again_and_an_extended_one_does_not() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_processing = seconds(30);
    let mut stream = scene.subscribe(request(wish)).await;
    scene.anna_types("/help");
    let handed = stream.handed().await;
    assert_eq!(scene.extend(&handed, 300).await, Vec::<String>::new());
    sleep(Duration::from_secs(200)).await;
    assert_eq!(scene.standing().await.outstanding, 1);
    let again = stream.handed().await;
    assert_eq!(again.attempt, 2);
    assert_eq!(
        scene.extend(&handed, 300).await,
        [handed.ack_id],
        "the first handing-out is over"
    );
    let third = stream.handed().await;
    assert_eq!(third.attempt, 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_comes_again_after_a_pause_that_grows() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    scene.anna_types("/help");
    let mut pauses = Vec::new();
    let mut handed = stream.handed().await;
    for _ in 0..4 {
        let given_back = tokio::time::Instant::now();
        scene.extend(&handed, 0).await;
        handed = stream.handed().await;
        pauses.push(given_back.elapsed().as_secs());
    }
    assert_eq!(pauses, [0, 1, 2, 4]);
    assert_eq!(handed.attempt, 5);
}

#[tokio::test(start_paused = true)]
async fn attempts_do_not_count_while_the_portal_is_not_well() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_attempts = 2;
    wish.max_age = seconds(3600);
    let mut stream = scene.subscribe(request(wish)).await;
    scene.anna_types("/help");
    let mut handed = stream.handed().await;
    scene.portal.faults().next(Fault::html(503).always());
    super::stage::until_not_well(&scene).await;
    for attempt in 2..10 {
        scene.extend(&handed, 0).await;
        handed = stream.handed().await;
        assert_eq!(handed.attempt, attempt);
    }
    assert_eq!(scene.set_aside().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_new_subscription_begins_ten_minutes_back() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    scene.anna_types("/help long ago");
    sleep(Duration::from_secs(11 * 60)).await;
    scene.anna_types("/help lately");
    sleep(Duration::from_secs(60)).await;
    let mut stream = scene.work().await;
    assert_eq!(stream.handed().await.params(), "lately");
    stream.is_quiet().await;
    assert_eq!(scene.standing().await.expired, 0);
}
