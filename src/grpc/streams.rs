//! Streams of events, with a name and without.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use opentelemetry::KeyValue;
use tonic::{Response, Status};
use tracing::{error, warn};

use super::{
    Failures, Parts,
    caller::{Arrival, Sight},
    convert::{event, subscription::Asked},
    status::status,
};
use crate::{
    events::{
        Events, Feed, LogEntry, LogItem, Next,
        entry::Happened,
        subscriptions::{AckId, Delivered, Deliveries, Given},
        traces,
    },
    fault::{Chain, Fault as _, Reason},
    ids::PortalId,
    proto::v1 as pb,
    store::LogId,
    telemetry::trace::{Kind, Span, Wire},
};

/// A stream of responses.
pub(super) type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What a response of a stream shows.
pub(super) enum Item {
    Event(Box<pb::Event>),
    Heartbeat(pb::Heartbeat),
    Gap(pb::Gap),
}

/// A response of a stream of events.
pub(super) trait Shows: Send + Sized + 'static {
    fn new(cursor: String, item: Item, delivery: Option<pb::Delivery>) -> Self;
}

macro_rules! shows {
    ($($response:ident from $module:ident,)*) => { $(
        impl Shows for pb::$response {
            fn new(cursor: String, item: Item, delivery: Option<pb::Delivery>) -> Self {
                use pb::$module::Item as Shown;
                let item = match item {
                    Item::Event(event) => Shown::Event(event),
                    Item::Heartbeat(heartbeat) => Shown::Heartbeat(heartbeat),
                    Item::Gap(gap) => Shown::Gap(gap),
                };
                Self { cursor, item: Some(item), delivery }
            }
        }
    )* };
}

shows! {
    SubscribeCommandEventsResponse from subscribe_command_events_response,
    SubscribeEventsResponse from subscribe_events_response,
}

/// Opens a stream.
pub(super) async fn open<T: Shows>(
    parts: &Parts,
    arrival: Arrival<'_>,
    asked: Asked,
) -> Result<Response<Responses<T>>, Status> {
    let sight = Sight::of(&arrival);
    let portal = asked.view.portal.clone();
    let events = &parts.events;
    let refused = |error| status(&error, None);
    let source = match asked.named {
        None => {
            let start = asked.start.unwrap_or(crate::events::Start::Now);
            let stop = parts.life.stop().clone();
            let feed = events.feed(arrival.caller.name(), asked.view, start, stop);
            Source::Feed(Box::new(feed.await.map_err(refused)?))
        }
        Some(named) => {
            let owner = arrival.caller.name();
            let wish = named.wish(asked.view);
            let place = (named.room, sight.eyes());
            let subscriptions = events.subscriptions();
            let opened = subscriptions.open(owner, &named.name, wish, asked.start, place);
            Source::Deliveries(Box::new(opened.await.map_err(refused)?))
        }
    };
    let reader = Reader {
        source,
        sight,
        events: events.clone(),
        log: parts.log_id,
        portal,
        heartbeat: asked.heartbeat,
        failures: parts.failures.clone(),
        ended: false,
    };
    Ok(Response::new(Box::pin(stream::unfold(
        reader,
        Reader::step,
    ))))
}

/// Where a stream comes from.
enum Source {
    Feed(Box<Feed>),
    Deliveries(Box<Deliveries>),
}

/// A caller's stream.
struct Reader {
    source: Source,
    sight: Sight,
    events: Events,
    log: LogId,
    portal: Option<PortalId>,
    heartbeat: Duration,
    failures: Failures,
    ended: bool,
}

impl Reader {
    async fn step<T: Shows>(mut self) -> Option<(Result<T, Status>, Self)> {
        if self.ended {
            return None;
        }
        let response = loop {
            match self.next().await {
                Ok(Some((item, delivery))) => {
                    let cursor = match &self.source {
                        Source::Feed(feed) => feed.cursor().to_string(),
                        Source::Deliveries(_) => String::new(),
                    };
                    break Ok(T::new(cursor, item, delivery));
                }
                Ok(None) => {}
                Err(end) => break Err(end),
            }
        };
        self.ended = response.is_err();
        Some((response, self))
    }

