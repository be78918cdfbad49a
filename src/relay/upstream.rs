//! Connections to the gateway behind the relay.
//!
//! Every connection of a caller has one of its own behind it, so that a caller who does not read holds
//! up nobody else, and nothing is shared that could fill. One more is kept in reserve: it shows whether
//! the gateway is there, and is given to whoever comes next. While the gateway is away, one attempt
//! after another is made in growing, jittered pauses, and calls in a pause are refused at once.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
    header::HeaderValue,
    http::uri::{Authority, Scheme},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{PATIENCE, SEND_BUFFER, WINDOW, WINDOWS, identity::Identity, refused::Refused};
use crate::{fault::Chain, lifecycle::Lifecycle};

/// The first pause between two attempts, and the longest.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Fields of one answer, bytes: more than a gateway sends.
const FIELDS: u32 = 1 << 20;

/// Where the gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// Its name or address, as it stands in its certificate.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Sends requests over one connection.
pub(super) type Sender = SendRequest<Incoming>;

/// The gateway behind the relay. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Upstream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: Target,
    scheme: Scheme,
    authority: Authority,
    identity: Identity,
    connect_timeout: Duration,
    keepalive: Duration,
    life: Lifecycle,
    state: Mutex<State>,
    /// A connection was lost, or could not be made.
    shaken: Notify,
}

#[derive(Debug)]
struct State {
    reserve: Option<Sender>,
    reached: Reached,
    /// Between attempts that fail.
    pauses: ExponentialBackoff,
}

/// Whether the last attempt reached the gateway.
#[derive(Debug)]
enum Reached {
    NotTried,
    Yes,
    No {
        why: Box<str>,
        /// When to try again.
        next: Instant,
    },
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTried => f.write_str("not tried yet"),
            Self::Yes => f.write_str("reached"),
            Self::No { why, .. } => write!(f, "cannot be reached: {why}"),
        }
    }
}

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
enum Unconnected {
    #[error("no connection within {0:?}")]
    Late(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it does not speak HTTP/2")]
    NoHttp2,
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl Upstream {
    pub(super) fn new(
        target: Target,
        authority: Authority,
        identity: Identity,
        (connect_timeout, keepalive): (Duration, Duration),
        life: Lifecycle,
    ) -> Self {
        let scheme = if target.tls {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        Self(Arc::new(Inner {
            target,
            scheme,
            authority,
            identity,
            connect_timeout,
            keepalive,
            life,
            state: Mutex::new(State {
                reserve: None,
                reached: Reached::NotTried,
                pauses: pauses(),
            }),
            shaken: Notify::new(),
        }))
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.0.scheme.clone()
    }

    pub(super) fn authority(&self) -> Authority {
        self.0.authority.clone()
    }

    pub(super) fn bearer(&self) -> Option<HeaderValue> {
        self.0.identity.bearer()
    }

    /// Whether the gateway is reached, in words for operators.
    pub(super) fn told(&self) -> String {
        self.state(|state| format!("gateway: {}", state.reached))
    }

    /// A connection that nobody else uses. Refused at once in a pause between two attempts.
    pub(super) async fn connect(&self) -> Result<Sender, Refused> {
        let reserve = self.state(|state| {
            let reserve = state.reserve.take().filter(|sender| !sender.is_closed());
            match (&state.reached, reserve) {
                (_, Some(sender)) => Ok(Some(sender)),
                (Reached::No { why, next }, None) if *next > Instant::now() => {
                    Err(unreachable(why, *next))
                }
                _ => Ok(None),
            }
        })?;
        match reserve {
            Some(sender) => Ok(sender),
            None => self.attempt().await,
        }
    }

    /// Keeps a connection in reserve, and tries for one while there is no gateway.
    pub(super) async fn keep(self, stop: CancellationToken) {
        let keeping = async {
            // A gateway that takes connections and drops them is not to be overrun either.
            let mut rests = pauses();
            loop {
                // What goes wrong is told where it is found out.
                if let Ok(sender) = self.attempt().await {
                    let began = Instant::now();
                    self.state(|state| state.reserve = Some(sender));
                    self.lost().await;
                    if began.elapsed() > LONGEST {
                        rests = pauses();
                    }
                    sleep(rests.next().unwrap_or(LONGEST)).await;
                }
                let next = self.state(|state| match state.reached {
                    Reached::No { next, .. } => Some(next),
                    _ => None,
                });
                if let Some(next) = next {
                    sleep_until(next).await;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = keeping => {}
        }
        self.state(|state| state.reserve = None);
    }

    /// Waits until something was lost and nothing is in reserve.
    async fn lost(&self) {
        loop {
            self.0.shaken.notified().await;
            let reserved = self.state(|state| {
                let reserve = state.reserve.as_ref();
                reserve.is_some_and(|sender| !sender.is_closed())
            });
            if !reserved {
                return;
            }
        }
    }

    async fn attempt(&self) -> Result<Sender, Refused> {
        let patience = self.0.connect_timeout;
        let made = timeout(patience, self.make()).await;
        match made.unwrap_or(Err(Unconnected::Late(patience))) {
            Ok(sender) => {
                let before = self.state(|state| {
                    state.pauses = pauses();
                    std::mem::replace(&mut state.reached, Reached::Yes)
                });
                if !matches!(before, Reached::Yes) {
                    info!(upstream = %self.0.authority, "the gateway is reached");
                }
                Ok(sender)
            }
            Err(error) => Err(self.failed(&Chain(&error).to_string())),
        }
    }

    /// Says when to try again. Attempts that failed side by side are one.
    fn failed(&self, why: &str) -> Refused {
        let now = Instant::now();
        let (told, next) = self.state(|state| {
            let told = match &state.reached {
                Reached::No { next, .. } if *next > now => return (true, *next),
                Reached::No { why: before, .. } => **before == *why,
                _ => false,
            };
            let next = now + state.pauses.next().unwrap_or(LONGEST);
            let why = why.into();
            state.reached = Reached::No { why, next };
            (told, next)
        });
        if !told {
            warn!(upstream = %self.0.authority, why, "the gateway cannot be reached");
        }
        self.0.shaken.notify_one();
        unreachable(why, next)
    }

    async fn make(&self) -> Result<Sender, Unconnected> {
        let Target { tls, host, port } = &self.0.target;
        let bare = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((bare, *port)).await?;
        stream.set_nodelay(true)?;
        if !tls {
            return self.speak(stream).await;
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.0.identity.tls());
        let stream = connector.connect(name, stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(Unconnected::NoHttp2);
        }
        self.speak(stream).await
    }

    async fn speak<S>(&self, stream: S) -> Result<Sender, Unconnected>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOWS)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(FIELDS)
            .keep_alive_interval(self.0.keepalive)
            .keep_alive_timeout(PATIENCE)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await?;
        let upstream = self.clone();
        self.0.life.attend("relay connection", async move {
            if let Err(error) = connection.await {
                debug!(error = %Chain(&error), "a connection to the gateway was lost");
            }
            upstream.0.shaken.notify_one();
        });
        Ok(sender)
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let state = self.0.state.lock();
        look(&mut state.unwrap_or_else(PoisonError::into_inner))
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(SHORTEST)
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}

fn unreachable(why: &str, next: Instant) -> Refused {
    Refused::Unreachable {
        why: why.into(),
        wait: next.saturating_duration_since(Instant::now()),
    }
}
