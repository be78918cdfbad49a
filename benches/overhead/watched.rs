//! What it costs to be watched: one trace in ten goes to a collector, and what is measured is read every
//! second.

use std::{convert::Infallible, fs, net::TcpListener as StdListener, path::Path, time::Duration};

use bitrix24_gateway::proto::v1::EventMode;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::interval,
};

use crate::{
    common::{
        Outcome,
        gateway::{BOT_CODE, CA_FILE, Gateway},
    },
    load::Keys,
    measure::{CONCURRENT, Figures, Plan, Side, UNPACED},
    report,
};

/// Measures, beside a gateway that nobody watches.
pub(crate) async fn measure(
    plan: Plan,
    folder: &Path,
    portal: &str,
    alone: &Side<'_>,
) -> Outcome<()> {
    let own = folder.join("watched");
    fs::create_dir(&own)?;
    fs::copy(folder.join(CA_FILE), own.join(CA_FILE))?;
    let collector = collector().await?;
    // Free a moment ago.
    let admin = StdListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let [unpaced] = UNPACED;
    let settings = [
        unpaced,
        ("ADMIN__LISTEN", admin.as_str()),
        ("TELEMETRY__OTLP_ENDPOINT", collector.as_str()),
        ("TELEMETRY__SAMPLE_RATIO", "0.1"),
    ];
    let gateway = Gateway::start(&own, portal, &settings).await?;
    gateway.register("", BOT_CODE, EventMode::Fetch).await?;
    let watched = Side {
        address: &gateway.address,
        process: &gateway.process,
        store: None,
        token: "",
    };
    let reading = read(admin);
    report::watched_head();
    let [.., most] = CONCURRENT;
    watched.round(most, plan.round / 2, Keys::None).await?;
    for concurrent in CONCURRENT {
        let (mut of_alone, mut of_watched) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            of_alone.push(alone.round(concurrent, plan.round, Keys::None).await?);
            of_watched.push(watched.round(concurrent, plan.round, Keys::None).await?);
        }
        report::watched(
            concurrent,
            &Figures::median(&of_alone),
            &Figures::median(&of_watched),
        );
    }
    if reading.is_finished() {
        reading.await??;
        return Err("nobody read what is measured".into());
    }
    reading.abort();
    gateway.process.stop().await
}

/// A collector that takes everything and keeps nothing; its address.
async fn collector() -> Outcome<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let take = async |request: Request<Incoming>| {
        // Whoever breaks off sends no more.
        let _taken = request.into_body().collect().await;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serving = http1::Builder::new();
            tokio::spawn(serving.serve_connection(TokioIo::new(stream), service_fn(take)));
        }
    });
    Ok(format!("http://{address}"))
}

/// Reads what is measured every second; ends when that fails.
fn read(address: String) -> JoinHandle<Outcome<()>> {
    tokio::spawn(async move {
        let mut seconds = interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            let mut stream = TcpStream::connect(&address).await?;
            let request =
                format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut told = String::new();
            stream.read_to_string(&mut told).await?;
            if !told.starts_with("HTTP/1.1 200") {
                return Err(format!("not told: {told:.200}").into());
            }
        }
    })
}
