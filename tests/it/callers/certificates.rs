//! TLS, and callers that are known by a certificate.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Error};

use super::{Shown, caller, shown, token, unauthenticated};
use crate::scene::{Scene, told};

/// Vouches for certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, PEM.
struct Certificate {
    pem: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn sign(&self, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        Certificate { pem, key }
    }

    fn server(&self) -> Certificate {
        self.sign(&CertificateParams::new(["localhost".to_owned()]).unwrap())
    }

    fn client(&self, name: &str) -> Certificate {
        self.sign(&client(name))
    }
}

impl Certificate {
    fn write(&self, folder: &Path) {
        std::fs::write(folder.join("server.pem"), &self.pem).unwrap();
        std::fs::write(folder.join("server.key"), &self.key).unwrap();
    }
}

fn client(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let name = name.to_owned();
    params.subject_alt_names = vec![if name.contains(':') {
        SanType::URI(name.try_into().unwrap())
    } else {
        SanType::DnsName(name.try_into().unwrap())
    }];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

async fn connect(
    address: SocketAddr,
    trusted: &Authority,
    own: Option<&Certificate>,
) -> Result<Channel, Error> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap();
    roots.add(root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.pem.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let dial = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            connector.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(dial).await
}

/// A scene behind TLS, with these callers.
async fn secured(authority: &Authority, callers: &[String]) -> Scene {
    let scene = Scene::configured(|folder| {
        authority.server().write(folder);
        std::fs::write(folder.join("clients.pem"), &authority.pem).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        format!(
            "{}\n[grpc.tls]\ncert_file = {:?}\nkey_file = {:?}\nclient_ca_file = {:?}\n",
            callers.concat(),
            path("server.pem"),
            path("server.key"),
            path("clients.pem"),
        )
    });
    scene.await
}

fn by_certificate(name: &str, certificate: &str) -> String {
    format!(
        "[callers.{name}]\ncertificate = [\"{certificate}\"]\nportals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"read\"]\n"
    )
}

fn list() -> pb::ListBotsRequest {
    pb::ListBotsRequest::default()
}

const SPIFFE: &str = "spiffe://example.org/support";

#[tokio::test(start_paused = true)]
async fn caller_is_known_by_the_name_in_its_certificate() {
    let authority = Authority::new();
    let names = [
        by_certificate("spiffe", SPIFFE),
        by_certificate("dns", "support.example.org"),
    ];
    let scene = secured(&authority, &names).await;
    for name in [SPIFFE, "support.example.org"] {
        let own = authority.client(name);
        let channel = connect(scene.address(), &authority, Some(&own))
            .await
            .unwrap();
        BotServiceClient::new(channel)
            .list_bots(list())
            .await
            .unwrap();
    }
    for name in [
        "spiffe://example.org/another",
        "another.example.org",
        "*.example.org",
    ] {
        let own = authority.client(name);
        let channel = connect(scene.address(), &authority, Some(&own))
            .await
            .unwrap();
        let status = BotServiceClient::new(channel)
            .list_bots(list())
            .await
            .unwrap_err();
        assert_eq!(told(&status), unauthenticated(), "{name}");
    }
    let channel = connect(scene.address(), &authority, None).await.unwrap();
    let status = BotServiceClient::new(channel)
        .list_bots(list())
        .await
        .unwrap_err();
    assert_eq!(told(&status), unauthenticated());
}

#[tokio::test(start_paused = true)]
async fn certificate_of_another_authority_or_of_the_past_lets_nobody_in() {
    let (authority, another) = (Authority::new(), Authority::new());
    let scene = secured(&authority, &[by_certificate("support", SPIFFE)]).await;
    let mut past = client(SPIFFE);
    past.not_before = date_time_ymd(2019, 1, 1);
    past.not_after = date_time_ymd(2020, 1, 1);
    for own in [another.client(SPIFFE), authority.sign(&past)] {
        // Under TLS 1.3 the refusal comes after the handshake, as the end of the connection.
        let refused = match connect(scene.address(), &authority, Some(&own)).await {
            Err(_) => true,
            Ok(channel) => BotServiceClient::new(channel)
                .list_bots(list())
                .await
                .is_err(),
        };
        assert!(refused);
    }
}

#[tokio::test(start_paused = true)]
async fn token_is_taken_over_tls_and_is_not_made_good_by_a_certificate() {
    let authority = Authority::new();
    let callers = [
        by_certificate("support", SPIFFE),
        caller("token", "portals = [\"*\"]\nrpcs = [\"read\"]"),
    ];
    let scene = secured(&authority, &callers).await;
    let channel = connect(scene.address(), &authority, None).await.unwrap();
    let of = |channel: &Channel, token: &str| -> BotServiceClient<Shown> {
        BotServiceClient::new(shown(channel, token))
    };
    of(&channel, &token("token"))
        .list_bots(list())
        .await
        .unwrap();
    let own = authority.client(SPIFFE);
    let channel = connect(scene.address(), &authority, Some(&own))
        .await
        .unwrap();
    let status = of(&channel, &token("wrong"))
        .list_bots(list())
        .await
        .unwrap_err();
    assert_eq!(told(&status), unauthenticated());
}

#[tokio::test(start_paused = true)]
async fn connection_that_does_not_shake_hands_is_ended_and_holds_nobody_up() {
    let authority = Authority::new();
    let scene = secured(&authority, &[by_certificate("support", SPIFFE)]).await;
    let mut silent = TcpStream::connect(scene.address()).await.unwrap();
    let mut slow = TcpStream::connect(scene.address()).await.unwrap();
    // The beginning of a TLS record that promises more.
    slow.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
    let own = authority.client(SPIFFE);
    let channel = connect(scene.address(), &authority, Some(&own))
        .await
        .unwrap();
    BotServiceClient::new(channel)
        .list_bots(list())
        .await
        .unwrap();
    let started = Instant::now();
    for stream in [&mut silent, &mut slow] {
        let mut heard = Vec::new();
        let ended = timeout(Duration::from_secs(60), stream.read_to_end(&mut heard)).await;
        let _how = ended.expect("it is ended");
    }
    let took = started.elapsed().as_secs();
    assert!((5..=11).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn changed_certificate_counts_for_new_connections_and_a_bad_one_for_none() {
    let (old, new) = (Authority::new(), Authority::new());
    let scene = secured(
        &old,
        &[caller("token", "portals = [\"*\"]\nrpcs = [\"read\"]")],
    )
    .await;
    let lasting = connect(scene.address(), &old, None).await.unwrap();
    assert!(connect(scene.address(), &new, None).await.is_err());

    // A key of another certificate.
    std::fs::write(scene.folder().join("server.pem"), new.server().pem).unwrap();
    sleep(Duration::from_secs(11)).await;
    connect(scene.address(), &old, None).await.unwrap();
    std::fs::remove_file(scene.folder().join("server.key")).unwrap();
    sleep(Duration::from_secs(11)).await;
    connect(scene.address(), &old, None).await.unwrap();

    new.server().write(scene.folder());
    sleep(Duration::from_secs(11)).await;
    connect(scene.address(), &new, None).await.unwrap();
    assert!(connect(scene.address(), &old, None).await.is_err());
    let mut bots = BotServiceClient::new(shown(&lasting, &token("token")));
    bots.list_bots(list()).await.unwrap();
}
