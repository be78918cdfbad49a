//! One event of a dialog at a time, and no dialog waits for another.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::stage::{named, request};
use crate::scene::Scene;

#[tokio::test(start_paused = true)]
async fn events_of_a_dialog_come_one_after_the_other_whatever_stream_they_go_to() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let (mut first, mut second) = (scene.work().await, scene.work().await);
    for text in ["one", "two", "three"] {
        scene.anna_types(&format!("/help {text}"));
        sleep(Duration::from_millis(100)).await;
    }
    for text in ["one", "two", "three"] {
        let handed = tokio::select! {
            handed = first.handed() => handed,
            handed = second.handed() => handed,
        };
        assert_eq!(handed.params(), text);
        let early = async {
            tokio::select! {
                handed = first.handed() => handed,
                handed = second.handed() => handed,
            }
        };
        let early = timeout(Duration::from_secs(20), early).await;
        assert!(early.is_err(), "{early:?} before {text} was done");
        scene.acknowledge(&handed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn order_holds_across_a_restart() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut stream = scene.work().await;
    for text in ["one", "two", "three"] {
        scene.anna_types(&format!("/help {text}"));
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(stream.handed().await.params(), "one");
    sleep(Duration::from_secs(20)).await;
    scene.crash_at_rest().await;
    let mut stream = scene.work().await;
    for text in ["one", "two", "three"] {
        let handed = stream.handed().await;
        assert_eq!(handed.params(), text);
        scene.acknowledge(&handed).await;
    }
    stream.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_and_a_slow_handler_leave_other_dialogs_as_fast_as_ever() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let (poison, slow, other) = (
        scene.another_chat(),
        scene.another_chat(),
        scene.another_chat(),
    );
    let mut stream = scene.work().await;
    scene.types_in(poison, "/help poison");
    scene.types_in(slow, "/help slow");
    for _ in 0..2 {
        let handed = stream.handed().await;
        if handed.params() == "poison" {
            scene.extend(&handed, 0).await;
        }
    }
    // The pace of fetching is what a command takes to arrive.
    for _ in 0..10 {
        let typed = Instant::now();
        scene.types_in(other, "/help quick");
        loop {
            let handed = stream.handed().await;
            match &*handed.params() {
                "poison" => drop(scene.extend(&handed, 0).await),
                "quick" => {
                    scene.acknowledge(&handed).await;
                    break;
                }
                other => panic!("{other} came again"),
            }
        }
        assert!(
            typed.elapsed() < Duration::from_millis(1500),
            "{:?}",
            typed.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_dialog_that_stands_still_lets_others_pass_whatever_waits_in_it() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let mut wish = named();
    wish.max_outstanding_events = 2;
    let mut stream = scene.subscribe(request(wish)).await;
    let other = scene.another_chat();
    for number in 0..50 {
        scene.anna_types(&format!("/help {number}"));
    }
    let first = stream.handed().await;
    assert_eq!(first.params(), "0");
    scene.types_in(other, "/help other");
    let second = stream.handed().await;
    assert_eq!(second.params(), "other");
    sleep(Duration::from_secs(5)).await;
    let standing = scene.standing().await;
    assert_eq!((standing.outstanding, standing.waiting), (2, 49));
    stream.is_quiet().await;
    scene.acknowledge(&first).await;
    assert_eq!(stream.handed().await.params(), "1");
}
