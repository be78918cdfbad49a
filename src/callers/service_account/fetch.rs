//! Reads the keys from an address.
//!
//! Apart from the transport to portals, with which it shares neither credentials nor trust.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest answer, bytes.
const ANSWER: usize = 1 << 20;

/// Whom to trust at an address.
#[derive(Debug, Clone)]
pub struct Trust(Arc<ClientConfig>);

/// Why an authority cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// The certificates are no PEM.
    #[error("certificates cannot be read: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The TLS library refused them.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl Trust {
    /// In these certificates, or else in the public ones.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn new(pem: Option<&[u8]>) -> Result<Self, Untrusted> {
        let mut roots = RootCertStore::empty();
        match pem {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    roots.add(certificate?)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

/// Why an address cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the token to show there cannot be read")]
    Token(#[source] io::Error),
    #[error("it cannot be connected to")]
    Connect(#[source] io::Error),
    #[error("it has no host that can be connected to")]
    Host,
    #[error("HTTP failed")]
    Http(#[source] hyper::Error),
    #[error("the request cannot be made")]
    Request(#[source] hyper::http::Error),
    #[error("HTTP status {0}")]
    Status(u16),
    #[error("the answer is larger than {ANSWER} bytes")]
    TooLarge,
    #[error("the answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub(super) async fn fetch(
    url: &Url,
    trust: &Trust,
    token_file: Option<&Path>,
) -> Result<Vec<u8>, Error> {
    let token = match token_file {
        // A few bytes of a mounted file.
        Some(path) => Some(fs::read_to_string(path).map_err(Error::Token)?),
        None => None,
    };
    let fetching = async {
        let host = url.host().ok_or(Error::Host)?;
        let port = url.port_or_known_default().ok_or(Error::Host)?;
        let name = match &host {
            Host::Domain(name) => (*name).to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let tcp = TcpStream::connect((name.as_str(), port))
            .await
            .map_err(Error::Connect)?;
        if url.scheme() != "https" {
            return exchange(tcp, url, token.as_deref()).await;
        }
        let name = ServerName::try_from(name).map_err(|_| Error::Host)?;
        let tls = TlsConnector::from(Arc::clone(&trust.0))
            .connect(name, tcp)
            .await
            .map_err(Error::Connect)?;
        exchange(tls, url, token.as_deref()).await
    };
    timeout(PATIENCE, fetching).await.map_err(|_| Error::Late)?
}

async fn exchange(
    connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Url,
    token: Option<&str>,
) -> Result<Vec<u8>, Error> {
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = Request::get(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/jwk-set+json, application/json");
    if let Some(token) = token {
        let mut value = header::HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|wrong| Error::Request(wrong.into()))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(Error::Request)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(connection))
        .await
        .map_err(Error::Http)?;
    let answering = async {
        let answer = sender.send_request(request).await.map_err(Error::Http)?;
        if answer.status() != hyper::StatusCode::OK {
            return Err(Error::Status(answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), ANSWER).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(error) if error.is::<LengthLimitError>() => Err(Error::TooLarge),
            Err(error) => Err(Error::Body(error)),
        }
    };
    // The connection moves only while it is polled, and lives no longer than the answer takes.
    let mut answering = std::pin::pin!(answering);
    tokio::select! {
        answer = &mut answering => answer,
        _ended = connection => answering.await,
    }
}
