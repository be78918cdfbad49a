//! Measures how many simple calls a portal serves in a second (server and clients share one thread), and
//! what ten idle minutes cost under a paused clock.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bitrix24_sim::{Config, Limits, PortalConfig, Sim};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

type Failed = Box<dyn std::error::Error + Send + Sync>;

const CONNECTIONS: u64 = 16;
const LASTS: Duration = Duration::from_secs(3);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let sim = Sim::start(Config::default()).await?;
    let limits = Limits::none();
    let portal = sim
        .add_portal(PortalConfig {
            limits,
            ..PortalConfig::default()
        })
        .await?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(sim.ca_pem().as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = TlsConnector::from(Arc::new(config));
    let url = portal.webhook_url();
    let address = portal.address().trim_start_matches("https://").to_owned();
    let path = format!(
        "/rest/{}profile",
        url.split("/rest/").nth(1).unwrap_or_default()
    );

    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        callers.spawn(calls(tls.clone(), address.clone(), path.clone()));
    }
    let mut total = 0;
    while let Some(count) = callers.join_next().await {
        total += count??;
    }
    let rate = total / LASTS.as_secs();
    writeln!(std::io::stdout(), "{rate} calls/s on one thread")?;

    tokio::time::pause();
    let began = real_time();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let took = began.elapsed();
    writeln!(std::io::stdout(), "{took:?} for ten idle minutes")?;
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the runtime is paused"
)]
fn real_time() -> std::time::Instant {
    std::time::Instant::now()
}

/// Calls one after another on one connection and counts.
async fn calls(tls: TlsConnector, address: String, path: String) -> Result<u64, Failed> {
    let stream = tokio::net::TcpStream::connect(&address).await?;
    stream.set_nodelay(true)?;
    let stream = tls
        .connect(ServerName::try_from("127.0.0.1")?, stream)
        .await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let start = tokio::time::Instant::now();
    let mut count = 0;
    while start.elapsed() < LASTS {
        sender.ready().await?;
        let request = Request::post(&path)
            .header("host", &address)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from_static(b"{\"a\":1}")))?;
        let response = sender.send_request(request).await?;
        response.into_body().collect().await?;
        count += 1;
    }
    Ok(count)
}
