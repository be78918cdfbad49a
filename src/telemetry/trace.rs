//! Spans: what a call, an event or a fetch went through, for whoever collects them.
//!
//! A [`Tracer`] begins traces. From there on the place in a trace travels with the work as its current
//! context, so that whoever adds a span needs no tracer: [`Parent::current`] knows. Where traces go
//! nowhere there is no context, and all of this does nothing.
//!
//! Spans are those of `tracing`, with a subscriber of their own that turns them into OpenTelemetry's: what is
//! traced must not depend on what is logged, and many gateways may live in one process, as in tests.
//!
//! Rule: attributes are names, numbers and outcomes, never what somebody wrote, who somebody is in a
//! portal, or where a secret may stand, such as an address with its path.

use std::borrow::Cow;

use futures_util::future::Either;
use opentelemetry::{
    Context, InstrumentationScope, KeyValue,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{
        FutureExt as _, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId,
        TraceState, TracerProvider as _,
    },
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{IdGenerator as _, RandomIdGenerator, Sampler, SdkTracerProvider},
};
use tracing::{Dispatch, dispatcher::with_default, level_filters::LevelFilter};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::{filter::filter_fn, layer::SubscriberExt as _, registry};

pub use opentelemetry::{context::WithContext, trace::SpanKind as Kind};

/// The target of all spans that are traced, which the log does not know.
const TARGET: &str = "bitrix24_gateway_trace";

/// Begins traces; none by default. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<On>);

/// Traces go somewhere.
#[derive(Debug, Clone)]
struct On {
    /// Holds the maker.
    context: Context,
    /// The part of all traces that is recorded, 0 to 1, where nobody else decided it.
    ratio: f64,
}

/// Stands in every context of ours: makes the spans below.
#[derive(Debug)]
struct Maker(Dispatch);

/// A place in a trace, below which spans are made; perhaps none. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Parent(Option<Context>);

/// A span; it ends when it is dropped. Perhaps none, or that of its parent where nobody records.
#[derive(Debug, Default)]
#[must_use = "it ends when it is dropped"]
pub struct Span {
    place: Parent,
    /// Ends it; without one it belongs to somebody else.
    _end: Option<tracing::Span>,
}

/// A place in a trace as it is told to others, by the W3C recommendation "Trace Context".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wire {
    /// Trace, span and flags.
    pub traceparent: String,
    /// What tracing systems on the way added; may be empty.
    pub tracestate: String,
}

impl Tracer {
    /// Whether traces go anywhere.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Spans go where this provider sends them; it should have [`sampler`]. Of the traces that begin here this
    /// part is recorded, from 0 to 1. What is not recorded costs next to nothing: it has a place in a trace,
    /// and no span.
    #[must_use]
    pub fn new(provider: &SdkTracerProvider, ratio: f64) -> Self {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"));
        let tracer = provider.tracer_with_scope(scope.build());
        // Nothing is told of a span but what we say.
        let layer = OpenTelemetryLayer::new(tracer)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        // So that lines of the log that are not told cost as little as without it.
        let ours = filter_fn(|metadata| metadata.target() == TARGET);
        let ours = ours.with_max_level_hint(LevelFilter::INFO);
        let maker = Maker(registry().with(layer).with(ours).into());
        let context = Context::new().with_value(maker);
        Self(Some(On { context, ratio }))
    }

    /// Begins a trace.
    pub fn begin(
        &self,
        kind: Kind,
        name: impl Into<Cow<'static, str>>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Span {
        match &self.0 {
            Some(on) => on.begin(kind, name, attributes),
            None => Span::default(),
        }
    }

    /// Goes on with the trace of somebody else, where there is one; else begins one.
    pub fn follow(
        &self,
        from: &Wire,
        kind: Kind,
        name: impl Into<Cow<'static, str>>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Span {
        let Some(on) = &self.0 else {
            return Span::default();
        };
        let above = TraceContextPropagator::new().extract_with_context(&on.context, from);
        let told = above.span().span_context().clone();
        if told.is_sampled() {
            make(&above, kind, name, &[], attributes)
        } else if told.is_valid() {
            Parent(Some(above)).into()
        } else {
            on.begin(kind, name, attributes)
        }
    }
}

impl On {
    fn begin(
        &self,
        kind: Kind,
        name: impl Into<Cow<'static, str>>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Span {
        let ids = RandomIdGenerator::default();
        let trace = ids.new_trace_id();
        if drawn(trace) < self.ratio {
            return make(&self.context, kind, name, &[], attributes);
        }
        let (flags, state) = (TraceFlags::default(), TraceState::default());
        let place = SpanContext::new(trace, ids.new_span_id(), flags, false, state);
        Parent(Some(self.context.with_remote_span_context(place))).into()
    }
}

