//! Spans of one gateway, and what a test asks of them.

use bitrix24_gateway::{
    proto::v1 as pb,
    telemetry::trace::{Parent, Tracer, Wire, sampler},
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tonic::Request;

/// What was recorded.
#[derive(Debug)]
pub(crate) struct Spans(InMemorySpanExporter);

impl Spans {
    /// This part of all traces, from 0 to 1.
    pub(crate) fn recorded(ratio: f64) -> (Self, Tracer) {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .with_sampler(sampler())
            .build();
        (Self(exporter), Tracer::new(&provider, ratio))
    }

    /// Every span that has ended.
    pub(crate) fn all(&self) -> Vec<SpanData> {
        self.0.get_finished_spans().unwrap()
    }

    /// Those of this name, in the order in which they began.
    pub(crate) fn named_any(&self, name: &str) -> Vec<SpanData> {
        let mut named = self.all();
        named.retain(|span| span.name == name);
        named.sort_by_key(|span| span.start_time);
        named
    }

    /// The same, which are so many.
    pub(crate) fn named<const N: usize>(&self, name: &str) -> [SpanData; N] {
        let named = self.named_any(name);
        let found = named.len();
        named.try_into().unwrap_or_else(|_| {
            let mut names: Vec<_> = self.all().into_iter().map(|span| span.name).collect();
            names.sort();
            names.dedup();
            panic!("{found} spans are named {name}, of {names:?}")
        })
    }

    /// The one that a span is below.
    pub(crate) fn above(&self, span: &SpanData) -> SpanData {
        let above = self.all().into_iter().find(|above| is_below(span, above));
        above.expect("the span above has ended")
    }

    /// Everything that they tell.
    pub(crate) fn told(&self) -> String {
        format!("{:?}", self.all())
    }
}

/// The place in a trace that came with an event.
pub(crate) fn wire(event: &pb::Event) -> Wire {
    let trace = event.trace_context.clone().expect("the event has a trace");
    Wire {
        traceparent: trace.traceparent,
        tracestate: trace.tracestate,
    }
}

/// A request that tells its place.
pub(crate) fn traced<T>(message: T, place: &Parent) -> Request<T> {
    let mut request = Request::new(message);
    tell(&mut request, &place.wire().unwrap());
    request
}

pub(crate) fn tell<T>(request: &mut Request<T>, wire: &Wire) {
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", wire.traceparent.parse().unwrap());
    if !wire.tracestate.is_empty() {
        metadata.insert("tracestate", wire.tracestate.parse().unwrap());
    }
}

/// A span as it is told to others.
pub(crate) fn traceparent(span: &SpanData) -> String {
    let told = &span.span_context;
    let flags = told.trace_flags().to_u8();
    format!("00-{}-{}-{flags:02x}", told.trace_id(), told.span_id())
}

pub(crate) fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.to_string())
}

/// All of them, in order.
pub(crate) fn attributes(span: &SpanData) -> String {
    let attributes = span.attributes.iter();
    let attributes = attributes.map(|attribute| format!("{}={}", attribute.key, attribute.value));
    let mut attributes: Vec<_> = attributes.collect();
    attributes.sort();
    attributes.join(" ")
}

/// Whether it is of an event of this type.
pub(crate) fn is_of(span: &SpanData, kind: &str) -> bool {
    attribute(span, "bitrix24.event.type").as_deref() == Some(kind)
}

pub(crate) fn is_below(span: &SpanData, above: &SpanData) -> bool {
    span.parent_span_id == above.span_context.span_id()
        && span.span_context.trace_id() == above.span_context.trace_id()
}

pub(crate) fn links_to(span: &SpanData, other: &SpanData) -> bool {
    let mut links = span.links.iter();
    links.any(|link| link.span_context == other.span_context)
}
