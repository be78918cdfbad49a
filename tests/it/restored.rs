//! A store that was made of a copy: nothing leaves for a portal before somebody says so.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, PortalState, stream_start::Position};
use tokio::time::sleep;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    oauth::stage::{Stage, say},
    scene::{Scene, failure, helper, told},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Everything that reached the portal or its authorization server.
fn asked(scene: &Scene) -> Vec<String> {
    let portal = scene.portal.journal().requests().into_iter();
    let server = scene.sim.oauth().journal().requests().into_iter();
    portal.chain(server).map(|request| request.method).collect()
}

async fn is_held_back(scene: &mut Scene) {
    let shown = scene.shown().await;
    assert_eq!(shown.state(), PortalState::Parked);
    assert_eq!((shown.reason.as_str(), shown.until), ("RESTORED", None));
    let expected = failure(Code::FailedPrecondition, "RESTORED", "no");
    let status = say(scene, "are you there?").await.unwrap_err();
    assert_eq!(told(&status), expected);
    let status = scene.bots.register_bot(helper()).await.unwrap_err();
    assert_eq!(told(&status), expected);
    let mut health = HealthClient::new(scene.channel());
    let health = health.check(HealthCheckRequest::default()).await;
    let health = health.unwrap().into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);
}

#[tokio::test(start_paused = true)]
async fn restored_store_calls_no_portal_until_it_is_released_and_then_goes_on() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    scene.restore().await;
    let request = pb::SubscribeCommandEventsRequest::default();
    let mut stream = scene.subscribe(request).await;
    scene.anna_types("/help me");
    is_held_back(&mut scene).await;
    // The portal keeps events for a day.
    sleep(DAY / 2).await;
    is_held_back(&mut scene).await;
    assert_eq!(asked(&scene), Vec::<String>::new());

    assert!(scene.portals().release());
    assert!(!scene.portals().release());
    stream.event().await;
    say(&scene, "here I am").await.unwrap();
    assert_eq!(scene.shown().await.state(), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_restored_store_are_neither_used_nor_renewed_until_it_is_released() {
    let mut stage = Stage::set(&[]).await;
    stage.scene.helper().await;
    stage.scene.restore().await;
    // Longer than an access token lives, and than an unused refresh token is left alone.
    stage.scene.starts_again_after(149 * DAY).await;
    sleep(3 * DAY).await;
    is_held_back(&mut stage.scene).await;
    assert_eq!(asked(&stage.scene), Vec::<String>::new());

    stage.scene.portals().release();
    say(&stage.scene, "here I am").await.unwrap();
    assert_eq!(stage.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn cursor_of_the_store_that_was_copied_is_foreign_to_the_restored_one() {
    let mut scene = Scene::start().await;
    scene.helper().await;
    let request = pb::SubscribeCommandEventsRequest::default();
    let mut stream = scene.subscribe(request).await;
    scene.anna_types("/help me");
    let (cursor, _) = stream.event().await;
    drop(stream);
    scene.restore().await;
    let request = pb::SubscribeCommandEventsRequest {
        start: Some(pb::StreamStart {
            position: Some(Position::AfterCursor(cursor)),
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    };
    let refused = scene.bots.subscribe_command_events(request).await;
    let status = match refused {
        Err(status) => status,
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
    };
    assert_eq!(told(&status).reason, "FOREIGN_CURSOR");
}
