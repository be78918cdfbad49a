//! What proves the relay to the gateway behind it, and by what it knows that gateway.
//!
//! The files are looked at every few seconds. A new token counts for the next call, a new certificate
//! for the next connection; a change that cannot be used changes nothing and is told once.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use hyper::header::HeaderValue;
use ring::digest::{SHA256, digest};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use secrecy::zeroize::Zeroizing;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    fault::Chain,
    tls::{self, certificates},
};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Files of the relay's identity.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// Authorities (PEM) that vouch for the gateway; without, the public ones.
    pub authorities: Option<PathBuf>,
    /// The relay's certificate with those between it and an authority, and its key (PEM).
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// A bearer token.
    pub token: Option<PathBuf>,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Certificates, or a file that cannot be read.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The token is none.
    #[error("{} does not hold a token", .0.display())]
    Token(PathBuf),
}

/// What is shown at the moment.
#[derive(Clone)]
struct Shown {
    tls: Arc<ClientConfig>,
    bearer: Option<HeaderValue>,
}

/// Equal hashes, equal files.
#[derive(Clone, PartialEq, Eq)]
struct Fingerprint([Vec<u8>; 4]);

/// What the files hold.
struct Held([Zeroizing<Vec<u8>>; 4]);

/// The identity as the files say. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Identity(Arc<Inner>);

struct Inner {
    files: Files,
    current: RwLock<Shown>,
    read: Fingerprint,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.files).finish()
    }
}

impl Identity {
    pub(crate) async fn load(files: Files) -> Result<Self, Error> {
        let held = read(files.clone()).await?;
        let current = RwLock::new(shown(&files, &held)?);
        let read = held.fingerprint();
        Ok(Self(Arc::new(Inner {
            files,
            current,
            read,
        })))
    }

    /// How connections to the gateway are made secret.
    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        let current = self.0.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner).tls)
    }

    /// What calls show in `authorization`.
    pub(crate) fn bearer(&self) -> Option<HeaderValue> {
        let current = self.0.current.read();
        let current = current.unwrap_or_else(PoisonError::into_inner);
        current.bearer.clone()
    }

    /// Looks at the files again and again, until the process stops.
    pub(super) async fn keep_reading(self, stop: CancellationToken) {
        let files = &self.0.files;
        let mut seen = self.0.read.clone();
        let mut failed = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(LOOK) => {}
            }
            let held = match read(files.clone()).await {
                Ok(held) => held,
                Err(error) if !failed => {
                    failed = true;
                    error!(error = %Chain(&error), "the relay's identity cannot be read again: the one before stays");
                    continue;
                }
                Err(_) => continue,
            };
            failed = false;
            let now = held.fingerprint();
            if now == seen {
                continue;
            }
            seen = now;
            match shown(files, &held) {
                Ok(shown) => {
                    let mut current = self.0.current.write();
                    *current
                        .as_deref_mut()
                        .unwrap_or_else(|poisoned| poisoned.get_mut()) = shown;
                    info!("the relay's identity was changed");
                }
                Err(error) => {
                    error!(error = %Chain(&error), "the relay's changed identity cannot be used: the one before stays");
                }
            }
        }
    }
}

impl Held {
    fn fingerprint(&self) -> Fingerprint {
        let hash = |bytes: &Zeroizing<Vec<u8>>| digest(&SHA256, bytes).as_ref().to_vec();
        Fingerprint(self.0.each_ref().map(hash))
    }
}

/// Reads the files: authorities, certificate, key, token.
async fn read(files: Files) -> Result<Held, tls::Error> {
    let reading = move || {
        let file = |path: Option<&Path>| match path {
            Some(path) => fs::read(path)
                .map(Zeroizing::new)
                .map_err(|cause| tls::Error::File(path.to_owned(), cause)),
            None => Ok(Zeroizing::default()),
        };
        let own = files.certificate.as_ref();
        Ok(Held([
            file(files.authorities.as_deref())?,
            file(own.map(|(certificate, _)| certificate.as_path()))?,
            file(own.map(|(_, key)| key.as_path()))?,
            file(files.token.as_deref())?,
        ]))
    };
    tokio::task::spawn_blocking(reading).await?
}

fn shown(files: &Files, held: &Held) -> Result<Shown, Error> {
    let [authorities, certificate, key, token] = &held.0;
    let mut roots = RootCertStore::empty();
    match &files.authorities {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for authority in certificates(path, authorities)? {
                roots.add(authority).map_err(tls::Error::Tls)?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls::Error::Tls)?
        .with_root_certificates(roots);
    let mut config = match &files.certificate {
        None => builder.with_no_client_auth(),
        Some((path, key_path)) => {
            let chain = certificates(path, certificate)?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|cause| tls::Error::Pem(key_path.clone(), cause))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(tls::Error::Tls)?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let bearer = match &files.token {
        None => None,
        Some(path) => Some(bearer(token).ok_or_else(|| Error::Token(path.clone()))?),
    };
    Ok(Shown {
        tls: Arc::new(config),
        bearer,
    })
}

/// The header that shows a token; its file may end in a new line.
fn bearer(token: &[u8]) -> Option<HeaderValue> {
    let token = str::from_utf8(token).ok()?.trim();
    if token.is_empty() || token.contains(char::is_whitespace) {
        return None;
    }
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_one_word() {
        assert_eq!(bearer(b" b24gw_x\n").unwrap(), "Bearer b24gw_x");
        assert!(bearer(b"x").unwrap().is_sensitive());
        for wrong in [&b""[..], b"\n", b"two words", b"\xff", b"a\0b"] {
            assert_eq!(bearer(wrong), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changed_token_counts_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "first").unwrap();
        let identity = Identity::load(Files {
            token: Some(path.clone()),
            ..Files::default()
        });
        let identity = identity.await.unwrap();
        let stop = CancellationToken::new();
        let reading = tokio::spawn(identity.clone().keep_reading(stop.clone()));
        for (held, shown) in [
            ("second", "Bearer second"),
            ("not one", "Bearer second"),
            ("third", "Bearer third"),
        ] {
            fs::write(&path, held).unwrap();
            // Reading happens on a thread, which the paused clock waits for.
            sleep(LOOK * 2).await;
            assert_eq!(identity.bearer().unwrap(), shown);
        }
        fs::remove_file(&path).unwrap();
        sleep(LOOK * 2).await;
        assert_eq!(identity.bearer().unwrap(), "Bearer third");
        stop.cancel();
        reading.await.unwrap();
    }
}
