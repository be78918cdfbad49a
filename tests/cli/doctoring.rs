//! `doctor`: one clear message for each thing that stands between a gateway and a portal, and the chain of a
//! bot.

use std::sync::Arc;

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use bitrix24_sim::{Condition, PortalConfig, Sim, WebhookConfig};
use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{net::TcpListener, process::Command};
use tokio_rustls::TlsAcceptor;

use crate::process::{Desk, Ended, Running, SECRET};

/// `doctor` for a portal by this webhook.
fn doctor(desk: &Desk, url: &str, more: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = desk.bare(&[&["doctor"], arguments].concat());
    let settings = [("WEBHOOK_URL", url), ("OUTBOUND__CA_FILE", "ca.pem")];
    for (name, value) in settings.iter().chain(more) {
        command.env(format!("BITRIX24_GATEWAY__{name}"), value);
    }
    command
}

/// The lines of a report, which tells no secret and uses no colours where nobody sees them.
async fn told(command: Command, code: i32) -> String {
    let ended = Ended::of(command).await;
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(code), ""),
        "{ended:?}"
    );
    assert!(
        !ended.out.contains(SECRET) && !ended.out.contains('\u{1b}'),
        "{ended:?}"
    );
    ended.out
}

/// The one link that is broken, with what to try.
async fn broken(command: Command) -> String {
    let out = told(command, 1).await;
    let mut lines = out.lines().skip_while(|line| !line.starts_with("  broken"));
    let [link, next] =
        [lines.next(), lines.next()].map(|line| line.unwrap_or_else(|| panic!("{out}")));
    assert!(next.contains("try: "), "{out}");
    assert_eq!(out.matches("  broken").count(), 1, "{out}");
    format!("{}\n{}", link.trim(), next.trim())
}

/// Somebody who speaks TLS with a certificate for these names that an authority has signed, and whom the desk
/// trusts. The port.
async fn speak_tls(desk: &Desk, name: &str, over: bool) -> u16 {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "Authority of the test");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    desk.write("ca.pem", &authority.pem());
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if over {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Nobody who looks at the certificate goes on.
            let _refused = tls.accept(stream).await;
        }
    });
    port
}

#[tokio::test]
async fn portal_that_serves_us_is_told_link_by_link() {
    let desk = Desk::new().await;
    let sim = Sim::start(bitrix24_sim::Config {
        starts_at: Timestamp::now().as_duration().try_into().unwrap(),
        ..bitrix24_sim::Config::default()
    });
    let sim = sim.await.unwrap();
    let portal = sim.add_portal(PortalConfig::default()).await.unwrap();
    desk.write("ca.pem", sim.ca_pem());
    let out = told(doctor(&desk, &portal.webhook_url(), &[], &[]), 0).await;
    for link in [
        "address",
        "connection",
        "REST",
        "credential",
        "scope",
        "revision",
        "clock",
    ] {
        let line = out.lines().find(|line| line.contains(&format!(" {link} ")));
        let line = line.unwrap_or_else(|| panic!("no {link} in {out}"));
        assert!(line.starts_with("  ok "), "{out}");
    }
    assert!(
        out.ends_with("nothing is broken, as far as can be seen\n"),
        "{out}"
    );
    assert_eq!(portal.journal().requests().len(), 3);
    assert!(
        !desk.path("bitrix24-gateway-data").exists(),
        "looking makes no store"
    );
}

#[tokio::test]
async fn clocks_that_differ_are_told() {
    // The simulated portal's stands where the tests want it.
    let desk = Desk::new().await;
    let said = broken(doctor(&desk, &desk.portal.webhook_url(), &[], &[])).await;
    assert!(said.contains("clock") && said.contains("NTP"), "{said}");
}

#[tokio::test]
async fn host_that_there_is_not_is_an_address_to_compare() {
    let desk = Desk::new().await;
    let url = format!("https://nowhere.invalid/rest/1/{SECRET}/");
    let said = broken(doctor(&desk, &url, &[], &[])).await;
    assert!(
        said.contains("address") && said.contains("https://nowhere.invalid is not found"),
        "{said}"
    );
    assert!(said.contains("compare the URL"), "{said}");
}

#[tokio::test]
async fn host_where_nobody_listens_is_a_connection_that_fails() {
    let desk = Desk::new().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/rest/1/{SECRET}/", free.local_addr().unwrap());
    drop(free);
    let said = broken(doctor(&desk, &url, &[], &[])).await;
    assert!(
        said.contains("connection") && said.contains("nobody listens"),
        "{said}"
    );
}

