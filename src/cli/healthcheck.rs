//! Asks a gateway how it is, where there is nothing else to ask with, as in a container without a shell.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{fail, say};
use crate::config::{self, Flags, Keeping, Sources};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest answer, bytes.
const LONGEST: usize = 64 << 10;

/// Whom to ask, and what.
#[derive(Debug, Args)]
pub(super) struct Healthcheck {
    /// Configuration file (TOML), also from BITRIX24_GATEWAY_CONFIG; its `admin.listen` is asked.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask whether it is alive, not whether it is ready.
    #[arg(long)]
    live: bool,
    /// Ask at this address instead, such as http://127.0.0.1:9464/readyz.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "live"])]
    url: Option<Uri>,
}

#[derive(Debug, thiserror::Error)]
enum Ill {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(
        "`admin.listen` is empty: there is nothing to ask; set it, or name an address with --url"
    )]
    Nowhere,
    #[error("`admin.listen` has port 0: name the address with --url")]
    AnyPort,
    #[error("--url must begin with http:// and a host, not \"{0}\"")]
    Url(Uri),
    #[error(
        "{at} does not answer: {cause}; look whether the gateway runs, with this `admin.listen`"
    )]
    Silent {
        at: String,
        #[source]
        cause: io::Error,
    },
    #[error("{at} says {status}: {lines}")]
    Says {
        at: String,
        status: StatusCode,
        lines: String,
    },
}

impl Healthcheck {
    /// 0 when all is well, 1 when it is not or nobody knows.
    pub(super) async fn run(self) -> ExitCode {
        match self.ask().await {
            Ok(well) => {
                say(&well);
                ExitCode::SUCCESS
            }
            Err(ill) => fail(1, &ill),
        }
    }

    async fn ask(self) -> Result<String, Ill> {
        let (at, path) = match self.url {
            Some(url) => {
                let plain = url.scheme_str() == Some("http");
                let Some(host) = url.host().filter(|_| plain) else {
                    return Err(Ill::Url(url));
                };
                let at = format!("{host}:{}", url.port_u16().unwrap_or(80));
                let path = url.path_and_query().map_or("/", |path| path.as_str());
                (at, path.to_owned())
            }
            None => {
                let sources = Sources::of_process(self.config, Flags::default());
                let lookout = Keeping::load(&sources)?.lookout.ok_or(Ill::Nowhere)?;
                let path = if self.live { "/livez" } else { "/readyz" };
                (near(lookout.listen)?.to_string(), path.to_owned())
            }
        };
        let asked = timeout(PATIENCE, exchange(&at, &path)).await;
        let asked = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let (status, body) = asked.map_err(|cause| Ill::Silent {
            at: at.clone(),
            cause,
        })?;
        let body = String::from_utf8_lossy(&body);
        let lines: Vec<_> = body.lines().collect();
        let lines = lines.join("; ");
        match status {
            StatusCode::OK => Ok(lines),
            status => Err(Ill::Says { at, status, lines }),
        }
    }
}

/// Where a listener of this machine is reached.
fn near(listen: SocketAddr) -> Result<SocketAddr, Ill> {
    if listen.port() == 0 {
        return Err(Ill::AnyPort);
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

async fn exchange(at: &str, path: &str) -> io::Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(at).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let request = Request::get(path)
        .header(header::HOST, at)
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let asking = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        Ok((status, body.map_err(io::Error::other)?.to_bytes()))
    };
    let mut asking = std::pin::pin!(asking);
    tokio::select! {
        answer = &mut asking => answer,
        // It carries the answer, and ends when that is there.
        _ended = connection => asking.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listener_on_every_address_is_reached_on_this_machine() {
        for (listen, at) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("10.0.0.7:9464", "10.0.0.7:9464"),
        ] {
            let near = near(listen.parse().unwrap()).unwrap();
            assert_eq!(near.to_string(), at);
        }
        assert!(matches!(
            near("127.0.0.1:0".parse().unwrap()),
            Err(Ill::AnyPort)
        ));
    }
}
