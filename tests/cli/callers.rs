//! Callers as an operator sets them up.

use std::{fs, net::SocketAddr, path::Path, process::Stdio, sync::Arc};

use bitrix24_gateway::{
    callers::TokenHash,
    proto::v1::{self as pb, bot_service_client::BotServiceClient},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, process::Command};
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};

use crate::process::{Desk, Ended, Running};

#[tokio::test]
async fn new_token_is_printed_with_the_setting_that_accepts_it() {
    let desk = Desk::new().await;
    let mut printed = Vec::new();
    for _ in 0..2 {
        let ended = Ended::of(desk.bare(&["callers", "new-token"])).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        printed.push(ended.out);
    }
    assert_ne!(printed[0], printed[1]);
    let lines: Vec<_> = printed[0].lines().collect();
    let setting = format!("token_sha256 = [\"{}\"]", TokenHash::of(lines[0]));
    assert_eq!(lines[1..], [setting]);
    assert!(lines[0].starts_with("b24gw_"), "{}", lines[0]);
}

/// The commands of a section of the README, for this binary and this portal.
pub(crate) fn recipe(desk: &Desk, section: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once(&format!("\n## {section}\n")).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| {
            let (commands, _) = block.split_once("```").unwrap();
            commands
                .replace(
                    "cargo run --release --",
                    env!("CARGO_BIN_EXE_bitrix24-gateway"),
                )
                .replace(
                    "https://example.bitrix24.com/rest/1/abc123/",
                    &desk.portal.webhook_url(),
                )
                .replace("0.0.0.0:50443", "0.0.0.0:0")
        })
        .collect()
}

pub(crate) fn shell(desk: &Desk, commands: &str) -> Command {
    let mut shell = Command::new("/bin/bash");
    shell
        .args(["-euc", commands])
        .current_dir(desk.folder.path())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("BITRIX24_GATEWAY__OUTBOUND__CA_FILE", "ca.pem")
        // Whatever is asked for, the log shows no token.
        .env("BITRIX24_GATEWAY__LOG__LEVEL", "trace,h2=trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    shell
}

async fn connect(address: SocketAddr, certificate: &Path) -> Channel {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let dial = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(("127.0.0.1", address.port())).await?;
            let name = ServerName::try_from("localhost").unwrap();
            connector.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(dial).await.unwrap()
}

#[tokio::test]
async fn recipe_of_the_readme_for_tls_and_a_token_works() {
    let desk = Desk::new().await;
    let [prepare, serve] = &recipe(&desk, "Callers")[..] else {
        panic!("two blocks");
    };
    let prepared = Ended::of(shell(&desk, prepare)).await;
    assert_eq!(prepared.code, Some(0), "{prepared:?}");
    let running = Running::of(shell(&desk, &format!("exec {serve}"))).await;
    let channel = connect(running.address, &desk.path("gateway.pem")).await;
    let mut bots = BotServiceClient::new(channel);
    let token = fs::read_to_string(desk.path("token.txt")).unwrap();
    let bearer = format!("Bearer {}", token.lines().next().unwrap());
    let register = |code: &str, bearer: Option<&str>| {
        let mut request = Request::new(pb::RegisterBotRequest {
            bot_code: code.to_owned(),
            properties: Some(pb::BotProperties {
                name: Some("Support".to_owned()),
                ..pb::BotProperties::default()
            }),
            ..pb::RegisterBotRequest::default()
        });
        if let Some(bearer) = bearer {
            let bearer = bearer.parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
        }
        request
    };
    let outcomes = [
        (register("support_bot", Some(&bearer)), Code::Ok),
        (register("another", Some(&bearer)), Code::PermissionDenied),
        (register("support_bot", None), Code::Unauthenticated),
    ];
    for (request, expected) in outcomes {
        let outcome = bots.register_bot(request).await;
        let code = outcome.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(code, expected);
    }
    let ended = running.stop("TERM").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.err.contains("audit"), "{}", ended.err);
    assert!(!ended.err.contains(&bearer[7..]), "{}", ended.err);
}
