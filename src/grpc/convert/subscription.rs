//! What a stream is to show, from where, and under which name.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    check::Check,
    portal::{Named, named},
};
use crate::{
    events::{
        Start, View,
        subscriptions::{Room, Wish},
    },
    grpc::{caller::Arrival, status::Refusal},
    ids::BotCode,
    portal::wire::event::Kind,
    proto::v1::{self as pb, stream_start::Position},
};

/// How long a stream is silent at most, unless the caller says otherwise.
pub(in crate::grpc) const HEARTBEAT: Duration = Duration::from_secs(15);

/// Names in one filter.
const NAMES: usize = 1000;

/// Longest name of a subscription, bytes.
const NAME: usize = 64;

/// What a stream holds at most that is not done, unless the caller says otherwise.
pub(in crate::grpc) const ROOM: Room = Room {
    events: 100,
    bytes: 16 << 20,
};

/// What a stream is to show.
#[derive(Debug)]
pub(in crate::grpc) struct Asked {
    pub(in crate::grpc) view: View,
    pub(in crate::grpc) start: Option<Start>,
    pub(in crate::grpc) heartbeat: Duration,
    pub(in crate::grpc) named: Option<NamedWish>,
}

/// The subscription it is a stream of.
#[derive(Debug)]
pub(in crate::grpc) struct NamedWish {
    pub(in crate::grpc) name: String,
    pub(in crate::grpc) room: Room,
    max_processing: Option<Duration>,
    max_attempts: Option<u32>,
    max_age: Option<Duration>,
}

impl NamedWish {
    pub(in crate::grpc) fn wish(&self, view: View) -> Wish {
        Wish {
            view,
            max_processing: self.max_processing,
            max_attempts: self.max_attempts,
            max_age: self.max_age,
        }
    }
}

/// A stream of commands.
pub(in crate::grpc) fn commands(
    arrival: &mut Arrival<'_>,
    request: pb::SubscribeCommandEventsRequest,
) -> Result<Asked, Refusal> {
    let wish = Request {
        portal: request.portal,
        bots: request.bot_codes,
        types: vec![pb::EventType::CommandAdded.into()],
        commands: request.commands,
        start: request.start,
        heartbeat: request.heartbeat_interval,
        subscription: request.subscription,
    };
    wish.read(arrival)
}

/// A stream of events.
pub(in crate::grpc) fn events(
    arrival: &mut Arrival<'_>,
    request: pb::SubscribeEventsRequest,
) -> Result<Asked, Refusal> {
    let wish = Request {
        portal: request.portal,
        bots: request.bot_codes,
        types: request.types,
        commands: Vec::new(),
        start: request.start,
        heartbeat: request.heartbeat_interval,
        subscription: request.subscription,
    };
    wish.read(arrival)
}

/// What either kind of stream is asked for.
struct Request {
    portal: String,
    bots: Vec<String>,
    types: Vec<i32>,
    commands: Vec<String>,
    start: Option<pb::StreamStart>,
    heartbeat: Option<prost_types::Duration>,
    subscription: Option<pb::NamedSubscription>,
}

impl Request {
    fn read(self, arrival: &mut Arrival<'_>) -> Result<Asked, Refusal> {
        let mut check = Check::default();
        let portal = named(&mut check, &self.portal);
        let bots: Vec<BotCode> = names(&mut check, "bot_codes", &self.bots);
        let kinds = kinds(&mut check, self.types);
        let commands = names(&mut check, "commands", &self.commands);
        let start = start(&mut check, self.start);
        let heartbeat = heartbeat(&mut check, self.heartbeat);
        let named = self.subscription.map(|wish| subscription(&mut check, wish));
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
        Ok(Asked {
            view: View {
                portal,
                bots,
                kinds,
                commands,
            },
            start,
            heartbeat,
            named,
        })
    }
}

fn kinds(check: &mut Check, types: Vec<i32>) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (index, number) in types.into_iter().enumerate() {
        let field = format!("types[{index}]");
        match check.known(&field, number).map(kind) {
            Some(Some(kind)) => kinds.push(kind),
            Some(None) => check.broken(&field, "must be a type"),
            None => {}
        }
    }
    kinds
}

fn subscription(check: &mut Check, wish: pb::NamedSubscription) -> NamedWish {
    subscription_name(check, "subscription.name", &wish.name);
    let seconds = Duration::from_secs;
    let mut time = |field: &str, wish: Option<prost_types::Duration>, most: Duration, says| {
        let wish = Duration::try_from(wish?);
        if let Ok(wish) = wish
            && (seconds(10)..=most).contains(&wish)
        {
            return Some(wish);
        }
        check.broken(field, says);
        None
    };
    let processing = "subscription.max_processing";
    let max_processing = time(
        processing,
        wish.max_processing,
        seconds(3600),
        "must be 10 s to 1 h",
    );
    let week = seconds(7 * 24 * 3600);
    let age = "subscription.max_age";
    let max_age = time(age, wish.max_age, week, "must be 10 s to 7 days");
    let attempts = check.number(
        "subscription.max_attempts",
        wish.max_attempts.into(),
        1..=100,
    );
    let events = wish.max_outstanding_events.into();
    let events = check.number("subscription.max_outstanding_events", events, 1..=1000);
    let bytes = "subscription.max_outstanding_bytes";
    let bytes = check.number(bytes, wish.max_outstanding_bytes, 1024..=(64 << 20));
    let or = |wish: Option<i64>, usual: usize| {
        wish.and_then(|wish| usize::try_from(wish).ok())
            .unwrap_or(usual)
    };
    NamedWish {
        name: wish.name,
        room: Room {
            events: or(events, ROOM.events),
            bytes: or(bytes, ROOM.bytes),
        },
        max_processing,
        max_attempts: attempts.and_then(|attempts| u32::try_from(attempts).ok()),
        max_age,
    }
}

/// Checks the name of a subscription.
pub(super) fn subscription_name(check: &mut Check, field: &str, name: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > NAME || !name.bytes().all(plain) {
        check.broken(
            field,
            format!("must be 1 to {NAME} characters of A-Z a-z 0-9 . _ -"),
        );
    }
}

/// A type of events; `None` for the one that is none.
pub(super) fn kind(published: pb::EventType) -> Option<Kind> {
    Some(match published {
        pb::EventType::Unspecified => return None,
        pb::EventType::CommandAdded => Kind::CommandAdd,
        pb::EventType::MessageAdded => Kind::MessageAdd,
        pb::EventType::MessageUpdated => Kind::MessageUpdate,
        pb::EventType::MessageDeleted => Kind::MessageDelete,
        pb::EventType::ChatJoined => Kind::JoinChat,
        pb::EventType::BotDeleted => Kind::Delete,
        pb::EventType::ContextReceived => Kind::ContextGet,
        pb::EventType::ReactionChanged => Kind::ReactionChange,
    })
}

fn start(check: &mut Check, start: Option<pb::StreamStart>) -> Option<Option<Start>> {
    match start.and_then(|start| start.position) {
        None => Some(None),
        Some(Position::AfterCursor(text)) => check
            .parsed("start.after_cursor", &text)
            .map(|cursor| Some(Start::After(cursor))),
        Some(Position::Point(point)) => {
            check.known("start.point", point).map(|point| match point {
                pb::StreamStartPoint::Unspecified => None,
                pb::StreamStartPoint::Now => Some(Start::Now),
                pb::StreamStartPoint::Earliest => Some(Start::Earliest),
            })
        }
        Some(Position::Time(time)) => match Timestamp::new(time.seconds, time.nanos) {
            Ok(time) => Some(Some(Start::Time(time))),
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
