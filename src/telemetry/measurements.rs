//! Collects what is measured, and writes it down in the text format of Prometheus.
//!
//! Every gateway has its own collection: nothing is global, so gateways of one process are told apart.
//! What is measured all the time is counted where it happens; what is only a state is looked at when
//! somebody asks, by a callback of an observable instrument.

use std::{fmt, sync::Arc};

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    metrics::{Instrument, InstrumentKind, MeterProviderBuilder, SdkMeterProvider, Stream},
};
use prometheus::{Encoder as _, Registry, TextEncoder};

/// Most series of one counter or gauge. What is beyond it is counted together, in a series that is labelled
/// `otel_metric_overflow`.
const SERIES: usize = 10_000;

/// The same of a histogram, each series of which is about sixteen lines.
const HISTOGRAM_SERIES: usize = 3_000;

/// What is measured in a gateway.
#[derive(Debug)]
pub struct Measurements {
    provider: SdkMeterProvider,
    registry: Registry,
}

/// Writes down what is measured. Cheap to clone.
#[derive(Clone)]
pub struct Render(Arc<Registry>);

impl Measurements {
    /// An empty collection, which is also given to the readers that `more` adds.
    ///
    /// # Errors
    ///
    /// When the exporter cannot be set up.
    pub fn new(
        more: impl FnOnce(MeterProviderBuilder) -> MeterProviderBuilder,
    ) -> Result<Self, OTelSdkError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // One scope and one resource: both would only make every line longer.
            .scope_info_enabled(false)
            .without_target_info()
            .build()?;
        let resource = Resource::builder()
            .with_service_name(env!("CARGO_PKG_NAME"))
            .build();
        let builder = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_view(bounded)
            .with_reader(exporter);
        Ok(Self {
            provider: more(builder).build(),
            registry,
        })
    }

    /// Makes instruments.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.provider.meter(env!("CARGO_PKG_NAME"))
    }

    /// Writes down what is measured, for whoever asks over HTTP.
    #[must_use]
    pub fn render(&self) -> Render {
        Render(Arc::new(self.registry.clone()))
    }
}

impl Render {
    /// Everything as of now, in the text format of Prometheus. Empty once the gateway has ended.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Only a family without a name or a metric cannot be written, and none is given.
        if let Err(error) = TextEncoder::new().encode(&self.0.gather(), &mut text) {
            tracing::error!(%error, "measurements cannot be written down");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl fmt::Debug for Render {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Render")
    }
}

/// However many labels there are, an instrument takes up no more than this.
fn bounded(instrument: &Instrument) -> Option<Stream> {
    let most = match instrument.kind() {
        InstrumentKind::Histogram => HISTOGRAM_SERIES,
        _ => SERIES,
    };
    Stream::builder().with_cardinality_limit(most).build().ok()
}

#[cfg(test)]
mod tests {
    use opentelemetry::KeyValue;

    use super::*;

    fn measurements() -> Measurements {
        Measurements::new(|builder| builder).unwrap()
    }

    #[test]
    fn what_was_counted_is_written_down_with_its_unit_and_labels() {
        let measurements = measurements();
        let meter = measurements.meter();
        let waits = meter.f64_histogram("a.wait").with_unit("s");
        let waits = waits.with_boundaries(vec![1.0, 2.0]).build();
        waits.record(1.5, &[KeyValue::new("a.lane", "answers")]);
        let text = measurements.render().text();
        let bucket = "a_wait_seconds_bucket{a_lane=\"answers\",le=\"2\"} 1\n";
        assert!(text.contains(bucket), "{text}");
        assert!(!text.contains("otel_scope"), "{text}");
    }

    #[test]
    fn series_without_end_take_up_no_more_than_their_limit() {
        let measurements = measurements();
        let counter = measurements.meter().u64_counter("a.count").build();
        for number in 0..SERIES as i64 + 1000 {
            counter.add(1, &[KeyValue::new("a.number", number)]);
        }
        let text = measurements.render().text();
        let series = text.lines().filter(|line| line.starts_with("a_count"));
        assert!(series.count() <= SERIES + 1);
        assert!(text.contains("a_count_total{otel_metric_overflow=\"true\"} 1000\n"));
    }

    #[test]
    fn state_that_is_gone_is_told_no_more() {
        let measurements = measurements();
        let (asked, meter) = (Arc::new(std::sync::Mutex::new(0)), measurements.meter());
        let gauge = meter
            .u64_observable_gauge("a.state")
            .with_callback(move |told| {
                let mut asked = asked.lock().unwrap();
                *asked += 1;
                told.observe(1, &[KeyValue::new("a.number", *asked)]);
            });
        gauge.build();
        let render = measurements.render();
        assert!(render.text().contains("a_state{a_number=\"1\"} 1"));
        let text = render.text();
        assert!(text.contains("a_state{a_number=\"2\"} 1"), "{text}");
        assert!(!text.contains("a_number=\"1\""), "{text}");
    }

    #[test]
    fn nothing_is_told_once_the_gateway_has_ended() {
        let measurements = measurements();
        measurements
            .meter()
            .u64_counter("a.count")
            .build()
            .add(1, &[]);
        let render = measurements.render();
        assert!(render.text().contains("a_count_total 1"));
        drop(measurements);
        assert_eq!(render.text(), "");
    }
}
