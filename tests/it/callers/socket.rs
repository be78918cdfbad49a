//! The Unix socket.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::{caller, shown, token, unauthenticated};
use crate::scene::{Scene, told};

/// A connection whose calls name this authority.
async fn connect(path: &Path, authority: &str) -> Channel {
    let path = path.to_owned();
    let dial = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).unwrap();
    endpoint.connect_with_connector(dial).await.unwrap()
}

async fn scene(caller: impl FnOnce(u32) -> String) -> Scene {
    let scene = Scene::configured(|folder| {
        // Whoever made the folder is who connects.
        let user = std::fs::metadata(folder).unwrap().uid();
        let socket = folder.join("gateway.sock").display().to_string();
        format!("{}\n[grpc]\nsocket = {socket:?}\n", caller(user))
    });
    scene.await
}

fn by_user(user: u32) -> String {
    format!("[callers.local]\nuid = [{user}]\nportals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"read\"]")
}

#[tokio::test(start_paused = true)]
async fn process_of_a_configured_user_is_a_caller() {
    let mut scene = scene(by_user).await;
    let path = scene.folder().join("gateway.sock");
    // What clients of several languages name a socket's host.
    for authority in ["localhost", "unix", "127.0.0.1", "gateway.sock"] {
        let mut bots = BotServiceClient::new(connect(&path, authority).await);
        bots.list_bots(pb::ListBotsRequest::default())
            .await
            .unwrap();
    }
    let status = scene.bots.list_bots(pb::ListBotsRequest::default()).await;
    assert_eq!(
        told(&status.unwrap_err()),
        unauthenticated(),
        "over TCP it is nobody"
    );
    scene.restart().await;
    let mut bots = BotServiceClient::new(connect(&path, "localhost").await);
    bots.list_bots(pb::ListBotsRequest::default())
        .await
        .unwrap();
    scene.stop().await;
    assert!(!path.exists());
}

#[tokio::test(start_paused = true)]
async fn process_of_another_user_needs_a_token() {
    let callers = |user| {
        let local = by_user(user + 1);
        format!(
            "{local}\n{}",
            caller("token", "portals = [\"*\"]\nrpcs = [\"read\"]")
        )
    };
    let scene = scene(callers).await;
    let channel = connect(&scene.folder().join("gateway.sock"), "localhost").await;
    let list = pb::ListBotsRequest::default();
    let status = BotServiceClient::new(channel.clone())
        .list_bots(list.clone())
        .await;
    assert_eq!(told(&status.unwrap_err()), unauthenticated());
    let mut bots = BotServiceClient::new(shown(&channel, &token("token")));
    bots.list_bots(list).await.unwrap();
}
