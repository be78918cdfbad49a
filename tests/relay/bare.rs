//! A caller that speaks bare HTTP/2.

use std::{net::SocketAddr, path::Path, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
    time::timeout,
};
use tonic_types::StatusExt as _;

/// How long anything may take. Generous: what matters is that it ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A connection of a caller.
pub(crate) struct Bare {
    sender: SendRequest<Full<Bytes>>,
    /// To break the connection with, if it is one of TCP.
    line: Option<std::net::TcpStream>,
    pub(crate) connection: JoinHandle<hyper::Result<()>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    pub(crate) bytes: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Bare {
    pub(crate) async fn tcp(address: SocketAddr) -> Self {
        let line = TcpStream::connect(address).await.unwrap();
        let line = line.into_std().unwrap();
        let stream = TcpStream::from_std(line.try_clone().unwrap()).unwrap();
        let mut bare = Self::over(stream).await;
        bare.line = Some(line);
        bare
    }

    pub(crate) async fn unix(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).await.unwrap()).await
    }

    async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        let (sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
        Self {
            sender,
            line: None,
            connection: tokio::spawn(connection),
        }
    }

    /// Ends the connection as if the process had.
    pub(crate) fn cut(&self) {
        let line = self.line.as_ref().unwrap();
        line.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// Sends a request, and comes back with what begins the answer.
    pub(crate) async fn begin(
        &mut self,
        path: &str,
        fields: &[(&'static str, &str)],
        bytes: Bytes,
    ) -> hyper::Result<Response<Incoming>> {
        let mut request = Request::post(format!("http://localhost{path}"));
        if fields.iter().all(|(name, _)| *name != "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(bytes)).unwrap();
        let answer = timeout(PATIENCE, self.sender.send_request(request));
        answer.await.expect("an answer in time")
    }

    pub(crate) async fn call(
        &mut self,
        path: &str,
        fields: &[(&'static str, &str)],
        bytes: Bytes,
    ) -> Answer {
        let response = self.begin(path, fields, bytes).await.unwrap();
        Answer::of(response).await
    }
}

impl Answer {
    /// Reads the rest.
    pub(crate) async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = timeout(PATIENCE, body.collect()).await;
        let body = body.expect("an end in time").unwrap();
        Self {
            status: head.status,
            fields: head.headers,
            trailers: body.trailers().cloned(),
            bytes: body.to_bytes(),
        }
    }

    /// The code, the reason, and whether it ran, in trailers or at once.
    pub(crate) fn told(&self) -> (String, String, String) {
        told(self.trailers.as_ref().unwrap_or(&self.fields))
    }
}

/// The code, the reason, and whether it ran.
pub(crate) fn told(fields: &HeaderMap) -> (String, String, String) {
    let code = fields["grpc-status"].to_str().unwrap().to_owned();
    let status = tonic::Status::from_header_map(fields).unwrap();
    let info = status.get_details_error_info().expect("a reason");
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
    (code, info.reason, info.metadata["executed"].clone())
}

/// That the gateway is not there, or no longer.
pub(crate) fn unreachable(executed: &str) -> (String, String, String) {
    let [code, reason] = ["14", "UPSTREAM_UNREACHABLE"].map(str::to_owned);
    (code, reason, executed.to_owned())
}

/// A message as it travels.
pub(crate) fn message(bytes: &[u8]) -> Bytes {
    let mut framed = vec![0];
    framed.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    framed.extend(bytes);
    framed.into()
}
