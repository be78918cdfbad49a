//! What one caller may have under way.

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use tokio::time::timeout;
use tonic::Code;

use super::{get_bot, manager};
use crate::scene::{Scene, failure, helper, told, until};

#[tokio::test(start_paused = true)]
async fn caller_has_so_many_calls_and_streams_under_way_and_another_is_not_held_up() {
    let limits = "[grpc]\nmax_calls_per_caller = 2\nmax_streams_per_caller = 1\n";
    let callers = [manager("one"), manager("two"), limits.to_owned()];
    let scene = Scene::guarded(&callers).await;
    scene.bots_of("one").register_bot(helper()).await.unwrap();
    let slow = || Fault::latency(Duration::from_secs(20));
    for _ in 0..2 {
        scene.portal.faults().on("imbot.v2.Bot.get", slow());
    }
    let calling: Vec<_> = (0..2)
        .map(|_| {
            let mut bots = scene.bots_of("one");
            tokio::spawn(async move { bots.get_bot(get_bot("helper")).await })
        })
        .collect();
    until("one call is in the portal", || {
        scene.portal.faults().waiting() < 2
    })
    .await;
    let status = scene
        .bots_of("one")
        .get_bot(get_bot("helper"))
        .await
        .unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::ResourceExhausted, "QUOTA_EXCEEDED", "no")
    );
    assert!(
        status.message().contains("grpc.max_calls_per_caller"),
        "{status}"
    );
    let list = pb::ListBotsRequest::default();
    scene.bots_of("two").list_bots(list.clone()).await.unwrap();
    for call in calling {
        call.await.unwrap().unwrap();
    }
    scene.bots_of("one").list_bots(list).await.unwrap();

    let subscribe = pb::SubscribeCommandEventsRequest::default;
    let stream = scene
        .bots_of("one")
        .subscribe_command_events(subscribe())
        .await
        .unwrap();
    let status = scene
        .bots_of("one")
        .subscribe_command_events(subscribe())
        .await
        .map(drop);
    let status = status.unwrap_err();
    assert_eq!(told(&status).reason, "QUOTA_EXCEEDED");
    assert!(
        status.message().contains("grpc.max_streams_per_caller"),
        "{status}"
    );
    scene
        .bots_of("two")
        .subscribe_command_events(subscribe())
        .await
        .unwrap();
    drop(stream);
    // The gateway hears of it a moment later.
    let subscribed = async {
        let again = || async {
            let mut bots = scene.bots_of("one");
            bots.subscribe_command_events(subscribe()).await
        };
        while again().await.is_err() {}
    };
    timeout(Duration::from_secs(60), subscribed).await.unwrap();
}
