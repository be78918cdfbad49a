//! Sends commands to the gateway that holds the store.

use std::{io, path::Path};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use super::{Command, Done, Error};

/// Longest answer, bytes.
const LONGEST: usize = 16 << 20;

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Has a command done by the process at this socket. `holder` is what it wrote about itself.
///
/// # Errors
///
/// [`Error::Refused`] with its words, [`Error::NoAnswer`].
pub async fn send(path: &Path, command: &Command, holder: &str) -> Result<Done, Error> {
    let (status, body) = exchange(path, command)
        .await
        .map_err(|cause| Error::NoAnswer {
            holder: holder.to_owned(),
            path: path.to_owned(),
            cause,
        })?;
    let unknown = || Error::Refused(format!("the gateway answers {status} and nothing known"));
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|_| unknown());
    }
    let refusal: Refusal = serde_json::from_slice(&body).map_err(|_| unknown())?;
    Err(Error::Refused(refusal.error))
}

async fn exchange(path: &Path, command: &Command) -> io::Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(path).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let command = serde_json::to_vec(command)?;
    let request = Request::post("/v1/commands")
        .header(header::HOST, "gateway")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::<Bytes>::from(command))
        .map_err(io::Error::other)?;
    let asking = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
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
