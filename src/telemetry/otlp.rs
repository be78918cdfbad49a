//! Sends spans and measurements to a collector, by OTLP over HTTP with protobuf bodies.
//!
//! Written over the published messages and our own HTTP client, because the usual exporter reads a
//! score of environment variables past our settings, headers with secrets among them, and repeats by
//! itself. Nothing is repeated here: what the collector does not take is gone, and that is told once a
//! minute.
//!
//! A collector that does not answer holds up nobody: spans wait in a bounded line ([`SPANS`]) for a
//! thread of its own, and those that find it full are dropped.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use opentelemetry::{KeyValue, metrics::Meter};
use opentelemetry_proto::{
    tonic::collector::{
        metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    metrics::{
        MeterProviderBuilder, PeriodicReader, Temporality, data::ResourceMetrics,
        exporter::PushMetricExporter,
    },
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};
use prost::Message as _;
use reqwest::{
    Client, NoProxy, Proxy, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect, retry,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{runtime::Handle, time::Instant};
use tracing::warn;
use url::Url;

use super::trace::{Tracer, sampler};
use crate::{fault::Chain, log_limit::LogLimit};

/// Spans that wait for the collector at most; some 2 MiB.
pub const SPANS: usize = 2048;

/// Spans in one request at most.
const TOGETHER: usize = 512;

/// Pause between two requests with spans.
const PAUSE: Duration = Duration::from_secs(5);

/// Patience with the collector.
const PATIENCE: Duration = Duration::from_secs(10);

/// Never behind a proxy.
const THIS_MACHINE: &str = "localhost, 127.0.0.0/8, ::1";

/// How long the end of the process waits for what was not sent yet.
const LAST: Duration = Duration::from_secs(3);

/// Where spans and measurements go.
#[derive(Debug, Clone)]
pub struct Config {
    /// The collector; `/v1/traces` and `/v1/metrics` are below it.
    pub endpoint: Url,
    /// Headers of every request. Secrets.
    pub headers: Vec<(String, SecretString)>,
    /// Certificates to trust besides the public ones, as PEM.
    pub extra_roots: Option<Vec<u8>>,
    /// A proxy with its password, and hosts to reach without it.
    pub proxy: Option<(SecretString, String)>,
    /// The part of all traces that is recorded, 0 to 1, where a caller did not decide it.
    pub sample_ratio: f64,
    /// Pause between two requests with measurements.
    pub metrics_interval: Duration,
    /// What tells this process from others.
    pub resource: Vec<(String, String)>,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates are no PEM, or cannot be used.
    #[error("the certificates of `telemetry.otlp_ca_file` cannot be used")]
    Certificates(#[source] rustls::pki_types::pem::Error),
    /// There are none.
    #[error("`telemetry.otlp_ca_file` holds no certificate (PEM)")]
    NoCertificate,
    /// The TLS library refused its setup.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client refused its setup.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    /// A header cannot be sent.
    #[error("`telemetry.otlp_headers` holds what is no header")]
    Header,
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("it answered with HTTP status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("the process ends")]
    Ending(#[source] tokio::task::JoinError),
}

/// What goes to a collector.
#[derive(Debug)]
pub struct Otlp {
    collector: Collector,
    resource: Resource,
    spans: SdkTracerProvider,
    sample_ratio: f64,
    metrics_interval: Duration,
}

/// A collector. Cheap to clone.
#[derive(Clone)]
struct Collector(Arc<Inner>);

struct Inner {
    client: Client,
    /// Exporters run on threads of their own, and the client needs a runtime.
    runtime: Handle,
    endpoint: String,
    headers: HeaderMap,
    told: LogLimit,
    /// Requests that were not taken, with spans and with measurements.
    lost: [AtomicU64; 2],
}

/// What a request is full of.
#[derive(Debug, Clone, Copy)]
enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// Sends spans.
#[derive(Debug)]
struct Spans {
    collector: Collector,
    resource: ResourceAttributesWithSchema,
}

/// Sends measurements.
#[derive(Debug)]
pub struct Metrics(Collector);

/// Whether it could be sent there, as far as that can be told without sending.
///
/// # Errors
///
/// When the client cannot be set up.
pub fn check(config: &Config) -> Result<(), Error> {
    Collector::new(config).map(drop)
}

impl Otlp {
    /// Begins to send spans. Must be called on a runtime with threads.
    ///
    /// # Errors
    ///
    /// When the client cannot be set up.
    pub fn start(config: Config) -> Result<Self, Error> {
        let collector = Collector::new(&config)?;
        let attributes = config.resource.into_iter();
        let attributes = attributes.map(|(name, value)| KeyValue::new(name, value));
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.instance.id", instance()),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("telemetry.sdk.language", "rust"),
                KeyValue::new("telemetry.sdk.name", "opentelemetry"),
            ])
            .with_attributes(attributes)
            .build();
        let exporter = Spans {
            collector: collector.clone(),
            resource: (&resource).into(),
        };
        let line = BatchConfigBuilder::default()
            .with_max_queue_size(SPANS)
            .with_max_export_batch_size(TOGETHER)
            .with_scheduled_delay(PAUSE)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(line);
        let spans = SdkTracerProvider::builder()
            .with_span_processor(processor.build())
            .with_sampler(sampler())
            .with_resource(resource.clone())
            .build();
        Ok(Self {
            collector,
            resource,
            spans,
            sample_ratio: config.sample_ratio,
            metrics_interval: config.metrics_interval,
        })
    }

    /// Begins traces that go to the collector.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        Tracer::new(&self.spans, self.sample_ratio)
    }

    /// Has what is measured sent as well.
    #[must_use]
    pub fn also_measures(&self, builder: MeterProviderBuilder) -> MeterProviderBuilder {
        let reader = PeriodicReader::builder(Metrics(self.collector.clone()));
        let reader = reader.with_interval(self.metrics_interval).build();
        builder
            .with_resource(self.resource.clone())
            .with_reader(reader)
    }

    /// Measures what the collector does not take.
    pub fn measured_by(&self, meter: &Meter) {
        let collector = self.collector.clone();
        let lost = meter
            .u64_observable_counter("bitrix24.gateway.otlp.failures")
            .with_description(
                "Requests to the collector that it did not take: what they held is lost.",
            )
            .with_unit("{request}")
            .with_callback(move |told| {
                for signal in [Signal::Traces, Signal::Metrics] {
                    let lost = collector.lost(signal).load(Ordering::Relaxed);
                    told.observe(lost, &[KeyValue::new("bitrix24.signal", signal.as_str())]);
                }
            });
        lost.build();
    }

    /// Begins to send where there is a collector, and tells where traces begin: here, unless elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Otlp::start`].
    pub fn start_if(
        config: Option<Config>,
        elsewhere: Option<Tracer>,
    ) -> Result<(Option<Self>, Tracer), Error> {
        let otlp = config.map(Self::start).transpose()?;
        let tracer = elsewhere.or_else(|| otlp.as_ref().map(Self::tracer));
        Ok((otlp, tracer.unwrap_or_default()))
    }

    /// Sends the spans that wait, for a few seconds at most.
    pub async fn end(otlp: Option<Self>) {
        let Some(Self { spans, .. }) = otlp else {
            return;
        };
        let ending = tokio::task::spawn_blocking(move || spans.shutdown_with_timeout(LAST));
        // What could not be sent was told.
        let _ended = ending.await;
    }
}

impl Collector {
    fn new(config: &Config) -> Result<Self, Error> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls(config.extra_roots.as_deref())?)
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .timeout(PATIENCE)
            .no_proxy();
        if let Some((url, direct)) = &config.proxy {
            let proxy = Proxy::all(url.expose_secret()).map_err(Error::client)?;
            let direct = NoProxy::from_string(&format!("{THIS_MACHINE}, {direct}"));
            builder = builder.proxy(proxy.no_proxy(direct));
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        for (name, value) in &config.headers {
            let name: HeaderName = name.parse().map_err(|_| Error::Header)?;
            let value: Result<HeaderValue, _> = value.expose_secret().parse();
            let mut value = value.map_err(|_| Error::Header)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self(Arc::new(Inner {
            client: builder.build().map_err(Error::client)?,
            runtime: Handle::current(),
            endpoint: config.endpoint.as_str().trim_end_matches('/').to_owned(),
            headers,
            told: LogLimit::once_in(Duration::from_secs(60)),
            lost: Default::default(),
        })))
    }

    fn lost(&self, signal: Signal) -> &AtomicU64 {
        let [traces, metrics] = &self.0.lost;
        match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
        }
    }

    async fn send(&self, signal: Signal, body: Vec<u8>) -> OTelSdkResult {
        let path = signal.path();
        let inner = Arc::clone(&self.0);
        let sending = self.0.runtime.spawn(async move {
            let url = format!("{}{path}", inner.endpoint);
            let request = inner.client.post(url).headers(inner.headers.clone());
            let answer = request.body(Bytes::from(body)).send().await;
            let answer = answer.map_err(|error| Trouble::Unreachable(error.without_url()))?;
            match answer.status() {
                status if status.is_success() => Ok(()),
                status => Err(Trouble::Status(status)),
            }
        });
        let sent = sending.await.map_err(Trouble::Ending);
        let trouble = match sent.and_then(|sent| sent) {
            Ok(()) => return Ok(()),
            Err(trouble) => trouble,
        };
        self.lost(signal).fetch_add(1, Ordering::Relaxed);
        if let Some(untold) = self.0.told.may_tell(Instant::now()) {
            warn!(
                path,
                error = %Chain(&trouble),
                untold,
                "the collector of traces and measurements took nothing: they are lost"
            );
        }
        Err(OTelSdkError::InternalFailure("not taken".to_owned()))
    }
}

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        let body = request.encode_to_vec();
        self.collector.send(Signal::Traces, body).await
    }
}

impl PushMetricExporter for Metrics {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let request = ExportMetricsServiceRequest::from(metrics);
        self.0.send(Signal::Metrics, request.encode_to_vec()).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// Tells one process from another, made at random.
fn instance() -> String {
    format!("{:016x}", getrandom::u64().unwrap_or_default())
}

fn tls(extra_roots: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let public = roots.len();
    for certificate in CertificateDer::pem_slice_iter(extra_roots.unwrap_or_default()) {
        let certificate = certificate.map_err(Error::Certificates)?;
        roots.add(certificate).map_err(Error::Tls)?;
    }
    if extra_roots.is_some() && roots.len() == public {
        return Err(Error::NoCertificate);
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

impl Error {
    fn client(error: reqwest::Error) -> Self {
        Self::Client(error.without_url())
    }
}

/// The headers are secrets.
impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

#[cfg(test)]
mod tests;
