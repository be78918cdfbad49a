//! What stands in front of the gateway and speaks TLS, at an address that stays.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Passes connections on, and ends them while there is nobody behind it.
pub(crate) struct Ingress {
    pub(crate) url: String,
    /// Whom to trust.
    pub(crate) ca_pem: String,
    behind: Arc<Mutex<Option<SocketAddr>>>,
}

impl Ingress {
    pub(crate) async fn open() -> Self {
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let behind: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let leads = Arc::clone(&behind);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, leads) = (tls.clone(), Arc::clone(&leads));
                tokio::spawn(async move {
                    let Ok(mut outside) = tls.accept(stream).await else {
                        return;
                    };
                    let behind = *leads.lock().unwrap();
                    if let Some(behind) = behind
                        && let Ok(mut inside) = TcpStream::connect(behind).await
                    {
                        let _ended = copy_bidirectional(&mut outside, &mut inside).await;
                    }
                });
            }
        });
        Self {
            url,
            ca_pem: made.cert.pem(),
            behind,
        }
    }

    pub(crate) fn leads_to(&self, behind: Option<SocketAddr>) {
        *self.behind.lock().unwrap() = behind;
    }
}
