//! Connections that mean no good.

use std::time::Duration;

use bitrix24_gateway::proto::v1 as pb;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tonic::Request;

use super::{manager, shown, token};
use crate::scene::Scene;

/// When the gateway ends a connection.
async fn ends(stream: &mut TcpStream) -> Duration {
    let started = Instant::now();
    let mut heard = Vec::new();
    let ended = timeout(Duration::from_secs(60), stream.read_to_end(&mut heard)).await;
    let _how = ended.expect("it is ended");
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn connection_that_does_not_begin_in_time_is_ended() {
    let scene = Scene::with(&[("grpc.handshake_timeout", "3s")]).await;
    for beginning in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(scene.address()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let took = ends(&mut stream).await;
        assert!((2..5).contains(&took.as_secs()), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn connection_that_trickles_in_is_ended_in_time() {
    let scene = Scene::with(&[("grpc.handshake_timeout", "3s")]).await;
    let (mut reading, mut writing) = TcpStream::connect(scene.address())
        .await
        .unwrap()
        .into_split();
    let trickle = tokio::spawn(async move {
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            sleep(Duration::from_millis(500)).await;
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    });
    let started = Instant::now();
    let mut heard = Vec::new();
    let _how = timeout(Duration::from_secs(60), reading.read_to_end(&mut heard))
        .await
        .unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    trickle.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_are_closed_and_places_come_back() {
    let limit = [
        ("grpc.max_connections", "2"),
        ("grpc.handshake_timeout", "30s"),
    ];
    let scene = Scene::with(&limit).await;
    let first = TcpStream::connect(scene.address()).await.unwrap();
    let _second = TcpStream::connect(scene.address()).await.unwrap();
    let mut third = TcpStream::connect(scene.address()).await.unwrap();
    assert!(ends(&mut third).await < Duration::from_secs(1));
    drop(first);
    // The gateway hears of it a moment later.
    let told = async {
        let ask = || async {
            let request = pb::GetServerInfoRequest {};
            scene.info().get_server_info(request).await
        };
        while ask().await.is_err() {}
    };
    timeout(Duration::from_secs(60), told).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn flood_of_headers_is_refused_and_nobody_else_is_held_up() {
    let scene = Scene::guarded(&[manager("one")]).await;
    let mut bots =
        pb::bot_service_client::BotServiceClient::new(shown(&scene.channel(), &token("one")));
    let mut large = Request::new(pb::ListBotsRequest::default());
    large
        .metadata_mut()
        .insert("x-large", "a".repeat(20_000).parse().unwrap());
    let mut many = Request::new(pb::ListBotsRequest::default());
    for _ in 0..1000 {
        many.metadata_mut().append("x-many", "a".parse().unwrap());
    }
    for request in [large, many] {
        bots.list_bots(request).await.unwrap_err();
        bots.list_bots(pb::ListBotsRequest::default())
            .await
            .unwrap();
    }
    assert!(scene.calls().is_empty());
}