/// A number from 0 to below 1 out of what was drawn for a trace.
#[expect(
    clippy::cast_precision_loss,
    reason = "53 bits are what the number has room for"
)]
fn drawn(trace: TraceId) -> f64 {
    let [.., a, b, c, d, e, f, g, h] = trace.to_bytes();
    let bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

impl Parent {
    /// Where the work that runs now belongs.
    #[must_use]
    pub fn current() -> Self {
        Self(Context::map_current(|context| {
            context.get::<Maker>().map(|_| context.clone())
        }))
    }

    /// A span of a part of the work.
    pub fn child(
        &self,
        kind: Kind,
        name: impl Into<Cow<'static, str>>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Span {
        match &self.0 {
            Some(context) if self.is_sampled() => make(context, kind, name, &[], attributes),
            _ => self.clone().into(),
        }
    }

    /// A span of work that is done for several at once: below the one, if it is the same one, else with
    /// a trace of its own that links to each. It is recorded when one of them is.
    pub fn shared<'a>(
        parents: impl IntoIterator<Item = &'a Self>,
        kind: Kind,
        name: impl Into<Cow<'static, str>>,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Span {
        let mut linked: Vec<&Self> = Vec::new();
        let mut alike = true;
        for parent in parents {
            alike &= linked.first().is_none_or(|first| first.is(parent));
            if !linked.iter().any(|known| known.is(parent)) {
                linked.push(parent);
            }
        }
        if let (true, Some(only)) = (alike, linked.first()) {
            return only.child(kind, name, attributes);
        }
        let links: Vec<_> = linked.iter().filter(|parent| parent.is_sampled()).collect();
        let Some(maker) = links.first().and_then(|first| first.maker()) else {
            return Span::default();
        };
        let root = Context::new().with_value(Maker(maker.clone()));
        let links = links.iter().filter_map(|parent| parent.span_context());
        make(&root, kind, name, &links.collect::<Vec<_>>(), attributes)
    }

    /// Whether both are the same place.
    fn is(&self, other: &Self) -> bool {
        self.span_context() == other.span_context()
    }

    fn maker(&self) -> Option<&Dispatch> {
        self.0.as_ref()?.get::<Maker>().map(|maker| &maker.0)
    }

    fn span_context(&self) -> Option<SpanContext> {
        Some(self.0.as_ref()?.span().span_context().clone())
    }

    /// Whether somebody records this trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        let sampled = |context: &Context| context.span().span_context().is_sampled();
        self.0.as_ref().is_some_and(sampled)
    }

    /// As it is told to others; `None` where there is no trace.
    #[must_use]
    pub fn wire(&self) -> Option<Wire> {
        let mut wire = Wire::default();
        TraceContextPropagator::new().inject_context(self.0.as_ref()?, &mut wire);
        (!wire.traceparent.is_empty()).then_some(wire)
    }

    /// Adds an attribute to the span of this place.
    pub fn set(&self, attribute: impl FnOnce() -> KeyValue) {
        if let Some(context) = self.recorded() {
            context.span().set_attribute(attribute());
        }
    }

    fn recorded(&self) -> Option<&Context> {
        let context = self.0.as_ref()?;
        context.span().is_recording().then_some(context)
    }

    /// Does something here that does not wait.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _here = self.0.clone().map(Context::attach);
        work()
    }

    /// Runs work here.
    pub fn run<F: Future>(&self, work: F) -> Either<WithContext<F>, F> {
        match &self.0 {
            Some(context) => Either::Left(work.with_context(context.clone())),
            None => Either::Right(work),
        }
    }
}

impl Span {
    /// Where further spans are made.
    #[must_use]
    pub fn place(&self) -> &Parent {
        &self.place
    }

    /// Adds an attribute.
    pub fn set(&self, attribute: impl FnOnce() -> KeyValue) {
        self.place.set(attribute);
    }

    /// It failed, for this reason out of few.
    pub fn failed(&self, reason: &'static str) {
        if let Some(context) = self.place.recorded() {
            let reason = KeyValue::new("error.type", reason);
            context.span().set_attribute(reason);
            context.span().set_status(Status::error(""));
        }
    }

    /// It has to do with something in another trace.
    pub fn link(&self, other: &Parent) {
        let other = other.span_context().filter(SpanContext::is_sampled);
        if let (Some(context), Some(other)) = (self.place.recorded(), other) {
            context.span().add_link(other, Vec::new());
        }
    }

    /// Runs work in it.
    pub fn run<F: Future>(&self, work: F) -> Either<WithContext<F>, F> {
        self.place.run(work)
    }
}

/// Work that has no span of its own, but the place of one.
impl From<Parent> for Span {
    fn from(place: Parent) -> Self {
        Self { place, _end: None }
    }
}

/// `above` has a maker.
fn make(
    above: &Context,
    kind: Kind,
    name: impl Into<Cow<'static, str>>,
    links: &[SpanContext],
    attributes: impl FnOnce() -> Vec<KeyValue>,
) -> Span {
    let Some(maker) = above.get::<Maker>() else {
        return Span::default();
    };
    let name = name.into();
    let kind = word(&kind);
    let span = with_default(&maker.0, || {
        tracing::info_span!(
            target: TARGET,
            parent: None,
            "span",
            otel.name = &*name,
            otel.kind = kind
        )
    });
    // It has not begun before its context is asked for, so that this cannot fail.
    let _begun = span.set_parent(above.clone());
    for link in links {
        span.add_link(link.clone());
    }
    let context = span.context();
    context.span().set_attributes(attributes());
    Span {
        place: Parent(Some(context)),
        _end: Some(span),
    }
}

/// A kind as the subscriber reads it.
fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Client => "client",
        Kind::Server => "server",
        Kind::Producer => "producer",
        Kind::Consumer => "consumer",
        Kind::Internal => "internal",
    }
}

/// Trace and span of the work that runs now, if it is traced.
pub(super) fn ids() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        context.get::<Maker>()?;
        let span = context.span();
        let told = span.span_context();
        told.is_valid().then(|| (told.trace_id(), told.span_id()))
    })
}

/// Records every span that is made: what is not to be recorded has none.
#[must_use]
pub fn sampler() -> Sampler {
    Sampler::ParentBased(Box::new(Sampler::AlwaysOn))
}

impl Extractor for Wire {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(&self.traceparent),
            "tracestate" => Some(&self.tracestate),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

impl Injector for Wire {
    fn set(&mut self, key: &str, value: String) {
        match key {
            "traceparent" => self.traceparent = value,
            "tracestate" => self.tracestate = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
