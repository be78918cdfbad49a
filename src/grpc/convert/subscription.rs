//! What a stream is to show, and from where.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    check::Check,
    portal::{Named, named},
};
use crate::{
    events::{Start, View},
    grpc::{caller::Arrival, status::Refusal},
    ids::{BotCode, CommandName},
    proto::v1::{self as pb, stream_start::Position},
};

/// How long a stream is silent at most, unless the caller says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Names in one filter.
const NAMES: usize = 1000;

/// What a stream is to show.
#[derive(Debug)]
pub(in crate::grpc) struct Subscription {
    pub(in crate::grpc) view: View,
    pub(in crate::grpc) commands: Vec<CommandName>,
    pub(in crate::grpc) start: Start,
    pub(in crate::grpc) heartbeat: Duration,
}

pub(in crate::grpc) fn subscription(
    arrival: &mut Arrival<'_>,
    request: pb::SubscribeCommandEventsRequest,
) -> Result<Subscription, Refusal> {
    let mut check = Check::default();
    let portal = named(&mut check, &request.portal);
    let bots: Vec<BotCode> = names(&mut check, "bot_codes", &request.bot_codes);
    let commands = names(&mut check, "commands", &request.commands);
    let start = start(&mut check, request.start);
    let heartbeat = heartbeat(&mut check, request.heartbeat_interval);
    let (portal, start) = check.done(portal.zip(start))?;
    // Empty means every portal the caller may see, not the default one.
    let portal = match portal {
        Named::Default => {
            arrival.any_portal()?;
            None
        }
        named @ Named::Portal(_) => Some(arrival.portal(named)?),
    };
    bots.iter().try_for_each(|code| arrival.bot_name(code))?;
    Ok(Subscription {
        view: View {
            portal,
            bots,
            commands_only: true,
        },
        commands,
        start,
        heartbeat,
    })
}

fn start(check: &mut Check, start: Option<pb::StreamStart>) -> Option<Start> {
    match start.and_then(|start| start.position) {
        None => Some(Start::Now),
        Some(Position::AfterCursor(text)) => {
            check.parsed("start.after_cursor", &text).map(Start::After)
        }
        Some(Position::Point(point)) => {
            check.known("start.point", point).map(|point| match point {
                pb::StreamStartPoint::Unspecified | pb::StreamStartPoint::Now => Start::Now,
                pb::StreamStartPoint::Earliest => Start::Earliest,
            })
        }
        Some(Position::Time(time)) => match Timestamp::new(time.seconds, time.nanos) {
            Ok(time) => Some(Start::Time(time)),
            Err(_) => {
                check.broken("start.time", "is not a time");
                None
            }
        },
    }
}

fn names<T: std::str::FromStr<Err: std::fmt::Display>>(
    check: &mut Check,
    field: &str,
    texts: &[String],
) -> Vec<T> {
    if texts.len() > NAMES {
        check.broken(field, format!("must be at most {NAMES} names"));
        return Vec::new();
    }
    let parse = |(index, text): (usize, &String)| check.parsed(&format!("{field}[{index}]"), text);
    texts.iter().enumerate().filter_map(parse).collect()
}

/// How long a stream is silent at most.
pub(super) fn heartbeat(check: &mut Check, wish: Option<prost_types::Duration>) -> Duration {
    let Some(wish) = wish else {
        return HEARTBEAT;
    };
    match Duration::try_from(wish) {
        Ok(wish) if (Duration::from_secs(1)..=Duration::from_secs(60)).contains(&wish) => wish,
        _ => {
            check.broken("heartbeat_interval", "must be 1 s to 60 s");
            HEARTBEAT
        }
    }
}