    /// What comes next, if this caller may see it.
    async fn next(&mut self) -> Result<Option<(Item, Option<pb::Delivery>)>, Status> {
        let next = match &mut self.source {
            Source::Feed(feed) => match feed.next(self.heartbeat).await {
                Ok(Next::Entry(entry)) => Ok(Given::Entry(entry)),
                Ok(Next::Removed(bot)) => Ok(Given::Removed(Some(bot))),
                Ok(Next::Silence) => Ok(Given::Silence),
                Err(error) => Err(error),
            },
            Source::Deliveries(deliveries) => deliveries.next(self.heartbeat).await,
        };
        let sees_else = self.sight.renew()?;
        if let (true, Source::Deliveries(deliveries)) = (sees_else, &self.source) {
            deliveries.see(self.sight.eyes());
        }
        Ok(match next {
            Ok(Given::Silence) => {
                let seen = |portal: &PortalId| self.sight.sees_portal(portal);
                let heartbeat = event::heartbeat(&self.events, self.portal.as_ref(), seen);
                Some((Item::Heartbeat(heartbeat), None))
            }
            Ok(Given::Removed(Some(bot))) => {
                let seen = self.sight.sees(&bot.portal, &bot.code);
                seen.then(|| (Item::Gap(event::removed(&bot)), None))
            }
            Ok(Given::Removed(None)) => {
                let gap = event::removed_from(self.portal.as_ref(), self.events.now());
                Some((Item::Gap(gap), None))
            }
            Ok(Given::Entry(entry)) => self.item(&entry, None).map(|item| (item, None)),
            Ok(Given::Event(delivered)) => match self.item(&delivered.entry, Some(&delivered)) {
                Some(item) => Some((item, Some(event::delivery(&delivered)))),
                None => {
                    if let Source::Deliveries(deliveries) = &self.source {
                        let AckId { seq, attempt, .. } = delivered.ack_id;
                        deliveries.cannot_show(seq, attempt);
                    }
                    None
                }
            },
            Err(error) => {
                if error.reason() == Reason::StoreUnavailable
                    && let Some(untold) = self.failures.may_tell()
                {
                    error!(error = %Chain(&error), untold, "stream ends");
                }
                return Err(status(&error, None));
            }
        })
    }

    /// What an entry is to this caller, if anything.
    fn item(&self, entry: &LogEntry, delivered: Option<&Delivered>) -> Option<Item> {
        if !self.sight.sees(&entry.portal, &entry.code) {
            return None;
        }
        let happened = match &entry.item {
            LogItem::Gap(gap) => return Some(Item::Gap(event::gap(entry, gap))),
            LogItem::Event(happened) => happened,
        };
        match event::event(entry, happened, self.log) {
            Ok(mut event) => {
                let span = self.delivers(entry, happened, delivered);
                if let Some(trace) = span.place().wire() {
                    event.trace_context = Some(event::trace(trace));
                }
                Some(Item::Event(Box::new(event)))
            }
            // It could be read when it was stored; a release that cannot any more must not stop here.
            Err(unreadable) => {
                if let Some(untold) = self.failures.may_tell() {
                    warn!(event.seq = entry.seq, error = %unreadable, untold, "stored event cannot be read and is left out");
                }
                None
            }
        }
    }

    /// The handing-out of an event, which goes on with the trace of its arrival.
    fn delivers(
        &self,
        entry: &LogEntry,
        happened: &Happened,
        delivered: Option<&Delivered>,
    ) -> Span {
        let from = Wire {
            traceparent: happened.trace_context.clone().unwrap_or_default(),
            tracestate: String::new(),
        };
        let tracer = self.events.tracer();
        tracer.follow(&from, Kind::Producer, "event delivery", || {
            let mut attributes = traces::attributes(&entry.portal, &entry.code, &happened.kind);
            let attempt = delivered.map(|delivered| i64::from(delivered.ack_id.attempt));
            attributes
                .extend(attempt.map(|attempt| KeyValue::new("bitrix24.delivery.attempt", attempt)));
            attributes
        })
    }
}
