//! Who watches portals sees those that it may see now.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, watch_portals_response::Item};
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use super::{caller, denied, manager};
use crate::scene::{FILE, Scene, told};

async fn next(stream: &mut Streaming<pb::WatchPortalsResponse>) -> Result<Item, Status> {
    let next = timeout(Duration::from_secs(120), stream.message());
    let response = next.await.expect("the stream goes on")?;
    Ok(response.unwrap().item.unwrap())
}

/// The portals that the stream begins with, whatever heartbeats come before.
async fn begin(stream: &mut Streaming<pb::WatchPortalsResponse>) -> Vec<String> {
    let begin = loop {
        match next(stream).await.unwrap() {
            Item::Begin(begin) => break begin,
            Item::Heartbeat(_) => {}
            Item::Change(change) => panic!("{change:?}"),
        }
    };
    assert!(!begin.resumed);
    let mut there = Vec::new();
    for _ in 0..begin.portals {
        match next(stream).await.unwrap() {
            Item::Change(change) => there.push(change.portal),
            other => panic!("{other:?}"),
        }
    }
    there
}

#[tokio::test(start_paused = true)]
async fn stream_begins_anew_when_the_caller_may_see_others_and_ends_when_it_may_not_watch() {
    let beta = "\n[portals.beta]\nwebhook_url = \"https://127.0.0.1:1/rest/1/x/\"\n";
    let file = |grants: &str| format!("{}{}{beta}", manager("boss"), caller("one", grants));
    let change = async |scene: &Scene, grants: &str| {
        std::fs::write(scene.folder().join(FILE), file(grants)).unwrap();
        sleep(Duration::from_secs(6)).await;
    };
    let one = "portals = [\"beta\"]\nrpcs = [\"read\"]";
    let scene = Scene::configured(|_| file(one)).await;
    let mut portals = scene.portals_of("one");
    let request = pb::WatchPortalsRequest::default();
    let stream = portals.watch_portals(request.clone()).await.unwrap();
    let mut stream = stream.into_inner();
    assert_eq!(begin(&mut stream).await, ["beta"]);
    let other = pb::WatchPortalsRequest {
        portal: "default".to_owned(),
        ..request
    };
    let status = portals.watch_portals(other).await.unwrap_err();
    assert_eq!(told(&status), denied());
    change(&scene, "portals = [\"*\"]\nrpcs = [\"read\"]").await;
    assert_eq!(begin(&mut stream).await, ["beta", "default"]);
    change(&scene, one).await;
    assert_eq!(begin(&mut stream).await, ["beta"]);
    change(&scene, "portals = [\"*\"]\nrpcs = [\"answer\"]").await;
    let status = loop {
        if let Err(status) = next(&mut stream).await {
            break status;
        }
    };
    assert_eq!(told(&status), denied());
}
