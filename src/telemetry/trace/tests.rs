use opentelemetry_sdk::trace::InMemorySpanExporter;

use super::*;

/// A tracer that records this part of all traces, and what it recorded.
fn tracer(ratio: f64) -> (Tracer, InMemorySpanExporter) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .with_sampler(sampler())
        .build();
    (Tracer::new(&provider, ratio), exporter)
}

fn root(tracer: &Tracer, name: &'static str) -> Span {
    tracer.begin(Kind::Internal, name, Vec::new)
}

fn from(flags: &str) -> Wire {
    Wire {
        traceparent: format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"),
        tracestate: "vendor=1".to_owned(),
    }
}

#[test]
fn nothing_is_traced_where_traces_go_nowhere() {
    let span = root(&Tracer::default(), "call");
    assert_eq!(span.place().wire(), None);
    let child = span.place().child(Kind::Internal, "part", Vec::new);
    assert!(child.place().0.is_none() && Parent::current().0.is_none() && ids().is_none());
}

#[tokio::test]
async fn work_knows_its_place_and_its_parts_end_up_below_it() {
    let (tracer, exporter) = tracer(1.0);
    let span = root(&tracer, "call");
    let parts = span.run(async {
        tokio::task::yield_now().await;
        drop(Parent::current().child(Kind::Internal, "part", Vec::new));
        ids()
    });
    let trace = parts.await.map(|(trace, _)| trace);
    drop(span);
    let spans = exporter.get_finished_spans().unwrap();
    let [part, call] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(part.parent_span_id, call.span_context.span_id());
    assert_eq!(Some(part.span_context.trace_id()), trace);
    assert_eq!(Some(call.span_context.trace_id()), trace);
    assert!(ids().is_none(), "after the work nobody is there");
}

#[test]
fn caller_who_sends_a_trace_decides_whether_it_is_recorded() {
    let wire = |ratio, flags| {
        let (tracer, exporter) = tracer(ratio);
        let span = tracer.follow(&from(flags), Kind::Server, "call", Vec::new);
        let wire = span.place().wire().unwrap();
        drop(span);
        (wire, exporter.get_finished_spans().unwrap().len())
    };
    let (recorded, spans) = wire(0.0, "01");
    assert_eq!(spans, 1);
    assert!(
        recorded
            .traceparent
            .starts_with("00-0af7651916cd43dd8448eb211c80319c-")
    );
    assert!(recorded.traceparent.ends_with("-01"));
    assert_eq!(recorded.tracestate, "vendor=1");
    let (passed_on, spans) = wire(1.0, "00");
    assert_eq!(spans, 0);
    assert!(passed_on.traceparent.ends_with("-00"), "{passed_on:?}");
}

#[test]
fn what_is_no_trace_begins_one() {
    for wrong in [
        "",
        "00-0-0-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        let (tracer, exporter) = tracer(1.0);
        let wire = Wire {
            traceparent: wrong.to_owned(),
            tracestate: "vendor=1".to_owned(),
        };
        drop(tracer.follow(&wire, Kind::Server, "call", Vec::new));
        let spans = exporter.get_finished_spans().unwrap();
        assert_eq!(spans[0].parent_span_id, SpanId::INVALID, "{wrong}");
    }
}

#[test]
fn part_of_all_traces_is_recorded() {
    let (tracer, exporter) = tracer(0.25);
    for _ in 0..2000 {
        let call = root(&tracer, "call");
        drop(call.place().child(Kind::Internal, "part", Vec::new));
    }
    let spans = exporter.get_finished_spans().unwrap();
    let calls = spans.iter().filter(|span| span.name == "call").count();
    assert!((350..650).contains(&calls), "{calls} of 2000");
    assert_eq!(
        spans.len(),
        2 * calls,
        "a part is recorded where its call is"
    );
}

#[test]
fn what_is_done_for_several_links_to_those_that_are_recorded() {
    let (tracer, exporter) = tracer(0.0);
    let (quiet, one) = (root(&tracer, "quiet"), from("01"));
    let two = Wire {
        traceparent: one.traceparent.replace("0af7", "1bf7"),
        ..one.clone()
    };
    let [one, two] = [one, two].map(|wire| tracer.follow(&wire, Kind::Server, "call", Vec::new));
    let all = [quiet.place(), one.place(), two.place(), one.place()];
    drop(Parent::shared(all, Kind::Client, "batch", Vec::new));
    let spans = exporter.get_finished_spans().unwrap();
    let batch = &spans[0];
    assert_eq!(batch.parent_span_id, SpanId::INVALID);
    let linked: Vec<_> = batch
        .links
        .iter()
        .map(|link| link.span_context.clone())
        .collect();
    let expected = [&one, &two].map(|span| span.place().span_context().unwrap());
    assert_eq!(linked, expected);

    let of_one = Parent::shared([one.place(), one.place()], Kind::Client, "batch", Vec::new);
    drop(of_one);
    let spans = exporter.get_finished_spans().unwrap();
    let own = one.place().span_context().unwrap();
    assert_eq!(spans[1].parent_span_id, own.span_id());
    let of_nobody = Parent::shared(
        [quiet.place(), &Parent::default()],
        Kind::Client,
        "batch",
        Vec::new,
    );
    assert_eq!(of_nobody.place().wire(), None);
}
