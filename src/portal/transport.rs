//! Carries bytes to a portal and back. The only place that knows `reqwest`.
//!
//! One request is one request: nothing here repeats, redirects or interprets. What it does say is
//! whether a failed request may have reached the portal, because everything above depends on that.
//!
//! # Why nothing is sent twice
//!
//! Two layers below us can repeat a request on their own:
//! - reqwest retries protocol refusals, which exist in HTTP/2 only. We speak HTTP/1.1, and its policy
//!   is set to never besides.
//! - hyper-util repeats a request when a *reused* connection turns out to be closed, but only when
//!   hyper hands the request back. Its HTTP/1 dispatcher does so only for a request that it has not
//!   yet taken from its queue, of which not one byte can have been written; once taken, the error
//!   comes without the request and there is nothing to repeat. reqwest offers no switch for this, and
//!   none is needed.
//!
//! TLS early data, which could be replayed on the way, is off unless asked for.

mod address;
mod names;
mod obstacle;
mod trust;

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{Client, RequestBuilder, Response, header, redirect, retry};

use self::trust::tls;
use super::Hold;
use crate::telemetry::trace::Parent;

pub use address::SecretUrl;
pub use names::Names;
pub use obstacle::Obstacle;

/// How to reach portals.
#[derive(Debug, Clone)]
pub struct Config {
    /// From the name to an encrypted connection. Default 10 s.
    pub connect_timeout: Duration,
    /// From the call to the last byte of the answer. Default 65 s, a little above the 60 s after which
    /// a cloud portal cuts a request off.
    pub timeout: Duration,
    /// The most of an answer that is read, in bytes. Default 8 MiB.
    pub answer_limit: usize,
    /// Certificates to trust besides the public ones, as PEM. None by default.
    pub extra_roots: Option<Vec<u8>>,
    /// Proxy for requests. None by default; the environment is not looked at.
    pub proxy: Option<Proxy>,
    /// Whether portals are told the trace of a request, where there is one. So by default.
    pub tells_traces: bool,
    /// Where names lead, and may lead. Nothing fixed and only public addresses by default.
    pub names: Names,
}

/// An HTTP proxy, through which connections are made with `CONNECT`.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its address, with user and password where it wants them.
    pub url: SecretUrl,
    /// Comma-separated hosts to reach without it, beside this machine itself.
    pub direct: String,
}

/// Never behind a proxy.
const THIS_MACHINE: &str = "localhost, 127.0.0.0/8, ::1";

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(65),
            answer_limit: 8 << 20,
            extra_roots: None,
            proxy: None,
            tells_traces: true,
            names: Names::default(),
        }
    }
}

/// Why no transport could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The extra certificates are no PEM.
    #[error("the extra certificates cannot be read")]
    Certificates(#[source] rustls::pki_types::pem::Error),
    /// The file of extra certificates holds none.
    #[error("there is no usable certificate among the extra certificates")]
    NoCertificate,
    /// The TLS library refused its setup.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client refused its setup.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// What to send.
#[derive(Clone)]
pub enum Body {
    /// `application/json`.
    Json(Bytes),
    /// `application/x-www-form-urlencoded`.
    Form(Bytes),
}

/// What came back, whatever it means.
#[derive(Clone, Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Location`. A secret as the address asked is.
    pub location: Option<String>,
    /// `Retry-After` in seconds; the portal sends none, but something between may.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The request surely did not leave: no name, no connection, no TLS.
    #[error("the request was not sent")]
    NotSent(#[source] Lost),
    /// The request, or a part of it, may have arrived.
    #[error("the request was sent, but no complete answer came")]
    Lost(#[source] Lost),
    /// Nothing may leave: the store was restored, and nobody said that it is to be used.
    #[error("nothing leaves for portals before the restored store is activated")]
    Held,
    /// The answer is longer than we read.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The most we read, in bytes.
        limit: usize,
    },
}

/// What the HTTP client said, without the address.
#[derive(Debug, Clone)]
pub struct Lost(Arc<reqwest::Error>);

/// Carries requests. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Transport {
    client: Client,
    answer_limit: usize,
    tells_traces: bool,
    hold: Hold,
    resolver: names::Resolver,
}

