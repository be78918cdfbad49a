//! The other end of a webhook: takes what a portal sends and writes it down.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// One request, as it arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) media: String,
    pub(crate) raw: String,
    /// Decoded names and values, in order.
    pub(crate) form: Vec<(String, String)>,
}

impl Received {
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let pair = self.form.iter().find(|(known, _)| known == name);
        pair.map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> &str {
        self.find(name)
            .unwrap_or_else(|| panic!("no {name} in {}", self.raw))
    }
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    arrived: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    pub(crate) async fn plain() -> Self {
        Self::start(None, 200).await
    }

    pub(crate) async fn answering(status: u16) -> Self {
        Self::start(None, status).await
    }

    /// With TLS; the certificate to trust comes along.
    pub(crate) async fn secure() -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        (Self::start(Some(tls), 200).await, made.cert.pem())
    }

    async fn start(tls: Option<TlsAcceptor>, status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (sender, arrived) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, sender) = (tls.clone(), sender.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, sender, status).await;
                            }
                        }
                        None => serve(stream, sender, status).await,
                    }
                });
            }
        });
        Self {
            url: format!("{scheme}://127.0.0.1:{port}/hook"),
            arrived,
        }
    }

    pub(crate) async fn next(&mut self) -> Received {
        self.arrived.recv().await.unwrap()
    }

    /// Whether something else has arrived already.
    pub(crate) fn is_quiet(&self) -> bool {
        self.arrived.is_empty()
    }
}

async fn serve<S>(stream: S, sender: mpsc::UnboundedSender<Received>, status: u16)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| {
        let sender = sender.clone();
        async move {
            let path = request.uri().to_string();
            let media = request.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let raw = String::from_utf8(body.to_vec()).unwrap();
            let pairs = raw.split('&').filter_map(|pair| pair.split_once('='));
            let form = pairs.map(|(name, value)| (decoded(name), decoded(value)));
            let form = form.collect();
            drop(sender.send(Received {
                path,
                media,
                raw,
                form,
            }));
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = status.try_into().unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text)
        .decode_utf8()
        .unwrap()
        .into_owned()
}