#[tokio::test]
async fn certificate_that_has_expired_is_told_as_that() {
    let desk = Desk::new().await;
    let port = speak_tls(&desk, "localhost", true).await;
    let url = format!("https://localhost:{port}/rest/1/{SECRET}/");
    let said = broken(doctor(&desk, &url, &[], &[])).await;
    assert!(said.contains("the certificate has expired"), "{said}");
    assert!(said.contains("clock of this machine"), "{said}");
}

#[tokio::test]
async fn certificate_of_another_host_is_told_as_that() {
    let desk = Desk::new().await;
    let port = speak_tls(&desk, "other.test", false).await;
    let url = format!("https://localhost:{port}/rest/1/{SECRET}/");
    let said = broken(doctor(&desk, &url, &[], &[])).await;
    assert!(
        said.contains("the certificate belongs to another host"),
        "{said}"
    );
}

#[tokio::test]
async fn certificate_of_a_stranger_is_told_with_who_issued_it() {
    let desk = Desk::new().await;
    let webhook = desk.portal.webhook_url();
    let said = broken(doctor(&desk, &webhook, &[("OUTBOUND__CA_FILE", "")], &[])).await;
    assert!(said.contains("issued by `Simulated Bitrix24 CA`"), "{said}");
    assert!(said.contains("outbound.ca_file"), "{said}");
}

#[tokio::test]
async fn page_in_place_of_the_portal_is_told_as_that() {
    let desk = Desk::new().await;
    for (condition, words) in [
        (Condition::LoginPage, "wants us to log in"),
        (Condition::LicencePage, "licence"),
        (Condition::Maintenance, "a web page answers"),
        (Condition::Closed, "closed or deleted"),
    ] {
        desk.portal.set_condition(condition);
        let said = broken(doctor(&desk, &desk.portal.webhook_url(), &[], &[])).await;
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test]
async fn webhook_that_is_wrong_or_lacks_the_scope_is_told_as_that() {
    let desk = Desk::new().await;
    let webhook = desk.portal.add_webhook(WebhookConfig {
        scopes: vec!["user".to_owned()],
        ..WebhookConfig::default()
    });
    let out = told(doctor(&desk, &webhook, &[], &[]), 1).await;
    let scope = out.lines().find(|line| line.contains(" scope ")).unwrap();
    assert!(
        scope.starts_with("  broken") && scope.contains("may use: user"),
        "{out}"
    );
    assert!(out.contains("allow `imbot`"), "{out}");
    desk.portal.remove_webhook(&webhook);
    let said = broken(doctor(&desk, &webhook, &[], &[])).await;
    assert!(
        said.contains("credential") && said.contains("refuses our credential"),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_asked_wrongly_is_usage() {
    let desk = Desk::new().await;
    let ended = Ended::of(desk.bare(&["doctor"])).await;
    assert!(ended.failure(2).contains("webhook_url"), "{ended:?}");
    let ended = Ended::of(desk.bare(&["doctor", "--bots", "x"])).await;
    assert!(ended.failure(2).contains("--bot"), "{ended:?}");
    let webhook = desk.portal.webhook_url();
    let ended = Ended::of(doctor(&desk, &webhook, &[], &["--portal", "other"])).await;
    assert!(
        ended.failure(1).contains("there is no portal `other`"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn chain_of_a_bot_is_told_while_the_gateway_runs_and_while_not() {
    let desk = Desk::new().await;
    let webhook = desk.portal.webhook_url();
    let ask = || doctor(&desk, &webhook, &[], &["--bot", "helper"]);
    let running = Running::of(desk.serve(&[], &[])).await;
    let out = told(ask(), 1).await;
    assert!(
        out.contains("no bot `helper` was registered in portal `default`"),
        "{out}"
    );
    let address = format!("http://{}", running.address);
    let mut bots = BotServiceClient::connect(address).await.unwrap();
    let bot = pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Helper".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    bots.register_bot(bot).await.unwrap();
    let out = told(ask(), 1).await;
    assert!(
        out.contains("bot helper of portal default at its subscription"),
        "{out}"
    );
    assert!(out.contains("nobody asks for its commands"), "{out}");
    running.stop("TERM").await;

    let out = told(ask(), 1).await;
    assert!(out.contains("no gateway runs with this store"), "{out}");
    assert!(
        out.contains("bot helper of portal default at its last poll"),
        "{out}"
    );
    assert!(out.contains("the portal lets us in"), "{out}");
}
