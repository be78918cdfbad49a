//! The least that could keep what is posted: it reads and decodes each body, as the gateway does and by the
//! same decoder, and writes its bytes into SQLite, as many together as wait, with the same settings. It
//! looks at nothing.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    routing::post,
};
use bitrix24_gateway::portal::wire::form;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rusqlite::{Connection, TransactionBehavior};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};

use crate::{common::Outcome, roles};

/// As the gateway's listener has them.
const HEAD: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;
const CONNECTIONS: usize = 256;

/// As the gateway's writer has them.
const GROUP: usize = 256;
const WAITING: usize = 1024;

/// Bytes to keep, and who waits for that.
type Work = (Bytes, oneshot::Sender<bool>);

/// Serves until killed.
pub(crate) async fn run(folder: &Path) -> Outcome<()> {
    let database = Connection::open(folder.join("store.db"))?;
    database.busy_timeout(Duration::from_secs(5))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(
        "CREATE TABLE log (seq INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL) STRICT",
    )?;
    let (writer, waiting) = mpsc::channel(WAITING);
    tokio::spawn(write(database, waiting));
    let routes = Router::new()
        .route("/bitrix24/bots/{hook}", post(receive))
        .with_state(writer);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    roles::tell(&listener.local_addr()?.to_string());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (stream, _) = listener.accept().await?;
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let routes = routes.clone();
        tokio::spawn(async move {
            // Who breaks off counts as a failure where it is sent.
            let _ended = timeout(LONGEST, exchange(stream, routes)).await;
            drop(place);
        });
    }
}

async fn exchange(stream: TcpStream, routes: Router) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    Ok(connection.await?)
}

async fn receive(State(writer): State<mpsc::Sender<Work>>, request: Request<Body>) -> StatusCode {
    let reading = Limited::new(request.into_body(), form::LONGEST).collect();
    let Ok(Ok(body)) = timeout(HEAD, reading).await else {
        return StatusCode::BAD_REQUEST;
    };
    let body = body.to_bytes();
    if form::decode(&body).is_err() {
        return StatusCode::BAD_REQUEST;
    }
    let (kept, answer) = oneshot::channel();
    if writer.send((body, kept)).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    match answer.await {
        Ok(true) => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn write(mut database: Connection, mut waiting: mpsc::Receiver<Work>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let taken = std::mem::take(&mut group);
        let written = spawn_blocking(move || {
            let kept = commit(&mut database, &taken).is_ok();
            (database, taken, kept)
        });
        let Ok((same, taken, kept)) = written.await else {
            return;
        };
        database = same;
        for (_, answer) in taken {
            // Who sent it may have left.
            let _left = answer.send(kept);
        }
    }
}

fn commit(database: &mut Connection, group: &[Work]) -> rusqlite::Result<()> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (body, _) in group {
        transaction
            .prepare_cached("INSERT INTO log (body) VALUES (?1)")?
            .execute([&body[..]])?;
    }
    transaction.commit()
}
