//! Takes commands over a Unix socket, from its own user and root alone.

use std::{convert::Infallible, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::{net::UnixStream, time::sleep};
use tracing::{debug, info, warn};

use super::{Command, Keeper};
use crate::{lifecycle::Lifecycle, socket::Socket};

/// Only its owner may connect.
const MODE: u32 = 0o600;

/// Longest command, bytes.
const LONGEST: usize = 64 << 10;

/// How long a connection may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for commands.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    keeper: Arc<Keeper>,
    life: Lifecycle,
}

/// What is said beside what was done.
#[derive(Serialize)]
struct Refusal {
    error: String,
}

impl Server {
    /// Makes the socket. Only for who holds the store: then nobody else uses the path.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn bind(path: &Path, keeper: Keeper, life: &Lifecycle) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::bind(path, MODE)?,
            keeper: Arc::new(keeper),
            life: life.clone(),
        })
    }

    /// Takes commands until the stop begins. One that was begun comes to its end.
    pub async fn run(self) {
        let stop = self.life.stop().clone();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    warn!(%error, "a connection to the admin socket cannot be taken");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            match stream.peer_cred().map(|peer| peer.uid()) {
                Ok(user) if user == 0 || user == self.socket.owner() => {
                    // Not waited for: commands are, and whoever says nothing is not.
                    tokio::spawn(self.serve(stream, user));
                }
                Ok(user) => warn!(user, "another user is not let in at the admin socket"),
                Err(error) => debug!(%error, "a connection to the admin socket is of nobody"),
            }
        }
    }

    fn serve(&self, stream: UnixStream, user: u32) -> impl Future<Output = ()> + Send + use<> {
        let (keeper, life) = (Arc::clone(&self.keeper), self.life.clone());
        let service = service_fn(move |request| {
            let (keeper, life) = (Arc::clone(&keeper), life.clone());
            async move { Ok::<_, Infallible>(answer(&keeper, &life, user, request).await) }
        });
        async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                debug!(%error, "a connection to the admin socket broke off");
            }
        }
    }
}

async fn answer(
    keeper: &Arc<Keeper>,
    life: &Lifecycle,
    user: u32,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    if request.uri().path() != "/v1/commands" {
        return refuse(StatusCode::NOT_FOUND, "there is only /v1/commands");
    }
    if request.method() != Method::POST {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "commands are posted");
    }
    let body = Limited::new(request.into_body(), LONGEST).collect();
    let body = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => return refuse(StatusCode::BAD_REQUEST, "the command did not come whole"),
    };
    let command: Command = match serde_json::from_slice(&body) {
        Ok(command) => command,
        // Not what stands there, which may be a secret.
        Err(error) => {
            let place = format!("line {} column {}", error.line(), error.column());
            return refuse(
                StatusCode::BAD_REQUEST,
                &format!("no command is understood: {place}"),
            );
        }
    };
    let (name, mut about, changes) = (command.name(), command.about(), command.changes());
    let keeper = Arc::clone(keeper);
    // A stop waits for it, and so does nobody's leaving.
    let done = life.serve(async move { keeper.run(command).await }).await;
    let (status, body) = match &done {
        Ok(Ok(done)) => {
            about = about.told_by(done);
            (StatusCode::OK, serde_json::to_vec(done))
        }
        Ok(Err(error)) => {
            let error = error.to_string();
            (StatusCode::CONFLICT, serde_json::to_vec(&Refusal { error }))
        }
        Err(error) => {
            let error = error.to_string();
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                serde_json::to_vec(&Refusal { error }),
            )
        }
    };
    if !changes {
        return respond(status, body.unwrap_or_default());
    }
    info!(
        target: "audit",
        command = %name,
        operator.uid = user,
        caller = about.caller,
        portal = %about.portal,
        bot = about.bot,
        dialog = about.dialog,
        key = about.key,
        subscription = about.subscription,
        outcome = if status == StatusCode::OK { "OK" } else { "REFUSED" },
        "done"
    );
    respond(status, body.unwrap_or_default())
}

fn refuse(status: StatusCode, error: &str) -> Response<Full<Bytes>> {
    let error = error.to_owned();
    respond(
        status,
        serde_json::to_vec(&Refusal { error }).unwrap_or_default(),
    )
}

fn respond(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
