//! Settings of the HTTP listener.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::{Error, grpc::given, invalid, within};
use crate::{
    http::{Config, PublicUrl},
    tls::Files,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    listen: String,
    public_url: String,
    insecure: bool,
    max_connections: usize,
    tls: RawTls,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl RawHttp {
    /// Checks them. `None` where nobody is listened to.
    pub(super) fn check(&self) -> Result<Option<Config>, Error> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let listen: SocketAddr = self.listen.parse().map_err(|_| {
            let rule = format!(
                "must be an address and a port such as 127.0.0.1:8080, not \"{}\"",
                self.listen
            );
            invalid("http.listen", rule)
        })?;
        let tls = self.tls.check()?;
        if !(listen.ip().is_loopback() || tls.is_some() || self.insecure) {
            let rule = format!(
                "is {listen}, beyond this machine, but tokens would travel in the clear: configure `http.tls`, or set \
                 `http.insecure` if what stands in front speaks TLS and keeps strangers out"
            );
            return Err(invalid("http.listen", rule));
        }
        let public_url = self.public_url.parse::<PublicUrl>();
        Ok(Some(Config {
            listen,
            tls,
            connections: within("http.max_connections", self.max_connections, 1..=100_000)?,
            public_url: public_url.map_err(|rule| invalid("http.public_url", rule.to_string()))?,
        }))
    }
}

impl RawTls {
    fn check(&self) -> Result<Option<Files>, Error> {
        match (given(&self.cert_file), given(&self.key_file)) {
            (Some(certificate), Some(key)) => Ok(Some(Files {
                certificate,
                key,
                client_authorities: None,
            })),
            (None, None) => Ok(None),
            (None, _) => Err(invalid("http.tls.cert_file", "is needed for TLS")),
            (_, None) => Err(invalid("http.tls.key_file", "is needed for TLS")),
        }
    }
}
