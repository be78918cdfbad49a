//! Streams of events.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use tonic::{Response, Status};
use tracing::{error, warn};

use super::{
    Parts,
    caller::{Arrival, Sight},
    convert::{event, subscription},
    status::status,
};
use crate::{
    events::{Cursor, Events, Feed, Next},
    fault::Fault as _,
    ids::{CommandName, PortalId},
    proto::v1::{self as pb, subscribe_command_events_response::Item},
    store,
};

/// A stream of slash commands.
pub(super) type CommandStream =
    Pin<Box<dyn Stream<Item = Result<pb::SubscribeCommandEventsResponse, Status>> + Send>>;

/// Opens a stream of slash commands.
pub(super) async fn subscribe(
    parts: &Parts,
    mut arrival: Arrival<'_>,
    request: pb::SubscribeCommandEventsRequest,
) -> Result<Response<CommandStream>, Status> {
    let wish = subscription::subscription(&mut arrival, request)?;
    let sight = Sight::of(&arrival);
    let portal = wish.view.portal.clone();
    let feed = parts
        .events
        .feed(wish.view, wish.start, parts.life.stop().clone())
        .await;
    let feed = feed.map_err(|error| status(&error, None))?;
    let reader = Reader {
        feed,
        sight,
        events: parts.events.clone(),
        portal,
        commands: wish.commands,
        heartbeat: wish.heartbeat,
        ended: false,
    };
    Ok(Response::new(Box::pin(stream::unfold(
        reader,
        Reader::step,
    ))))
}

/// A caller's stream.
struct Reader {
    feed: Feed,
    sight: Sight,
    events: Events,
    portal: Option<PortalId>,
    /// Only these; empty for all.
    commands: Vec<CommandName>,
    heartbeat: Duration,
    ended: bool,
}

impl Reader {
    async fn step(mut self) -> Option<(Result<pb::SubscribeCommandEventsResponse, Status>, Self)> {
        if self.ended {
            return None;
        }
        let item = loop {
            let next = self.feed.next(self.heartbeat).await;
            if let Err(refusal) = self.sight.renew() {
                break Err(refusal.into());
            }
            match next {
                Ok(Next::Silence) => {
                    let seen = |portal: &PortalId| self.sight.sees_portal(portal);
                    let heartbeat = event::heartbeat(&self.events, self.portal.as_ref(), seen);
                    break Ok(Item::Heartbeat(heartbeat));
                }
                Ok(Next::Removed(removed)) => {
                    if self.sight.sees(&removed.portal, &removed.code) {
                        break Ok(Item::Gap(event::removed(&removed)));
                    }
                }
                Ok(Next::Entry(stored)) => {
                    if let Some(item) = self.item(&stored) {
                        break Ok(item);
                    }
                }
                Err(error) => {
                    if error.reason() != crate::fault::Reason::GatewayStopping {
                        error!(error = %crate::fault::Chain(&error), "stream ends");
                    }
                    break Err(status(&error, None));
                }
            }
        };
        self.ended = item.is_err();
        let response = item.map(|item| pb::SubscribeCommandEventsResponse {
            cursor: self.feed.cursor().to_string(),
            delivery: None,
            item: Some(item),
        });
        Some((response, self))
    }

    /// What a stored entry is to this caller, if anything.
    fn item(&self, stored: &store::Stored) -> Option<Item> {
        if !self.sight.sees(&stored.portal, &stored.code) {
            return None;
        }
        let entry = match &stored.entry.item {
            store::Item::Gap(gap) => return Some(Item::Gap(event::gap(stored, gap))),
            store::Item::Event(entry) => entry,
        };
        let cursor = Cursor {
            seq: stored.seq,
            ..self.feed.cursor()
        };
        match event::event(stored, entry, cursor) {
            Ok(event) => self.wants(&event).then_some(Item::Event(Box::new(event))),
            // It could be read when it was stored; a release that cannot any more must not stop here.
            Err(unreadable) => {
                warn!(event.seq = stored.seq, error = %unreadable, "stored event cannot be read and is left out");
                None
            }
        }
    }

    fn wants(&self, event: &pb::Event) -> bool {
        match &event.body {
            Some(pb::event::Body::CommandAdded(added)) => {
                let called = added
                    .command
                    .as_ref()
                    .map_or("", |command| &command.command);
                self.commands.is_empty() || self.commands.iter().any(|name| name.as_str() == called)
            }
            _ => false,
        }
    }
}
