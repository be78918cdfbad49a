//! Settings of a relay, which has nothing of a gateway's but its log.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use hyper::header::HeaderValue;
use serde::Deserialize;
use url::{Host, Url};

use super::{Error, Sources, Span, grpc::given, invalid, layers, within};
use crate::{
    grpc::is_pod,
    http::ops,
    relay::{Config, Files, Target},
    telemetry,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRelay {
    socket: PathBuf,
    listen: String,
    max_connections: usize,
    upstream: String,
    ca_file: PathBuf,
    cert_file: PathBuf,
    key_file: PathBuf,
    token_file: PathBuf,
    connect_timeout: Span,
    keepalive: Span,
    pod: String,
    health_listen: String,
}

/// What a relay needs to know, checked; the rest may be wrong.
#[derive(Debug)]
pub struct Relaying {
    /// The relay.
    pub relay: Config,
    /// Where machines look at its health.
    pub lookout: Option<ops::Config>,
    /// Logs.
    pub telemetry: telemetry::Config,
}

impl Relaying {
    /// Reads all layers, and checks only this.
    ///
    /// # Errors
    ///
    /// The first setting that is unknown or of the wrong type, or of these breaks a rule.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let raw = layers::merge(sources)?;
        Ok(Self {
            lookout: raw.relay.lookout()?,
            relay: raw.relay.check()?,
            telemetry: raw.log.check(),
        })
    }
}

impl RawRelay {
    fn check(&self) -> Result<Config, Error> {
        let socket = given(&self.socket);
        let listen = match self.listen.as_str() {
            "" => None,
            text => Some(near(text)?),
        };
        if socket.is_none() && listen.is_none() {
            let rule = "or `relay.listen` is needed: there is nothing to take calls at";
            return Err(invalid("relay.socket", rule));
        }
        let (upstream, near) = target(&self.upstream)?;
        let files = Files {
            authorities: given(&self.ca_file),
            certificate: match (given(&self.cert_file), given(&self.key_file)) {
                (Some(certificate), Some(key)) => Some((certificate, key)),
                (None, None) => None,
                (None, _) => return Err(invalid("relay.cert_file", "is needed for the key")),
                (_, None) => {
                    return Err(invalid("relay.key_file", "is needed for the certificate"));
                }
            },
            token: given(&self.token_file),
        };
        let proven = files.certificate.is_some() || files.token.is_some();
        if !(proven || (near && !upstream.tls)) {
            let rule =
                "or `relay.token_file` is needed: nothing would prove the relay to the gateway";
            return Err(invalid("relay.cert_file", rule));
        }
        if files.certificate.is_some() && !upstream.tls {
            let rule = "proves nothing without TLS: `relay.upstream` must begin with https://";
            return Err(invalid("relay.cert_file", rule));
        }
        Ok(Config {
            socket,
            listen,
            connections: within("relay.max_connections", self.max_connections, 1..=100_000)?,
            upstream,
            files,
            connect_timeout: self.connect_timeout.within(
                "relay.connect_timeout",
                "100ms",
                "60s",
            )?,
            keepalive: self.keepalive.within("relay.keepalive", "1s", "1h")?,
            pod: self.pod()?,
        })
    }

    fn pod(&self) -> Result<Option<HeaderValue>, Error> {
        let pod = self.pod.as_str();
        if pod.is_empty() {
            return Ok(None);
        }
        let value = HeaderValue::from_str(pod).ok().filter(|_| is_pod(pod));
        let rule =
            || format!("must be a namespace and a name such as chat/support-0, not \"{pod}\"");
        value.map(Some).ok_or_else(|| invalid("relay.pod", rule()))
    }

    fn lookout(&self) -> Result<Option<ops::Config>, Error> {
        if self.health_listen.is_empty() {
            return Ok(None);
        }
        let listen = address("relay.health_listen", &self.health_listen)?;
        Ok(Some(ops::Config {
            listen,
            asked_for: true,
            named_by: "`relay.health_listen`",
            metrics: None,
        }))
    }
}

fn address(key: &str, text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| {
        let rule = format!("must be an address and a port such as 127.0.0.1:50052, not \"{text}\"");
        invalid(key, rule)
    })
}

/// An address that only this machine reaches: whoever reaches it speaks as the relay.
fn near(text: &str) -> Result<SocketAddr, Error> {
    let listen = address("relay.listen", text)?;
    if listen.ip().to_canonical().is_loopback() {
        return Ok(listen);
    }
    let rule = format!(
        "is {listen}, beyond this machine, and whoever reaches it speaks as the relay: it must be of this machine"
    );
    Err(invalid("relay.listen", rule))
}

/// Where the gateway is, and whether that is on this machine.
fn target(text: &str) -> Result<(Target, bool), Error> {
    let key = "relay.upstream";
    let wrong = || {
        let rule = format!(
            "must be the address of the gateway such as https://gateway.example.com:50051, not \"{text}\""
        );
        invalid(key, rule)
    };
    let url: Url = text.parse().map_err(|_| wrong())?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    let host = url.host().filter(|_| bare).ok_or_else(wrong)?;
    let tls = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(wrong()),
    };
    let near = match &host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).to_canonical().is_loopback(),
    };
    if !(tls || near) {
        let rule = format!(
            "is {text}, beyond this machine, where everybody could read what is said: it must begin with https://"
        );
        return Err(invalid(key, rule));
    }
    let target = Target {
        tls,
        host: host.to_string(),
        port: url.port_or_known_default().ok_or_else(wrong)?,
    };
    Ok((target, near))
}
