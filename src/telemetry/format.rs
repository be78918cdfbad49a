//! Log lines with the trace that they belong to.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format as Lines, Full, Json, Writer},
    },
    registry::LookupSpan,
};

use super::trace;

/// Writes lines as before, with the ids of trace and span where there are some.
#[derive(Debug)]
pub(super) enum Traced {
    /// The trace at the end of the line.
    Text(Lines<Full>),
    /// Both as fields.
    Json(Lines<Json>),
}

impl<S, N> FormatEvent<S, N> for Traced
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let untraced = |writer: Writer<'_>| match self {
            Self::Text(lines) => lines.format_event(context, writer, event),
            Self::Json(lines) => lines.format_event(context, writer, event),
        };
        let Some((trace, span)) = trace::ids() else {
            return untraced(writer);
        };
        let mut line = String::new();
        untraced(Writer::new(&mut line))?;
        match self {
            Self::Text(_) => writeln!(writer, "{} trace_id={trace}", line.trim_end()),
            Self::Json(_) => {
                let rest = line.strip_prefix('{').unwrap_or(&line);
                write!(
                    writer,
                    r#"{{"trace_id":"{trace}","span_id":"{span}",{rest}"#
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use opentelemetry_sdk::trace::SdkTracerProvider;
    use serde_json::Value;
    use tracing::{info, subscriber::with_default};
    use tracing_subscriber::fmt;

    use super::*;
    use crate::telemetry::trace::{Kind, Tracer};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Two lines, one of them of a trace, and its place in it.
    fn lines(json: bool) -> (Vec<String>, String) {
        let tracer = Tracer::new(&SdkTracerProvider::builder().build(), 1.0);
        let span = tracer.begin(Kind::Internal, "part", Vec::new);
        let place = span.place().wire().unwrap().traceparent;
        let written = Written::default();
        let writer = written.clone();
        let layer = fmt().with_writer(move || writer.clone()).with_ansi(false);
        let tell = || {
            info!(portal.id = "acme", "one");
            span.place().enter(|| info!("two"));
        };
        if json {
            let lines = Traced::Json(fmt::format().json());
            with_default(layer.json().event_format(lines).finish(), tell);
        } else {
            let lines = Traced::Text(fmt::format().with_ansi(false));
            with_default(layer.event_format(lines).finish(), tell);
        }
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        (text.lines().map(str::to_owned).collect(), place)
    }

    #[test]
    fn line_of_a_trace_tells_it_and_others_are_as_before() {
        let (lines, place) = lines(false);
        let trace = place.split('-').nth(1).unwrap();
        assert!(lines[0].ends_with("one portal.id=\"acme\""), "{lines:?}");
        assert!(
            lines[1].ends_with(&format!("two trace_id={trace}")),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn trace_and_span_are_fields_of_a_json_line() {
        let (lines, place) = lines(true);
        let lines = lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines[0]["fields"]["portal.id"], "acme");
        assert_eq!(lines[0].get("trace_id"), None);
        let field = |name: &str| lines[1][name].as_str().unwrap().to_owned();
        assert_eq!(
            place,
            format!("00-{}-{}-01", field("trace_id"), field("span_id"))
        );
        assert_eq!(lines[1]["fields"]["message"], "two");
    }
}
