//! TLS for those who come to us: our certificate, and whose certificates prove callers.
//!
//! The files are looked at every few seconds. What was changed counts for new connections; a change
//! that cannot be used changes nothing and is told once.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use ring::digest::{SHA256, digest};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use secrecy::zeroize::Zeroizing;
use tokio::{net::TcpStream, time::sleep};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use webpki::EndEntityCert;

use crate::fault::Chain;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Files for TLS, PEM.
#[derive(Debug, Clone)]
pub struct Files {
    /// Our certificate and those between it and an authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities whose certificates prove callers.
    pub client_authorities: Option<PathBuf>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{} cannot be read", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// A file is no PEM, or not of what it should hold.
    #[error("{} does not hold what it should", .0.display())]
    Pem(PathBuf, #[source] pem::Error),
    /// There is no certificate.
    #[error("there is no certificate in {}", .0.display())]
    Empty(PathBuf),
    /// The TLS library refused them; the key may be of another certificate.
    #[error("certificate and key cannot be used")]
    Tls(#[from] rustls::Error),
    /// The authorities cannot be used.
    #[error("the authorities for clients cannot be used")]
    Clients(#[from] VerifierBuilderError),
    /// The reading broke off.
    #[error("reading the files broke off")]
    Broken(#[from] tokio::task::JoinError),
}

/// What the files held: equal hashes, equal files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint([Vec<u8>; 3]);

/// What the files hold.
struct Read {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    authorities: Vec<u8>,
}

/// TLS as the files say. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tls(Arc<Inner>);

/// What is spoken inside of TLS, by its name in the handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

#[derive(Debug)]
struct Inner {
    files: Files,
    protocol: Protocol,
    current: RwLock<Arc<ServerConfig>>,
    read: Fingerprint,
}

impl Protocol {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// Whether the files can be used.
///
/// # Errors
///
/// What is wrong with them.
pub async fn check(files: Files) -> Result<(), Error> {
    Tls::load(files, Protocol::Http2).await.map(drop)
}

impl Tls {
    pub(crate) async fn load(files: Files, protocol: Protocol) -> Result<Self, Error> {
        let (read, held) = read(files.clone()).await?;
        let config = config(&files, &held, protocol)?;
        Ok(Self(Arc::new(Inner {
            files,
            protocol,
            current: RwLock::new(Arc::new(config)),
            read,
        })))
    }

    /// Makes a connection secret, and tells the names of the caller's certificate.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Vec<Box<str>>)> {
        let config = {
            let current = self.0.current.read();
            Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
        };
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let names = match certificates.and_then(<[_]>::first) {
            Some(certificate) => names(certificate)?,
            None => Vec::new(),
        };
        Ok((stream, names))
    }

    /// Looks at the files again and again, until the process stops.
    pub(crate) async fn keep_reading(self, stop: CancellationToken) {
        let mut seen = self.0.read.clone();
        let mut failed = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK) => {}
            }
            match read(self.0.files.clone()).await {
                Ok((now, _)) if now == seen => failed = false,
                Ok((now, held)) => {
                    seen = now;
                    failed = false;
                    match config(&self.0.files, &held, self.0.protocol) {
                        Ok(config) => {
                            let mut current = self.0.current.write();
                            *current
                                .as_deref_mut()
                                .unwrap_or_else(|poisoned| poisoned.get_mut()) = Arc::new(config);
                            info!(file = %self.0.files.certificate.display(), "the certificate was changed");
                        }
                        Err(error) => {
                            error!(error = %Chain(&error), "the changed certificate cannot be used: the one before stays");
                        }
                    }
                }
                Err(error) if !failed => {
                    failed = true;
                    error!(error = %Chain(&error), "the certificate cannot be read again: the one before stays");
                }
                Err(_) => {}
            }
        }
    }
}

/// Reads the files.
async fn read(files: Files) -> Result<(Fingerprint, Read), Error> {
    let reading = move || {
        let file =
            |path: &Path| fs::read(path).map_err(|cause| Error::File(path.to_owned(), cause));
        let held = Read {
            certificate: file(&files.certificate)?,
            key: Zeroizing::new(file(&files.key)?),
            authorities: match &files.client_authorities {
                Some(path) => file(path)?,
                None => Vec::new(),
            },
        };
        let hash = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
        let prints = [&held.certificate, &*held.key, &held.authorities];
        Ok((Fingerprint(prints.map(|bytes| hash(bytes))), held))
    };
    tokio::task::spawn_blocking(reading).await?
}

fn config(files: &Files, held: &Read, protocol: Protocol) -> Result<ServerConfig, Error> {
    let chain = certificates(&files.certificate, &held.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&held.key)
        .map_err(|cause| Error::Pem(files.key.clone(), cause))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &files.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path, &held.authorities)? {
                roots.add(authority)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                // Callers with a token need no certificate.
                .allow_unauthenticated()
                .build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![protocol.name().to_vec()];
    Ok(config)
}

pub(crate) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|cause| Error::Pem(path.to_owned(), cause))?;
    if found.is_empty() {
        return Err(Error::Empty(path.to_owned()));
    }
    Ok(found)
}

/// The DNS names and URIs of a certificate, URIs first: they are made for naming services.
fn names(certificate: &CertificateDer<'_>) -> io::Result<Vec<Box<str>>> {
    let certificate = EndEntityCert::try_from(certificate)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let (uris, dns) = (certificate.valid_uri_names(), certificate.valid_dns_names());
    Ok(uris.chain(dns).map(Into::into).collect())
}
