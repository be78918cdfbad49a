//! Whom the gateway takes a relay for.

use std::{fs, net::SocketAddr, time::Duration};

use bitrix24_gateway::{
    proto::v1::{self as pb, bot_service_client::BotServiceClient},
    relay::{Config, Files},
};
use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    bare::PATIENCE,
    gateway::{Authority, Gateway, caller, everything, token},
    relaying::Relaying,
};

/// Registers a bot, showing the token of somebody who may do everything.
async fn register(relay: SocketAddr) -> Result<(), Status> {
    let channel = Channel::from_shared(format!("http://{relay}")).unwrap();
    let mut client = BotServiceClient::new(channel.connect_lazy());
    let mut request = Request::new(pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Helper".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    });
    let bearer = format!("Bearer {}", token("boss"));
    let metadata = request.metadata_mut();
    metadata.insert("authorization", bearer.parse().unwrap());
    client.register_bot(request).await.map(|_| ())
}

fn denied(status: Result<(), Status>) {
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (&*info.reason, &*info.domain),
        ("CALLER_DENIED", "gateway.bitrix24")
    );
}

/// A gateway with TLS, and a relay that proves itself by a certificate of this name.
async fn secured(gateway: &Gateway, change: impl FnOnce(&mut Config)) -> Relaying {
    let path = |name: &str| gateway.folder.path().join(name);
    let port = gateway.address.port();
    let files = Files {
        authorities: Some(path("test.ca")),
        certificate: Some((path("relay.pem"), path("relay.key"))),
        token: None,
    };
    let relay = Relaying::of(|config| {
        config.upstream.tls = true;
        config.upstream.host = "localhost".to_owned();
        config.upstream.port = port;
        config.files = files;
        change(config);
    });
    relay.await
}

async fn gateway(rpcs: &str) -> Gateway {
    let gateway = Gateway::of(|folder| {
        let authority = Authority::new();
        authority.write(folder, "test");
        authority.certify(folder, "server", "localhost");
        authority.certify(folder, "relay", "spiffe://example.org/relay");
        Authority::new().write(folder, "other");
        let path = |name: &str| folder.join(name);
        format!(
            "{}[callers.relay]\ncertificate = [\"spiffe://example.org/relay\"]\n{}\n\
             [grpc.tls]\ncert_file = {:?}\nkey_file = {:?}\nclient_ca_file = {:?}\n",
            caller("boss", "*"),
            everything(rpcs),
            path("server.pem"),
            path("server.key"),
            path("test.ca"),
        )
    });
    gateway.await
}

#[tokio::test]
async fn certificate_of_the_relay_counts_and_nothing_that_its_callers_show() {
    let gateway = gateway("read").await;
    let relay = secured(&gateway, |_| {}).await;
    denied(register(relay.address).await);
    relay.stop(PATIENCE).await;
    gateway.stop().await;
}

#[tokio::test]
async fn certificate_of_the_relay_lets_its_callers_do_what_it_may() {
    let gateway = gateway("*").await;
    let relay = secured(&gateway, |_| {}).await;
    register(relay.address).await.unwrap();
    relay.stop(PATIENCE).await;
    gateway.stop().await;
}

#[tokio::test]
async fn gateway_of_another_authority_or_name_is_told_nothing() {
    let gateway = gateway("*").await;
    let other = gateway.folder.path().join("other.ca");
    let relay = secured(&gateway, |config| config.files.authorities = Some(other));
    let other = secured(&gateway, |config| {
        config.upstream.host = "127.0.0.1".to_owned();
    });
    for relay in [relay.await, other.await] {
        let status = register(relay.address).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().contains("certificate"), "{status:?}");
        relay.says("certificate").await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn token_of_a_file_counts_and_is_read_again_when_it_changes() {
    let gateway = Gateway::of(|_| caller("reader", "read") + &caller("manager", "manage"));
    let gateway = gateway.await;
    let file = gateway.folder.path().join("token");
    fs::write(&file, token("reader") + "\n").unwrap();
    let relay = Relaying::of(|config| {
        config.upstream.port = gateway.address.port();
        config.files.token = Some(file.clone());
    });
    let relay = relay.await;
    denied(register(relay.address).await);
    fs::write(&file, token("manager")).unwrap();
    let end = Instant::now() + PATIENCE;
    while let Err(status) = register(relay.address).await {
        denied(Err(status));
        assert!(Instant::now() < end, "the new token is not shown");
        sleep(Duration::from_millis(100)).await;
    }
    relay.stop(PATIENCE).await;
    gateway.stop().await;
}
