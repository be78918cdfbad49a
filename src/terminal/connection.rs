//! A connection to a gateway, and in plain words why there is none.

use std::{io, sync::Arc, time::Duration};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tower::service_fn;

use super::Target;
use crate::{
    fault::Chain,
    relay::{Files, Identity, IdentityError},
};

/// The gateway is asked for a sign of life this often while something is under way.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long it may owe that sign.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(20);

/// What starts a gateway.
const START: &str = if cfg!(feature = "sim") {
    "`serve` or `dev`"
} else {
    "`serve`"
};

/// How to reach a gateway.
#[derive(Debug, Clone)]
pub struct Way {
    /// Where it is.
    pub target: Target,
    /// By what it is known, and what proves the caller to it.
    pub files: Files,
    /// Patience with connecting.
    pub patience: Duration,
}

/// Why a gateway is not reached, and what to try.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Nobody answers.
    #[error(
        "no gateway answers at {target}: {cause}; start one there with {start}, or name another with --address",
        start = START
    )]
    Away {
        /// Where.
        target: Target,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// Nobody answers in time.
    #[error(
        "{target} did not answer within {patience:?}: look whether --address is right and no firewall is in between, or wait longer with --connect-timeout"
    )]
    Late {
        /// Where.
        target: Target,
        /// The patience.
        patience: Duration,
    },
    /// No secret could be agreed on, or the other side is not whom it says.
    #[error("no TLS with {target}: {cause}; {}", tls_advice(.cause))]
    Tls {
        /// Where.
        target: Target,
        /// What is wrong.
        #[source]
        cause: io::Error,
    },
    /// It is something else.
    #[error(
        "what answers at {0} does not speak gRPC: --address is to name the gateway's `grpc.listen` or `grpc.socket`, with https:// if it has `grpc.tls`"
    )]
    NotGrpc(Target),
    /// Files that say who calls.
    #[error("{}: name other files with --ca-file, --cert-file, --key-file and --token-file", Chain(.0))]
    Identity(#[from] IdentityError),
    /// Everybody could read it.
    #[error(
        "the token is not sent to {0}, where everybody could read it on its way: use https://, or a gateway or relay of this machine"
    )]
    Open(Target),
    /// The library refuses.
    #[error("no connection to {target}: {}; name another place with --address", Chain(.cause))]
    Library {
        /// Where.
        target: Target,
        /// What it says.
        #[source]
        cause: tonic::transport::Error,
    },
}

/// A gateway that was reached. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(super) channel: Channel,
    bearer: Option<MetadataValue<Ascii>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Way {
    /// Connects. One that is lost is not made anew.
    ///
    /// # Errors
    ///
    /// Nobody is there, or not whom we expect, or what is to prove us cannot be used.
    pub async fn connect(&self) -> Result<Connection, Unreached> {
        let target = &self.target;
        if self.files.token.is_some() && !target.is_confidential() {
            return Err(Unreached::Open(target.clone()));
        }
        let identity = Identity::load(self.files.clone()).await?;
        let made = timeout(self.patience, self.make(&identity)).await;
        let stream = made.map_err(|_| Unreached::Late {
            target: target.clone(),
            patience: self.patience,
        })??;
        let mut stream = Some(TokioIo::new(stream));
        let once = service_fn(move |_: Uri| {
            let stream = stream.take();
            async move { stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let library = |cause| Unreached::Library {
            target: target.clone(),
            cause,
        };
        let endpoint = Endpoint::from_shared(target.origin())
            .and_then(|it| it.user_agent(concat!("bitrix24-gateway/", env!("CARGO_PKG_VERSION"))))
            .map_err(library)?
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_PATIENCE);
        let channel = endpoint.connect_with_connector(once).await;
        let bearer = identity.bearer().and_then(|bearer| {
            let mut value = MetadataValue::try_from(bearer.as_bytes()).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Connection {
            channel: channel.map_err(library)?,
            bearer,
        })
    }

    async fn make(&self, identity: &Identity) -> Result<Box<dyn Stream>, Unreached> {
        let target = &self.target;
        let away = |cause| Unreached::Away {
            target: target.clone(),
            cause,
        };
        let (tls, host, port) = match target {
            Target::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(away)?;
                return Ok(Box::new(stream));
            }
            Target::Network {
                tls, host, port, ..
            } => (*tls, host.trim_matches(['[', ']']), *port),
        };
        let stream = TcpStream::connect((host, port)).await.map_err(away)?;
        stream.set_nodelay(true).map_err(away)?;
        if !tls {
            return Ok(Box::new(stream));
        }
        let untrusted = |cause| Unreached::Tls {
            target: target.clone(),
            cause,
        };
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| untrusted(io::Error::other(error)))?;
        let connector = TlsConnector::from(Arc::clone(&identity.tls()));
        let stream = connector.connect(name, stream).await.map_err(untrusted)?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(Unreached::NotGrpc(target.clone()));
        }
        Ok(Box::new(stream))
    }
}

impl Connection {
    /// A request that says who calls.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", bearer.clone());
        }
        request
    }
}

/// What may help where TLS failed.
fn tls_advice(cause: &io::Error) -> &'static str {
    use rustls::Error;
    let inner = cause.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "name the authority that vouches for it with --ca-file"
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "use a name in --address that stands in its certificate",
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "its operator has to renew the certificate",
        Some(Error::InvalidMessage(_)) => "it may not speak TLS: try http:// in --address",
        Some(Error::AlertReceived(_)) => {
            "it may want a certificate of yours: --cert-file and --key-file"
        }
        _ => "look whether --address and --ca-file are right",
    }
}
