//! A gateway that costs next to nothing: the same answer to everything, after the time a portal takes.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use bitrix24_gateway::proto::v1 as pb;
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{HeaderMap, Response, body::Incoming, header::HeaderValue, server::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    common::{Outcome, gateway::CA_FILE},
    roles,
};

/// How long an answer takes, as one does that waits for a portal: so many calls are under way, and what is
/// measured is how late each comes, not how long it waits for a processor.
pub(crate) const PORTAL: Duration = Duration::from_millis(100);

/// Answers at two ports until killed, at the second one over TLS, and tells both.
pub(crate) async fn run(folder: &Path) -> Outcome<()> {
    let acceptor = TlsAcceptor::from(Arc::new(certified(&folder.join(CA_FILE))?));
    let plain = TcpListener::bind("127.0.0.1:0").await?;
    let secret = TcpListener::bind("127.0.0.1:0").await?;
    let ports = [plain.local_addr()?.port(), secret.local_addr()?.port()];
    roles::tell(&format!("{} {}", ports[0], ports[1]));
    loop {
        tokio::select! {
            accepted = plain.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                tokio::spawn(serve(stream));
            }
            accepted = secret.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // What breaks here fails the call over there, which is told.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream).await;
                    }
                });
            }
        }
    }
}

async fn serve<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| async {
        // A request that breaks off is told where it was made.
        let _read = request.into_body().collect().await;
        sleep(PORTAL).await;
        let frames = [Frame::data(answered()), Frame::trailers(well())];
        let frames = futures_util::stream::iter(frames.map(Ok::<_, Infallible>));
        let mut response = Response::new(StreamBody::new(frames));
        let media = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", media);
        Ok::<_, Infallible>(response)
    });
    let serving = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(2000)
        .serve_connection(TokioIo::new(stream), service);
    let _ended = serving.await;
}

/// The message, as it travels.
fn answered() -> Bytes {
    let answer = pb::AnswerCommandResponse {
        outcome: pb::AnswerOutcome::Answered.into(),
        message_id: Some(4711),
    };
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(answer.encoded_len()).unwrap_or_default());
    bytes.put_slice(&answer.encode_to_vec());
    bytes.freeze()
}

fn well() -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert("grpc-status", HeaderValue::from_static("0"));
    fields
}

/// A certificate for this machine; whoever is to trust it finds its authority in the file.
fn certified(ca_file: &Path) -> Outcome<ServerConfig> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate()?;
    std::fs::write(ca_file, authority.self_signed(&authority_key)?.pem())?;
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate()?;
    let own = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
