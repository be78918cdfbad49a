//! What a portal sends: events of bots in webhook mode, and callbacks of applications (C8, C11).
//!
//! One delivery after another, each once. Whatever the receiver answers, or does not, nothing is
//! ever sent again; the record tells what became of it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::clock::UnixTime;
use crate::portal::Inner;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One request a portal sent, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Portal time at which the event happened.
    #[serde(serialize_with = "crate::written::seconds::serialize")]
    pub at: UnixTime,
    /// Where it went.
    pub url: String,
    /// Its event, e.g. `ONIMBOTV2MESSAGEADD`; `frame` for an opened page.
    pub event: String,
    /// The body as it was sent.
    pub body: String,
    /// HTTP status of the answer; `None` when none came.
    pub status: Option<u16>,
    /// Why no answer came.
    pub failure: Option<String>,
}

/// A request to send.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) at: UnixTime,
    pub(crate) url: String,
    pub(crate) event: String,
    pub(crate) media: &'static str,
    pub(crate) body: String,
}

/// Why a delivery got no answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the address cannot be used")]
    Address,
    #[error("no connection")]
    Connect(#[source] std::io::Error),
    #[error("no secure connection")]
    Tls(#[source] std::io::Error),
    #[error("the exchange broke off")]
    Exchange(#[source] hyper::Error),
    #[error("the request could not be written")]
    Request(#[source] hyper::http::Error),
    #[error("no answer in time")]
    Late,
}

/// Sends what comes out of the portal until it is stopped.
pub(crate) async fn run(
    portal: Arc<Inner>,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    tls: TlsConnector,
) {
    loop {
        let next = tokio::select! {
            () = portal.stop.cancelled() => return,
            next = outgoing.recv() => next,
        };
        let Some(next) = next else { return };
        let sent = tokio::select! {
            () = portal.stop.cancelled() => return,
            sent = tokio::time::timeout(PATIENCE, send(&next, &tls)) => sent,
        };
        let (status, failure) = match sent.unwrap_or(Err(Failed::Late)) {
            Ok(status) => (Some(status), None),
            Err(failed) => (None, Some(told(&failed))),
        };
        let delivery = Delivery {
            at: next.at,
            url: next.url,
            event: next.event,
            body: next.body,
            status,
            failure,
        };
        let mut state = portal.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.journal.delivery(delivery);
    }
}

fn told(failed: &Failed) -> String {
    let cause = std::error::Error::source(failed);
    cause.map_or_else(|| failed.to_string(), |cause| format!("{failed}: {cause}"))
}

async fn send(outgoing: &Outgoing, tls: &TlsConnector) -> Result<u16, Failed> {
    let uri: Uri = outgoing.url.parse().map_err(|_| Failed::Address)?;
    let authority = uri.authority().ok_or(Failed::Address)?;
    let host = authority.host().to_owned();
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(Failed::Address),
    };
    let port = authority
        .port_u16()
        .unwrap_or(if secure { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, "Bitrix24 Webhook Engine")
        .header(CONTENT_TYPE, outgoing.media)
        .body(Full::from(Bytes::from(outgoing.body.clone())))
        .map_err(Failed::Request)?;
    let plain_host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let stream = TcpStream::connect((plain_host.as_str(), port));
    let stream = stream.await.map_err(Failed::Connect)?;
    if !secure {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(plain_host).map_err(|_| Failed::Address)?;
    let stream = tls.connect(name, stream).await.map_err(Failed::Tls)?;
    exchange(stream, request).await
}

/// Sends the request and reads the status; the body of the answer interests nobody.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<u16, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(Failed::Exchange)?;
    let answering = sender.send_request(request);
    tokio::pin!(connection);
    tokio::pin!(answering);
    let response = tokio::select! {
        response = &mut answering => response,
        ended = &mut connection => match ended {
            Ok(()) => answering.await,
            Err(error) => Err(error),
        },
    };
    let response = response.map_err(Failed::Exchange)?;
    Ok(response.status().as_u16())
}
