//! Where a gateway is, as somebody at a terminal names it.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use url::{Host, Url};

/// Where a gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// At an address of the network.
    Network {
        /// Whether it is spoken to over TLS.
        tls: bool,
        /// Its name or address, as it stands in its certificate.
        host: String,
        /// Its port.
        port: u16,
        /// Whether that is on this machine.
        near: bool,
    },
    /// At a Unix socket of this machine.
    Socket(PathBuf),
}

/// It is no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be such as http://127.0.0.1:50051, https://gateway.example.com:50051 or unix:/run/gateway.sock, not \"{0}\""
)]
pub struct NoTarget(String);

impl Target {
    /// Whether nobody else can read what is said there.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        match self {
            Self::Network { tls, near, .. } => *tls || *near,
            Self::Socket(_) => true,
        }
    }

    /// Where requests say that they go.
    pub(super) fn origin(&self) -> String {
        match self {
            Self::Network { .. } => self.to_string(),
            Self::Socket(_) => "http://localhost".to_owned(),
        }
    }
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let wrong = || NoTarget(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            // As gRPC names sockets: `unix:path` or `unix:///path`.
            let path = match path.strip_prefix("//") {
                Some(absolute) if absolute.starts_with('/') => absolute,
                Some(_) => return Err(wrong()),
                None => path,
            };
            let path = Some(path).filter(|path| !path.is_empty());
            return path.map(|path| Self::Socket(path.into())).ok_or_else(wrong);
        }
        // The log of a gateway names its address without the scheme.
        let url = if text.contains("://") {
            text.parse::<Url>()
        } else {
            format!("http://{text}").parse()
        };
        let url = url.map_err(|_| wrong())?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none();
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let host = url.host().filter(|_| bare).ok_or_else(wrong)?;
        let near = match &host {
            Host::Domain(name) => *name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => IpAddr::from(*address).to_canonical().is_loopback(),
        };
        Ok(Self::Network {
            tls,
            near,
            host: host.to_string(),
            port: url.port_or_known_default().ok_or_else(wrong)?,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network {
                tls, host, port, ..
            } => {
                let scheme = if *tls { "https" } else { "http" };
                write!(f, "{scheme}://{host}:{port}")
            }
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_people_and_logs_write_them() {
        for (text, read) in [
            ("http://127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("127.0.0.1:50051", "http://127.0.0.1:50051"),
            ("localhost:1", "http://localhost:1"),
            (
                "https://gateway.example.com",
                "https://gateway.example.com:443",
            ),
            ("https://[::1]:50051/", "https://[::1]:50051"),
            ("unix:run/gateway.sock", "unix:run/gateway.sock"),
            ("unix:///run/gateway.sock", "unix:/run/gateway.sock"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), read, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "unix:",
            "unix://run/gateway.sock",
            "ftp://gateway.example.com",
            "http://user@gateway.example.com",
            "http://gateway.example.com/path",
            "http://gateway.example.com:port",
            "http://",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_are_for_tls_and_this_machine() {
        for (text, confidential) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("https://gateway.example.com", true),
            ("unix:gateway.sock", true),
            ("http://gateway.example.com:1", false),
            ("http://10.0.0.7:1", false),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.is_confidential(), confidential, "{text}");
        }
    }
}
