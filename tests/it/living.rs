//! Whether a gateway is alive and ready, and what a panic costs.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, portal_service_client::PortalServiceClient};
use tokio::time::sleep;
use tonic::Code;

use crate::scene::{FAULT, Scene, failure, helper, told};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn portal_that_is_down_for_an_hour_leaves_the_gateway_alive_and_ready() {
    let mut scene = Scene::start().await;
    scene.bots.register_bot(helper()).await.unwrap();
    scene.portal.stop();
    for _ in 0..60 {
        sleep(MINUTE).await;
        assert_eq!(scene.health().stuck(), []);
        assert!(scene.health().failing().borrow().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn gateway_that_has_nothing_to_do_is_alive() {
    let scene = Scene::start().await;
    for _ in 0..10 {
        sleep(MINUTE).await;
        assert_eq!(scene.health().stuck(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn poller_that_goes_on_no_more_is_told_after_a_minute() {
    let mut scene = Scene::with(&[(FAULT, "hang poller")]).await;
    scene.bots.register_bot(helper()).await.unwrap();
    sleep(MINUTE - Duration::from_secs(16)).await;
    assert_eq!(scene.health().stuck(), []);
    sleep(MINUTE).await;
    let stuck = scene.health().stuck();
    let names: Vec<_> = stuck.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["poller of default"]);
    // Others can still be served.
    assert!(scene.health().failing().borrow().is_empty());
    scene.bots.get_bot(get_helper()).await.unwrap();
}

fn get_helper() -> pb::GetBotRequest {
    pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    }
}

#[tokio::test(start_paused = true)]
async fn panic_in_a_call_costs_that_call_alone_and_no_place_among_those_under_way() {
    let settings = [(FAULT, "GetBot"), ("grpc.max_calls_per_caller", "2")];
    let mut scene = Scene::with(&settings).await;
    scene.bots.register_bot(helper()).await.unwrap();
    for _ in 0..5 {
        let broken = scene.bots.get_bot(get_helper()).await.unwrap_err();
        let internal = failure(Code::Internal, "INTERNAL_ERROR", "unknown");
        assert_eq!(told(&broken), internal);
    }
    let bots = scene.bots.list_bots(pb::ListBotsRequest::default()).await;
    assert_eq!(bots.unwrap().into_inner().bots.len(), 1);
    let mut portals = PortalServiceClient::new(scene.channel());
    let all = portals
        .list_portals(pb::ListPortalsRequest::default())
        .await;
    assert_eq!(all.unwrap().into_inner().portals.len(), 1);
    assert!(scene.health().failing().borrow().is_empty());
}
