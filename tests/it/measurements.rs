//! What each stage on the way to a portal tells of itself.

use std::{collections::BTreeMap, time::Duration};

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, PeriodicReader, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};
use tonic::Request;

use crate::{oauth::stage::Stage, scene::told};

/// Collects what is measured, when asked.
struct Measurements {
    provider: SdkMeterProvider,
    exporter: InMemoryMetricExporter,
}

impl Measurements {
    fn new() -> (Self, Meter) {
        let exporter = InMemoryMetricExporter::default();
        // Longer than any test takes.
        let reader = PeriodicReader::builder(exporter.clone()).with_interval(DAY);
        let provider = SdkMeterProvider::builder()
            .with_reader(reader.build())
            .build();
        let meter = provider.meter("test");
        (Self { provider, exporter }, meter)
    }

    /// How often each thing was measured, or how much was counted, by instrument and labels.
    fn taken(&self) -> BTreeMap<String, u64> {
        self.provider.force_flush().unwrap();
        let collected = self.exporter.get_finished_metrics().unwrap();
        let last = collected.last().unwrap();
        let mut all = BTreeMap::new();
        let metrics = last.scope_metrics().flat_map(|scope| scope.metrics());
        for metric in metrics.filter(|metric| ON_THE_WAY.contains(&metric.name())) {
            let mut take = |labels: Vec<&KeyValue>, value| {
                let portal = KeyValue::new("bitrix24.portal", "acme");
                assert!(labels.contains(&&portal), "{} of no portal", metric.name());
                let others = labels.into_iter().filter(|label| **label != portal);
                let mut labels: Vec<_> = others
                    .map(|label| format!("{}={}", label.key, label.value))
                    .collect();
                labels.sort();
                all.insert(format!("{} {}", metric.name(), labels.join(" ")), value);
            };
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => sum
                    .data_points()
                    .for_each(|point| take(point.attributes().collect(), point.value())),
                AggregatedMetrics::U64(MetricData::Histogram(histogram)) => histogram
                    .data_points()
                    .for_each(|point| take(point.attributes().collect(), point.count())),
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => histogram
                    .data_points()
                    .for_each(|point| take(point.attributes().collect(), point.count())),
                other => panic!("{} is of another kind: {other:?}", metric.name()),
            }
        }
        all
    }
}

/// What is measured on the way to a portal.
const ON_THE_WAY: [&str; 7] = [
    "bitrix24.gateway.admission.refusals",
    "bitrix24.gateway.batch.size",
    "bitrix24.gateway.limit.refusals",
    "bitrix24.gateway.oauth.refreshes",
    "bitrix24.gateway.queue.wait.duration",
    "bitrix24.gateway.retries",
    "http.client.request.duration",
];

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Those of one instrument, without its name.
fn of<'a>(taken: &'a BTreeMap<String, u64>, instrument: &str) -> BTreeMap<&'a str, u64> {
    let of_instrument = |(name, count): (&'a String, &u64)| {
        let labels = name.strip_prefix(instrument)?.strip_prefix(' ')?;
        Some((labels, *count))
    };
    taken.iter().filter_map(of_instrument).collect()
}

#[tokio::test(start_paused = true)]
async fn each_stage_tells_what_happened_in_it() {
    let mut stage = Stage::set(&[("rate.requests_per_second", "2"), ("rate.burst", "4")]).await;
    stage.scene.answers_tell_times();
    stage.scene.errors_have_names();
    stage.scene.helper().await;
    let (measurements, meter) = Measurements::new();
    stage.scene.measured_by(meter).await;

    let rooms = stage.rooms(40);
    stage.say_in(&rooms, "hello").await;
    stage.scene.portal.expire_tokens_of(&stage.client_id);
    let unavailable = Fault::error(503, "", "");
    let over = Fault::error(503, "QUERY_LIMIT_EXCEEDED", "Too many requests");
    let faults = stage.scene.portal.faults();
    faults.on("imbot.v2.Bot.get", unavailable);
    faults.on("imbot.v2.Bot.get", over);
    let get = pb::GetBotRequest {
        bot_code: "helper".to_owned(),
        ..pb::GetBotRequest::default()
    };
    stage.scene.bots.get_bot(get.clone()).await.unwrap();
    // No permit is left, and this one cannot wait for the next.
    let calls = (0..20).map(|_| {
        let mut bots = stage.scene.bots.clone();
        let mut request = Request::new(get.clone());
        request.set_timeout(Duration::from_millis(300));
        async move { bots.get_bot(request).await }
    });
    let outcomes = futures_util::future::join_all(calls).await;
    let late = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    let late = late.filter(|status| told(status).reason == "DEADLINE_TOO_SHORT");
    let late = u64::try_from(late.count()).unwrap();
    assert!(late > 0, "nobody had to wait");

    let taken = measurements.taken();
    let of = |instrument| of(&taken, instrument);
    assert_eq!(
        of("bitrix24.gateway.admission.refusals"),
        [("bitrix24.reason=DEADLINE_TOO_SHORT", late)].into()
    );
    let retries = of("bitrix24.gateway.retries");
    assert_eq!(retries.values().sum::<u64>(), 2, "{retries:?}");
    let waits = of("bitrix24.gateway.queue.wait.duration");
    assert!(waits["bitrix24.lane=answers"] >= 30, "{waits:?}");
    let left = of("bitrix24.gateway.batch.size");
    let requests = stage.scene.portal.journal().requests();
    assert!(left[""] > 4 && left[""] < 60, "{left:?}");
    assert_eq!(
        of("bitrix24.gateway.limit.refusals"),
        [("bitrix24.limit=rate", 1)].into()
    );
    assert_eq!(
        of("bitrix24.gateway.oauth.refreshes"),
        [("bitrix24.reason=OK", 1)].into()
    );
    let durations = of("http.client.request.duration");
    assert!(durations.values().sum::<u64>() < u64::try_from(requests.len()).unwrap());
    let fine = "http.request.method=POST http.response.status_code=200 url.template=batch";
    assert!(durations[fine] > 0, "{durations:?}");
    let refused = durations
        .keys()
        .filter(|labels| labels.contains("error.type="))
        .count();
    assert!(refused >= 2, "{durations:?}");
    for secret in stage.secrets() {
        assert!(
            !format!("{taken:?}").contains(&secret),
            "a secret is a label"
        );
    }
}
