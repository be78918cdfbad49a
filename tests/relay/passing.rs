//! What passes through.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{StatusCode, header::HeaderValue};
use tokio::time::timeout;

use crate::{
    backend::{Backend, ECHO, FLOOD, PAGE, REFUSE, SILENT, STREAM, ending},
    bare::{Bare, PATIENCE, message},
    relaying::Relaying,
};

#[tokio::test]
async fn messages_fields_and_trailers_pass_byte_for_byte() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let sent = message(b"\xff not protobuf");
    let own = [
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
        ("grpc-timeout", "1234567m"),
        ("grpc-accept-encoding", "identity,deflate,gzip"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("user-agent", "grpc-test/1"),
        ("x-anything-bin", "AAEC/w"),
    ];
    for mut caller in [relay.caller().await, Bare::unix(&relay.socket).await] {
        let answer = caller.call(ECHO, &own, sent.clone()).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.fields.len(), 1, "{:?}", answer.fields);
        assert_eq!(answer.fields["content-type"], "application/grpc+proto");
        assert_eq!(answer.bytes, sent);
        assert_eq!(answer.trailers, Some(ending()));
        let seen = backend.last();
        assert_eq!(seen.uri, format!("http://{}{ECHO}", backend.address));
        for (name, value) in own {
            assert_eq!(seen.fields[name], value);
        }
        // And what the caller's library adds.
        assert_eq!(seen.fields["content-length"], sent.len().to_string());
        assert_eq!(seen.fields.len(), own.len() + 1, "{:?}", seen.fields);
    }
}

#[tokio::test]
async fn answers_without_a_body_pass_and_so_do_answers_of_no_gateway() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    let answer = caller.call(REFUSE, &[], message(b"")).await;
    let mut fields = ending();
    let media = HeaderValue::from_static("application/grpc+proto");
    fields.insert("content-type", media);
    assert_eq!((answer.fields, answer.trailers), (fields, None));
    let answer = caller.call(PAGE, &[], message(b"")).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!((&*answer.bytes, answer.trailers), (&b"<p>busy"[..], None));
}

#[tokio::test]
async fn long_messages_pass() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    let long: Vec<u8> = (0..=250).cycle().take(4 << 20).collect();
    let long = message(&long);
    let answer = caller.call(ECHO, &[], long.clone()).await;
    assert!(answer.bytes == long, "{} bytes came", answer.bytes.len());
    assert_eq!(answer.trailers, Some(ending()));
}

#[tokio::test]
async fn what_says_who_calls_does_not_pass() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    let own = [
        ("authorization", "Bearer b24gw_of-somebody-else"),
        ("proxy-authorization", "Basic eDp5"),
        ("x-bitrix24-gateway-pod", "another/pod"),
    ];
    caller.call(ECHO, &own, message(b"")).await;
    let seen = backend.last().fields;
    let names: Vec<_> = seen.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["content-type", "content-length"]);
    let named = Relaying::of(|config| {
        config.upstream.port = backend.address.port();
        config.pod = Some(HeaderValue::from_static("chat/support-0"));
    });
    let named = named.await;
    named.caller().await.call(ECHO, &own, message(b"")).await;
    let seen = backend.last().fields;
    assert_eq!(seen["x-bitrix24-gateway-pod"], "chat/support-0");
    assert_eq!(seen.get_all("x-bitrix24-gateway-pod").iter().count(), 1);
}

#[tokio::test]
async fn only_grpc_passes() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    for media in ["application/grpc-web", "application/json"] {
        let own = [("content-type", media)];
        let answer = caller.call(ECHO, &own, Bytes::new()).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media}");
    }
}

#[tokio::test]
async fn call_that_is_given_up_is_given_up_behind() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    // Before the answer begins.
    let begun = caller.begin(SILENT, &[], message(b""));
    let began = timeout(Duration::from_millis(200), begun).await;
    assert!(began.is_err(), "it was answered");
    timeout(PATIENCE, backend.given_up()).await.unwrap();
    // In a stream.
    let mut stream = caller.begin(STREAM, &[], message(b"")).await.unwrap();
    let first = stream.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), message(b"first"));
    drop(stream);
    timeout(PATIENCE, backend.given_up()).await.unwrap();
    // With all of the connection.
    let _stream = caller.begin(STREAM, &[], message(b"")).await.unwrap();
    caller.cut();
    timeout(PATIENCE, backend.given_up()).await.unwrap();
}

#[tokio::test]
async fn streams_pass_as_they_come_and_side_by_side() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    // Nobody reads this one.
    let _flood = caller.begin(FLOOD, &[], message(b"")).await.unwrap();
    for _ in 0..50 {
        let mut stream = caller.begin(STREAM, &[], message(b"")).await.unwrap();
        let first = stream.body_mut().frame();
        let first = timeout(PATIENCE, first).await.unwrap().unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), message(b"first"));
    }
    let answer = caller.call(ECHO, &[], message(b"x")).await;
    assert_eq!(answer.bytes, message(b"x"));
}
