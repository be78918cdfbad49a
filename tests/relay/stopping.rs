//! How a relay ends.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::time::{sleep, timeout};

use crate::{
    backend::{Backend, ECHO, SILENT, STREAM},
    bare::{Answer, PATIENCE, message},
    relaying::Relaying,
};

#[tokio::test]
async fn streams_are_told_and_calls_may_end() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    let mut stream = caller.begin(STREAM, &[], message(b"")).await.unwrap();
    let first = stream.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), message(b"first"));
    let mut other = relay.caller().await;
    let asking = tokio::spawn(async move { other.begin(SILENT, &[], message(b"")).await });
    while backend.seen() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    let (address, socket) = (relay.address, relay.socket.clone());
    let stopped = tokio::spawn(relay.stop(Duration::from_millis(500)));
    let told = Answer::of(stream).await.told();
    let stopping = ["14", "GATEWAY_STOPPING", "no"].map(str::to_owned);
    assert_eq!([told.0, told.1, told.2], stopping);
    timeout(PATIENCE, caller.connection)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(!stopped.await.unwrap(), "a call was left behind");
    assert!(!asking.is_finished(), "until then it was waited for");
    assert!(!socket.exists());
    let again = tokio::net::TcpStream::connect(address).await;
    assert!(again.is_err(), "nobody listens");
}

#[tokio::test]
async fn relay_without_calls_ends_at_once() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    caller.call(ECHO, &[], message(b"")).await;
    assert!(relay.stop(Duration::from_secs(30)).await);
    timeout(PATIENCE, caller.connection)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