impl Transport {
    /// A transport with its own connections.
    ///
    /// # Errors
    /// When the certificates or the proxy of the configuration are unusable.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let mut names = config.names.clone();
        if let Some(proxy) = &config.proxy {
            // The operator wrote it down, so it may be anywhere.
            names.own.insert(proxy.url.host().to_owned());
        }
        let resolver = names::Resolver::new(names);
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls(config.extra_roots.as_deref())?)
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .tcp_nodelay(true)
            .connect_timeout(config.connect_timeout)
            .timeout(config.timeout)
            .pool_idle_timeout(IDLE)
            .dns_resolver(Arc::new(resolver.clone()))
            .default_headers(header::HeaderMap::from_iter([
                (header::ACCEPT, JSON),
                (header::USER_AGENT, AGENT),
            ]))
            .no_proxy();
        if let Some(proxy) = &config.proxy {
            let direct = format!("{THIS_MACHINE}, {}", proxy.direct);
            let direct = reqwest::NoProxy::from_string(&direct);
            let proxy = reqwest::Proxy::all(proxy.url.expose().clone()).map_err(Error::client)?;
            builder = builder.proxy(proxy.no_proxy(direct));
        }
        Ok(Self {
            client: builder.build().map_err(Error::client)?,
            answer_limit: config.answer_limit,
            tells_traces: config.tells_traces,
            hold: Hold::default(),
            resolver,
        })
    }

    /// The same, sending nothing while this holds.
    #[must_use]
    pub fn under(self, hold: Hold) -> Self {
        Self { hold, ..self }
    }

    /// What nothing is sent under.
    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// A host that the operator wrote down meanwhile: it may be anywhere.
    pub fn add_own(&self, host: &str) {
        self.resolver.add_own(host);
    }

    /// The longest answer that is read, in bytes.
    #[must_use]
    pub fn answer_limit(&self) -> usize {
        self.answer_limit
    }

    /// Posts a body.
    ///
    /// # Errors
    /// When no complete answer came; the variant says whether the request may have arrived.
    pub async fn post(&self, url: &SecretUrl, body: Body) -> Result<Answer, Failure> {
        let (content_type, body) = match body {
            Body::Json(body) => (JSON, body),
            Body::Form(body) => (FORM, body),
        };
        let request = self.client.post(url.expose().clone());
        self.send(
            request
                .header(header::CONTENT_TYPE, content_type)
                .body(body),
        )
        .await
    }

    /// Asks for a page: how the authorization server wants to be asked.
    ///
    /// # Errors
    /// As [`Transport::post`].
    pub async fn get(&self, url: &SecretUrl) -> Result<Answer, Failure> {
        self.send(self.client.get(url.expose().clone())).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        if self.hold.holds() {
            return Err(Failure::Held);
        }
        let request = self.traced(request);
        let response = request.send().await.map_err(Failure::from_client)?;
        let head = Answer {
            status: response.status().as_u16(),
            content_type: text_of(&response, &header::CONTENT_TYPE),
            location: text_of(&response, &header::LOCATION),
            retry_after: text_of(&response, &header::RETRY_AFTER)
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT)),
            body: Bytes::new(),
        };
        let body = self.read(response).await?;
        Ok(Answer { body, ..head })
    }

    /// The request with the place in its trace.
    fn traced(&self, request: RequestBuilder) -> RequestBuilder {
        let wire = Parent::current().wire().filter(|_| self.tells_traces);
        let Some(wire) = wire else {
            return request;
        };
        let request = request.header("traceparent", wire.traceparent);
        if wire.tracestate.is_empty() {
            return request;
        }
        request.header("tracestate", wire.tracestate)
    }

    async fn read(&self, mut response: Response) -> Result<Bytes, Failure> {
        let too_large = Failure::TooLarge {
            limit: self.answer_limit,
        };
        let expected = response.content_length().unwrap_or(0);
        let Some(expected) = usize::try_from(expected)
            .ok()
            .filter(|it| *it <= self.answer_limit)
        else {
            return Err(too_large);
        };
        // Most answers are one piece, which then needs no copy.
        let Some(first) = response.chunk().await.map_err(Failure::lost)? else {
            return Ok(Bytes::new());
        };
        if first.len() > self.answer_limit {
            return Err(too_large);
        }
        let Some(second) = response.chunk().await.map_err(Failure::lost)? else {
            return Ok(first);
        };
        let mut body = BytesMut::with_capacity(expected.max(first.len() + second.len()));
        body.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(piece) = next {
            if body.len() + piece.len() > self.answer_limit {
                return Err(too_large);
            }
            body.extend_from_slice(&piece);
            next = response.chunk().await.map_err(Failure::lost)?;
        }
        Ok(body.freeze())
    }
}

/// Idle connections are given up before common front ends (60 s and more) close them under us.
const IDLE: Duration = Duration::from_secs(50);
/// No word of a stranger makes us wait longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
const JSON: header::HeaderValue = header::HeaderValue::from_static("application/json");
const FORM: header::HeaderValue =
    header::HeaderValue::from_static("application/x-www-form-urlencoded");
const AGENT: header::HeaderValue =
    header::HeaderValue::from_static(concat!("bitrix24-gateway/", env!("CARGO_PKG_VERSION")));

fn text_of(response: &Response, name: &header::HeaderName) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}

impl Error {
    fn client(error: reqwest::Error) -> Self {
        Self::Client(error.without_url())
    }
}

impl Failure {
    fn from_client(error: reqwest::Error) -> Self {
        if error.is_connect() || error.is_builder() {
            Self::NotSent(Lost::new(error))
        } else {
            Self::lost(error)
        }
    }

    fn lost(error: reqwest::Error) -> Self {
        Self::Lost(Lost::new(error))
    }
}

impl Lost {
    fn new(error: reqwest::Error) -> Self {
        Self(Arc::new(error.without_url()))
    }

    /// Whether it was the time that ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.is_timeout()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Lost {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, body) = match self {
            Self::Json(body) => ("Json", body),
            Self::Form(body) => ("Form", body),
        };
        write!(f, "{kind}({} bytes)", body.len())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

#[cfg(test)]
mod tests;
