//! What a caller is told when the gateway is away or ends.

use std::{net::SocketAddr, time::Duration};

use http_body_util::BodyExt as _;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};

use crate::{
    backend::{Backend, ECHO, HALF, SILENT, STREAM},
    bare::{Answer, PATIENCE, message, unreachable},
    relaying::Relaying,
};

/// An address where nobody listens.
async fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn calls_without_a_gateway_did_not_run_and_it_is_found_when_it_comes() {
    let address = nowhere().await;
    let relay = Relaying::before(address).await;
    let mut caller = relay.caller().await;
    for _ in 0..20 {
        let answer = caller.call(ECHO, &[], message(b"")).await;
        assert_eq!(answer.told(), unreachable("no"));
        assert_eq!(answer.trailers, None, "it is said at once");
    }
    relay.says("cannot be reached").await;
    let _backend = Backend::at(address).await;
    // Nobody calls meanwhile.
    relay.says("gateway: reached").await;
    let answer = caller.call(ECHO, &[], message(b"x")).await;
    assert_eq!(answer.bytes, message(b"x"));
}

#[tokio::test]
async fn gateway_that_takes_no_connection_is_waited_for_no_longer_than_was_said() {
    // It takes connections, and never says a word of TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let relay = Relaying::of(|config| {
        config.upstream.port = port;
        config.upstream.tls = true;
        config.connect_timeout = Duration::from_millis(300);
    });
    let relay = relay.await;
    let began = Instant::now();
    let answer = relay.caller().await.call(ECHO, &[], message(b"")).await;
    assert_eq!(answer.told(), unreachable("no"));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn call_under_way_may_have_run_and_the_next_one_finds_the_gateway_again() {
    let mut backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    let mut other = relay.caller().await;
    let asked = tokio::spawn(async move { other.call(SILENT, &[], message(b"")).await });
    let mut stream = caller.begin(STREAM, &[], message(b"")).await.unwrap();
    let first = stream.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), message(b"first"));
    // The other call got as far.
    while backend.seen() < 2 {
        sleep(Duration::from_millis(5)).await;
    }
    backend.kill().await;
    assert_eq!(Answer::of(stream).await.told(), unreachable("unknown"));
    assert_eq!(asked.await.unwrap().told(), unreachable("unknown"));
    relay.says("cannot be reached").await;
    assert_eq!(
        caller.call(ECHO, &[], message(b"")).await.told(),
        unreachable("no")
    );
    let _backend = Backend::at(backend.address).await;
    relay.says("gateway: reached").await;
    let answer = caller.call(ECHO, &[], message(b"x")).await;
    assert_eq!(answer.bytes, message(b"x"), "over the same connection");
}

#[tokio::test]
async fn loss_within_a_message_breaks_the_callers_connection() {
    let mut backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    let mut half = caller.begin(HALF, &[], message(b"")).await.unwrap();
    let first = half.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), message(b"first").slice(..7));
    let mut other = relay.caller().await;
    backend.kill().await;
    let ended = timeout(PATIENCE, caller.connection).await.unwrap();
    // With an error or as if nothing was: it is over.
    let _ended = ended.unwrap();
    let rest = timeout(PATIENCE, half.body_mut().frame()).await.unwrap();
    assert!(
        rest.is_none_or(|rest| rest.is_err()),
        "no status is made up"
    );
    let answer = other.call(ECHO, &[], message(b"")).await;
    assert_eq!(answer.told(), unreachable("no"), "another one goes on");
}
