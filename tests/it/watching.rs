//! What becomes of portals is streamed.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{
    self as pb, PortalChangeKind as Kind, PortalState, portal_service_client::PortalServiceClient,
    watch_portals_response::Item,
};
use bitrix24_sim::Fault;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::{
    oauth::stage::say,
    scene::{Scene, broken_fields, failure, told},
};

/// A stream of changes.
pub(crate) struct Watching(Streaming<pb::WatchPortalsResponse>);

impl Watching {
    pub(crate) async fn open(channel: Channel, after_cursor: &str) -> Self {
        let request = pb::WatchPortalsRequest {
            after_cursor: after_cursor.to_owned(),
            ..pb::WatchPortalsRequest::default()
        };
        let mut portals = PortalServiceClient::new(channel);
        Self(portals.watch_portals(request).await.unwrap().into_inner())
    }

    pub(crate) async fn next(&mut self) -> Result<(String, Item), Status> {
        let next = timeout(Duration::from_secs(120), self.0.message());
        let response = next.await.expect("the stream goes on")?;
        let response = response.expect("streams never end with OK");
        Ok((response.cursor, response.item.expect("an item")))
    }

    /// How the stream begins: whether it goes on, and the portals that are there.
    pub(crate) async fn begin(&mut self) -> (bool, Vec<String>, String) {
        let (mut cursor, item) = self.next().await.unwrap();
        let Item::Begin(begin) = item else {
            panic!("not the beginning: {item:?}");
        };
        let mut there = Vec::new();
        for _ in 0..begin.portals {
            assert_eq!(cursor, "", "nobody can go on in the middle");
            let (next, item) = self.next().await.unwrap();
            cursor = next;
            let Item::Change(change) = item else {
                panic!("not a portal: {item:?}");
            };
            assert_eq!(change.kinds().collect::<Vec<_>>(), [Kind::Present]);
            assert_eq!(change.now.unwrap().portal, change.portal);
            there.push(change.portal);
        }
        assert_ne!(cursor, "");
        (begin.resumed, there, cursor)
    }

    /// The next change, whatever heartbeats come before.
    pub(crate) async fn change(&mut self) -> (String, Vec<Kind>, pb::PortalChange) {
        loop {
            match self.next().await.unwrap() {
                (cursor, Item::Change(change)) => {
                    return (cursor, change.kinds().collect(), *change);
                }
                (_, Item::Heartbeat(_)) => {}
                (_, begin @ Item::Begin(_)) => panic!("begins anew: {begin:?}"),
            }
        }
    }
}

async fn started() -> Scene {
    let mut scene = Scene::start().await;
    scene.helper().await;
    say(&scene, "hello").await.unwrap();
    scene
}

fn state(change: &pb::PortalChange) -> PortalState {
    change.now.as_ref().unwrap().state()
}

#[tokio::test(start_paused = true)]
async fn stream_begins_with_every_portal_and_goes_on_with_changes() {
    let scene = started().await;
    let calls = scene.calls().len();
    let mut watching = Watching::open(scene.channel(), "").await;
    let (resumed, there, _) = watching.begin().await;
    assert_eq!((resumed, there), (false, vec!["default".to_owned()]));
    // Nothing happens: heartbeats only, and no call for them.
    for _ in 0..3 {
        let (cursor, item) = watching.next().await.unwrap();
        let Item::Heartbeat(heartbeat) = item else {
            panic!("not a heartbeat: {item:?}");
        };
        assert_ne!(cursor, "");
        assert_eq!(heartbeat.portals.len(), 1);
    }
    assert_eq!(scene.calls().len(), calls);
    let refusal = Fault::error(401, "OVERLOAD_LIMIT", "blocked").always();
    scene.portal.faults().next(refusal);
    let (_, kinds, change) = watching.change().await;
    assert_eq!(kinds, [Kind::StateChanged]);
    assert_eq!(state(&change), PortalState::Parked);
    assert_eq!(change.now.unwrap().reason, "PORTAL_PARKED");
    scene.portal.faults().clear();
    let (_, kinds, change) = watching.change().await;
    assert_eq!(kinds, [Kind::StateChanged]);
    assert_eq!(state(&change), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_is_told_the_newest_of_what_changed_since() {
    let mut scene = started().await;
    let mut watching = Watching::open(scene.channel(), "").await;
    let (_, _, cursor) = watching.begin().await;
    // Nothing changed since.
    let mut again = Watching::open(scene.channel(), &cursor).await;
    assert!(again.begin().await.0);
    assert!(matches!(again.next().await, Ok((_, Item::Heartbeat(_)))));
    for _ in 0..3 {
        let refusal = Fault::error(401, "OVERLOAD_LIMIT", "blocked").always();
        scene.portal.faults().next(refusal);
        watching.change().await;
        scene.portal.faults().clear();
        watching.change().await;
    }
    let mut again = Watching::open(scene.channel(), &cursor).await;
    let (resumed, there, _) = again.begin().await;
    assert!(resumed && there.is_empty());
    let (newest, kinds, change) = again.change().await;
    assert_eq!(kinds, [Kind::StateChanged]);
    assert_eq!(state(&change), PortalState::Ok);
    let next = again.next().await.unwrap();
    assert!(matches!(next, (_, Item::Heartbeat(_))), "{next:?}");
    // Another process knows nothing of it.
    scene.restart().await;
    let mut again = Watching::open(scene.channel(), &newest).await;
    let (resumed, there, _) = again.begin().await;
    assert_eq!((resumed, there), (false, vec!["default".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn stream_ends_when_the_gateway_stops() {
    let mut scene = started().await;
    let mut watching = Watching::open(scene.channel(), "").await;
    watching.begin().await;
    scene.stop().await;
    let ended = loop {
        if let Err(status) = watching.next().await {
            break status;
        }
    };
    assert_eq!(
        told(&ended),
        failure(Code::Unavailable, "GATEWAY_STOPPING", "no")
    );
}

#[tokio::test(start_paused = true)]
async fn stream_of_one_portal_and_wrong_wishes() {
    let settings = [
        ("portals.beta.webhook_url", "https://127.0.0.1:1/rest/1/x/"),
        ("outbound.private_addresses", "true"),
    ];
    let scene = Scene::with(&settings).await;
    let mut portals = PortalServiceClient::new(scene.channel());
    let request = pb::WatchPortalsRequest {
        portal: "beta".to_owned(),
        heartbeat_interval: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..pb::WatchPortalsRequest::default()
    };
    let stream = portals.watch_portals(request.clone()).await.unwrap();
    let mut watching = Watching(stream.into_inner());
    assert_eq!(watching.begin().await.1, ["beta"]);
    let before = tokio::time::Instant::now();
    watching.next().await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(2));
    let wrong = pb::WatchPortalsRequest {
        portal: "NO SUCH".to_owned(),
        after_cursor: "elsewhere".to_owned(),
        heartbeat_interval: Some(prost_types::Duration {
            seconds: 61,
            nanos: 0,
        }),
    };
    let status = portals.watch_portals(wrong).await.unwrap_err();
    assert_eq!(
        broken_fields(&status),
        ["portal", "after_cursor", "heartbeat_interval"]
    );
    let nobody = pb::WatchPortalsRequest {
        portal: "nobody".to_owned(),
        ..request
    };
    let status = portals.watch_portals(nobody).await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::NotFound, "UNKNOWN_PORTAL", "no")
    );
    sleep(Duration::from_secs(1)).await;
}
