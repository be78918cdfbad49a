//! Settings of the gRPC API.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use super::{Error, Span, invalid, size, within};
use crate::{
    grpc::{Config, DoorConfig, Share},
    tls::Files,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGrpc {
    listen: String,
    socket: PathBuf,
    pub(super) insecure: bool,
    max_request_bytes: u64,
    max_header_bytes: u32,
    max_connections: usize,
    max_calls_per_caller: usize,
    max_streams_per_caller: usize,
    handshake_timeout: Span,
    tls: RawTls,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    cert_file: PathBuf,
    key_file: PathBuf,
    client_ca_file: PathBuf,
}

impl RawGrpc {
    /// Checks them; `callers` says whether somebody is configured to call.
    pub(super) fn check(&self, callers: bool) -> Result<Config, Error> {
        let listen: SocketAddr = self.listen.parse().map_err(|_| {
            let rule = format!(
                "must be an address and a port such as 127.0.0.1:50051, not \"{}\"",
                self.listen
            );
            invalid("grpc.listen", rule)
        })?;
        let tls = self.tls.check()?;
        let guarded = callers && tls.is_some();
        if !(listen.ip().is_loopback() || guarded || self.insecure) {
            if !callers {
                return Err(no_callers(listen));
            }
            let missing = "credentials would travel in the clear: configure `grpc.tls`";
            return Err(open_to_strangers(listen, missing));
        }
        Ok(Config {
            door: DoorConfig {
                listen,
                socket: given(&self.socket),
                tls,
                connections: within("grpc.max_connections", self.max_connections, 1..=1_000_000)?,
                handshake: self.handshake_timeout.within(
                    "grpc.handshake_timeout",
                    "100ms",
                    "60s",
                )?,
            },
            max_request_bytes: size("grpc.max_request_bytes", self.max_request_bytes)?,
            max_header_bytes: within(
                "grpc.max_header_bytes",
                self.max_header_bytes,
                4096..=1 << 20,
            )?,
            share: Share {
                calls: within(
                    "grpc.max_calls_per_caller",
                    self.max_calls_per_caller,
                    1..=1_000_000,
                )?,
                streams: within(
                    "grpc.max_streams_per_caller",
                    self.max_streams_per_caller,
                    1..=1_000_000,
                )?,
            },
        })
    }
}

/// Beyond this machine somebody listens who lets everybody in.
#[must_use]
pub fn no_callers(listen: SocketAddr) -> Error {
    let missing = "callers are not authenticated: configure `callers` and `grpc.tls`";
    open_to_strangers(listen, missing)
}

fn open_to_strangers(listen: SocketAddr, missing: &str) -> Error {
    let rule = format!(
        "is {listen}, beyond this machine, but {missing}, or set `grpc.insecure` (flag --insecure) if \
         whatever surrounds the gateway keeps strangers out"
    );
    invalid("grpc.listen", rule)
}

impl RawTls {
    fn check(&self) -> Result<Option<Files>, Error> {
        let client_authorities = given(&self.client_ca_file);
        match (given(&self.cert_file), given(&self.key_file)) {
            (Some(certificate), Some(key)) => Ok(Some(Files {
                certificate,
                key,
                client_authorities,
            })),
            (None, None) if client_authorities.is_none() => Ok(None),
            (None, _) => Err(invalid("grpc.tls.cert_file", "is needed for TLS")),
            (_, None) => Err(invalid("grpc.tls.key_file", "is needed for TLS")),
        }
    }
}

/// A path, unless it is empty.
pub(super) fn given(path: &PathBuf) -> Option<PathBuf> {
    Some(path)
        .filter(|path| !path.as_os_str().is_empty())
        .cloned()
}
