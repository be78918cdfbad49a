use std::{convert::Infallible, sync::Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::{net::TcpListener, sync::mpsc};

use super::*;
use crate::telemetry::{Measurements, trace::Kind};

fn config(endpoint: &str) -> Config {
    Config {
        endpoint: endpoint.parse().unwrap(),
        headers: vec![("x-key".to_owned(), SecretString::from("hushhush"))],
        extra_roots: None,
        proxy: None,
        sample_ratio: 1.0,
        metrics_interval: Duration::from_secs(3600),
        resource: vec![("service.name".to_owned(), "test".to_owned())],
    }
}

/// A collector that answers with these statuses in turn, and what it is sent.
async fn collector(statuses: &[u16]) -> (Config, mpsc::UnboundedReceiver<(String, Bytes)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/otlp/", listener.local_addr().unwrap());
    let (tell, told) = mpsc::unbounded_channel();
    let statuses = Arc::new(Mutex::new(statuses.to_vec()));
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (tell, statuses) = (tell.clone(), Arc::clone(&statuses));
            let service = service_fn(move |request: Request<Incoming>| {
                let (tell, statuses) = (tell.clone(), Arc::clone(&statuses));
                async move {
                    assert_eq!(request.headers()["x-key"], "hushhush");
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    tell.send((path, body)).unwrap();
                    let mut answer = Response::new(Full::<Bytes>::default());
                    let status = statuses.lock().unwrap().pop().unwrap_or(200);
                    *answer.status_mut() = status.try_into().unwrap();
                    Ok::<_, Infallible>(answer)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
        }
    });
    (config(&endpoint), told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn spans_are_sent_at_the_end_at_the_latest() {
    let (config, mut told) = collector(&[]).await;
    let otlp = Otlp::start(config).unwrap();
    drop(otlp.tracer().begin(Kind::Internal, "part", Vec::new));
    Otlp::end(Some(otlp)).await;
    let (path, body) = told.try_recv().unwrap();
    assert_eq!(path, "/otlp/v1/traces");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    assert_eq!(
        request.resource_spans[0].scope_spans[0].spans[0].name,
        "part"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn measurements_go_the_same_way() {
    let (config, mut told) = collector(&[]).await;
    let otlp = Otlp::start(config).unwrap();
    let provider = otlp.also_measures(SdkMeterProvider::builder()).build();
    let counter = provider.meter("test").u64_counter("calls").build();
    counter.add(3, &[]);
    let flushing = tokio::task::spawn_blocking(move || provider.force_flush());
    flushing.await.unwrap().unwrap();
    let (path, body) = told.recv().await.unwrap();
    assert_eq!(path, "/otlp/v1/metrics");
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let metrics = &request.resource_metrics[0];
    assert_eq!(metrics.scope_metrics[0].metrics[0].name, "calls");
    let attributes = &metrics.resource.as_ref().unwrap().attributes;
    assert!(attributes.iter().any(|it| it.key == "service.name"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_not_taken_is_counted_and_not_sent_again() {
    let (config, mut told) = collector(&[503]).await;
    let otlp = Otlp::start(config).unwrap();
    let measurements = Measurements::new(|builder| builder).unwrap();
    otlp.measured_by(&measurements.meter());
    drop(otlp.tracer().begin(Kind::Internal, "part", Vec::new));
    Otlp::end(Some(otlp)).await;
    assert!(told.try_recv().is_ok() && told.try_recv().is_err());
    let text = measurements.render().text();
    for count in ["traces\"} 1", "metrics\"} 0"] {
        let line = format!("bitrix24_gateway_otlp_failures_total{{bitrix24_signal=\"{count}\n");
        assert!(text.contains(&line), "{text}");
    }
}

#[tokio::test]
async fn headers_are_shown_to_nobody_and_must_be_headers() {
    let mut config = config("http://127.0.0.1:4318");
    let shown = format!("{config:?} {:?}", Collector::new(&config).unwrap());
    assert!(!shown.contains("hushhush"), "{shown}");
    config.headers[0].1 = SecretString::from("hush\nhush");
    assert!(matches!(Collector::new(&config), Err(Error::Header)));
}
