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
