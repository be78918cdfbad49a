//! The listener: what is bounded, and what it says to strangers.

use std::{sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::browser::{connect, get, post, raw, request};
use crate::oauth::stage::Stage;

/// Settings for a listener.
pub(crate) const LISTEN: [(&str, &str); 2] = [
    ("http.listen", "127.0.0.1:0"),
    ("http.public_url", "https://localhost"),
];

async fn stage() -> Stage {
    Stage::not_installed(&LISTEN).await
}

#[tokio::test(start_paused = true)]
async fn nothing_is_found_beside_what_is_offered_and_nothing_tells_who_we_are() {
    let stage = stage().await;
    let address = stage.scene.http();
    for target in [
        "/",
        "/bitrix24",
        "/bitrix24/",
        "/bitrix24/events/",
        "/bitrix24/../etc/passwd",
        "/bitrix24/events/../../store/store.db",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/bitrix24/%65vents",
        "//bitrix24/events",
        "/oauth",
        "/metrics",
    ] {
        let answer = get(address, target, &[]).await;
        assert_eq!((answer.status, answer.body.as_str()), (404, ""), "{target}");
        assert_eq!(answer.headers(), ["connection", "content-length", "date"]);
        let answer = post(address, target, "application/json", "{}").await;
        assert_eq!(answer.status, 404, "{target}");
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let bytes = request(method, "/bitrix24/events", &[], "");
        let answer = raw(connect(address).await, bytes.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 404, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn flood_of_headers_is_cut_off() {
    let stage = stage().await;
    let long = "x".repeat(20_000);
    let many: Vec<_> = (0..100).map(|number| format!("h{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    for headers in [&[("x-long", long.as_str())][..], &many] {
        let bytes = request("GET", "/", headers, "");
        let stream = connect(stage.scene.http()).await;
        let answer = raw(stream, bytes.as_bytes()).await;
        assert!(answer.is_none_or(|answer| answer.status == 431));
    }
    assert_eq!(get(stage.scene.http(), "/", &[]).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_half_a_head_is_cut_off_in_time() {
    let stage = stage().await;
    for begun in [
        "",
        "POST /bitrix24/events HT",
        "GET / HTTP/1.1\r\nhost: a\r\n",
    ] {
        let mut stream = connect(stage.scene.http()).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let began = Instant::now();
        let mut end = Vec::new();
        let ended = timeout(Duration::from_secs(30), stream.read_to_end(&mut end)).await;
        assert!(ended.is_ok(), "{begun:?} holds its place");
        assert!(began.elapsed() >= Duration::from_secs(9), "{begun:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn places_are_bounded_and_free_again() {
    let settings = [LISTEN[0], LISTEN[1], ("http.max_connections", "2")];
    let stage = Stage::not_installed(&settings).await;
    let address = stage.scene.http();
    let idle = [connect(address).await, connect(address).await];
    // Until both are taken in.
    sleep(Duration::from_millis(100)).await;
    let refused = raw(connect(address).await, b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(refused.is_none());
    drop(idle);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(get(address, "/", &[]).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_do_not_hold_up_the_stop() {
    let mut stage = stage().await;
    let _idle = connect(stage.scene.http()).await;
    let began = Instant::now();
    stage.scene.stop().await;
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn with_a_certificate_it_speaks_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (cert, key) = (
        file("cert.pem", made.cert.pem()),
        file("key.pem", made.signing_key.serialize_pem()),
    );
    let settings = [
        LISTEN[0],
        LISTEN[1],
        ("http.tls.cert_file", &cert),
        ("http.tls.key_file", &key),
    ];
    let stage = Stage::not_installed(&settings).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connect(stage.scene.http()).await;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let bytes = request("GET", "/", &[], "");
    let answer = raw(stream.await.unwrap(), bytes.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 404);
    let plain = raw(connect(stage.scene.http()).await, bytes.as_bytes()).await;
    assert!(plain.is_none(), "{plain:?}");
}
