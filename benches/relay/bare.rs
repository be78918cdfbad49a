//! The barest thing that passes HTTP/2 on: a connection behind each connection, every request and every
//! answer as it is. It reconnects to nothing, adds nothing and knows nothing of gRPC.

use std::{path::Path, sync::Arc};

use hyper::{Request, Uri, body::Incoming, client, server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::{
    common::{Outcome, gateway::CA_FILE},
    roles,
};

/// Passes on until killed.
pub(crate) async fn run(port: &str, folder: &Path) -> Outcome<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join(CA_FILE))?)?;
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(tls));
    let port: u16 = port.parse()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    roles::tell(&listener.local_addr()?.to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        let tls = tls.clone();
        tokio::spawn(async move {
            if let Err(error) = pass(stream, port, tls).await {
                eprintln!("bare: {error}");
            }
        });
    }
}

async fn pass(stream: TcpStream, port: u16, tls: TlsConnector) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let behind = TcpStream::connect(("127.0.0.1", port)).await?;
    behind.set_nodelay(true)?;
    let behind = tls.connect(ServerName::try_from("localhost")?, behind);
    let (sender, connection) = client::conn::http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(behind.await?))
        .await?;
    tokio::spawn(connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut sender = sender.clone();
        async move {
            let (mut head, body) = request.into_parts();
            let mut address = head.uri.into_parts();
            address.scheme = Some(hyper::http::uri::Scheme::HTTPS);
            head.uri = Uri::from_parts(address).unwrap_or_default();
            sender.send_request(Request::from_parts(head, body)).await
        }
    });
    server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}
