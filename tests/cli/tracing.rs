//! Traces of the process as a collector gets them, and a collector that is of no use.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, server_service_client::ServerServiceClient,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Full};
use hyper::{Response, header::HeaderMap, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};

use crate::process::{Desk, Running, SECRET};

/// What came in: path, headers and body.
type Received = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// A collector that takes everything.
async fn collector() -> (SocketAddr, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let received = Received::default();
    let keep = Arc::clone(&received);
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let keep = Arc::clone(&keep);
            let service = service_fn(move |request: hyper::Request<_>| {
                let keep = Arc::clone(&keep);
                async move {
                    let (head, body): (_, hyper::body::Incoming) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let came = (head.uri.path().to_owned(), head.headers, body);
                    keep.lock().unwrap().push(came);
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
            let serving = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
            tokio::spawn(serving);
        }
    });
    (address, received)
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        other => Some(format!("{other:?}")),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn collector_gets_every_span_and_measurement_of_the_process_by_its_end_and_the_log_names_their_traces()
 {
    let desk = Desk::new().await;
    let (address, received) = collector().await;
    let endpoint = format!("http://{address}");
    let settings = [
        ("TELEMETRY__OTLP_ENDPOINT", endpoint.as_str()),
        (
            "TELEMETRY__OTLP_HEADERS",
            "authorization=Bearer%20t0ken-0f-collector",
        ),
        ("TELEMETRY__SAMPLE_RATIO", "1.0"),
        ("TELEMETRY__ENVIRONMENT", "test"),
    ];
    let mut serve = desk.serve(&[], &settings);
    serve.env("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=chat");
    // Not for this collector: our own setting is there.
    serve.env("OTEL_EXPORTER_OTLP_HEADERS", "x-other=secret");
    let running = Running::of(serve).await;
    let bots = BotServiceClient::connect(format!("http://{}", running.address));
    let mut bots = bots.await.unwrap();
    let request = pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Amanuensis".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    bots.register_bot(request).await.unwrap();
    let ended = running.stop("TERM").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let received = received.lock().unwrap();
    let mut spans: Vec<Span> = Vec::new();
    let mut measured = BTreeSet::new();
    for (path, headers, body) in received.iter() {
        assert_eq!(headers["authorization"], "Bearer t0ken-0f-collector");
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert!(headers.get("x-other").is_none());
        let bytes = String::from_utf8_lossy(body);
        let secrets = [SECRET.to_owned(), "Amanuensis".to_owned()];
        let token = desk.portal.bots().into_iter().filter_map(|bot| bot.token);
        for secret in secrets.into_iter().chain(token) {
            assert!(!bytes.contains(&secret), "{secret} was sent");
        }
        if path == "/v1/metrics" {
            let request = ExportMetricsServiceRequest::decode(body.clone()).unwrap();
            for of_resource in request.resource_metrics {
                let resource = of_resource.resource.unwrap().attributes;
                assert_eq!(text(&resource, "service.namespace").unwrap(), "chat");
                let scopes = of_resource.scope_metrics.into_iter();
                measured.extend(scopes.flat_map(|scope| scope.metrics).map(|it| it.name));
            }
            continue;
        }
        assert_eq!(path, "/v1/traces");
        let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap().attributes;
            let told = |name| text(&resource, name);
            assert_eq!(told("service.name").unwrap(), "bitrix24-gateway");
            assert_eq!(told("service.namespace").unwrap(), "chat");
            assert_eq!(told("deployment.environment.name").unwrap(), "test");
            assert!(told("service.instance.id").is_some());
            let scopes = of_resource.scope_spans.into_iter();
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
    }
    for name in ["rpc.server.call.duration", "http.client.request.duration"] {
        assert!(measured.contains(name), "{name}: {measured:?}");
    }
    let named = |name: &str| spans.iter().find(|span| span.name == name);
    let call = named("bitrix24.gateway.v1.BotService/RegisterBot").unwrap();
    let rest = named("POST /rest/{user}/{secret}/imbot.v2.Bot.register").unwrap();
    assert_eq!(rest.trace_id, call.trace_id);
    assert_eq!(
        text(&rest.attributes, "server.address").unwrap(),
        desk_host(&desk)
    );
    let journal = desk.portal.journal().calls("imbot.v2.Bot.register");
    let told = format!("00-{}-{}-01", hex(&rest.trace_id), hex(&rest.span_id));
    assert_eq!(journal[0].traceparent, Some(told));
    // The audit line of the call.
    let field = format!(" trace_id={}", hex(&call.trace_id));
    let mut lines = ended.err.lines();
    let audit = lines.find(|line| line.contains("audit") && line.ends_with(&field));
    assert!(
        audit.is_some_and(|line| line.contains("RegisterBot")),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("t0ken-0f-collector"));
}

fn desk_host(desk: &Desk) -> String {
    let url = desk.portal.webhook_url();
    let host = url.trim_start_matches("https://").split([':', '/']).next();
    host.unwrap().to_owned()
}

/// Resident memory of a process, KiB.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn call_often(running: &Running, calls: usize) {
    let client = ServerServiceClient::connect(format!("http://{}", running.address));
    let client = client.await.unwrap();
    let calls = stream::iter(0..calls).map(|_| {
        let mut client = client.clone();
        async move {
            client
                .get_server_info(pb::GetServerInfoRequest::default())
                .await
        }
    });
    let mut answers = calls.buffer_unordered(100);
    while let Some(answer) = answers.next().await {
        answer.unwrap();
    }
}

#[tokio::test]
async fn collector_that_does_not_answer_holds_up_nothing_and_costs_no_memory() {
    let desk = Desk::new().await;
    // Connections are taken by the system, and nobody ever reads them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let settings = [
        ("TELEMETRY__OTLP_ENDPOINT", endpoint.as_str()),
        ("TELEMETRY__SAMPLE_RATIO", "1"),
        ("LOG__LEVEL", "warn,bitrix24_gateway::app=info"),
    ];
    let running = Running::of(desk.serve(&[], &settings)).await;
    call_often(&running, 10_000).await;
    let before = resident(running.id());
    // Some 30 MB of spans, if somebody kept them.
    call_often(&running, 40_000).await;
    let more = resident(running.id()).saturating_sub(before);
    assert!(more < 12 << 10, "{more} KiB more");
    let asked = Instant::now();
    let ended = timeout(Duration::from_secs(30), running.stop("TERM")).await;
    let ended = ended.expect("it does not wait for the collector");
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = ended.err.matches("took nothing").count();
    assert!(told <= 1, "{}", ended.err);
}

#[tokio::test]
async fn collector_that_cannot_be_reached_is_told_once_a_minute_and_calls_go_on() {
    let desk = Desk::new().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let settings = [
        ("TELEMETRY__OTLP_ENDPOINT", endpoint.as_str()),
        ("TELEMETRY__SAMPLE_RATIO", "1"),
    ];
    let running = Running::of(desk.serve(&[], &settings)).await;
    // More than one request holds, so that several fail.
    call_often(&running, 5_000).await;
    let ended = running.stop("TERM").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = ended.err.matches("took nothing").count();
    assert_eq!(told, 1, "{}", ended.err);
    assert!(ended.err.contains("cannot be reached"), "{}", ended.err);
}
