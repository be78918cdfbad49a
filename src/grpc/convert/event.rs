//! Events, gaps and heartbeats, outwards.

use jiff::Timestamp;

use super::{entity, json, portal, time};
use crate::{
    events::{
        Cursor, Events, LogEntry, cursor::EventId, entry::Happened, subscriptions::Delivered,
    },
    ids::PortalId,
    portal::wire::{self, Unreadable, event::Body},
    proto::v1::{self as pb, event::Body as PbBody},
    store::{self, LogId},
    telemetry::trace::Wire,
};

/// An event of a log.
pub(in crate::grpc) fn event(
    entry: &LogEntry,
    happened: &Happened,
    log: LogId,
) -> Result<pb::Event, Unreadable> {
    let event = happened.event.clone()?;
    let at = Cursor {
        log,
        seq: entry.seq,
    };
    Ok(pb::Event {
        event_id: EventId(at).to_string(),
        portal: entry.portal.to_string(),
        bot_code: entry.code.to_string(),
        r#type: happened.kind.clone(),
        happened_at: Some(time(happened.happened_at)),
        received_at: Some(time(entry.received_at)),
        language: event.language.unwrap_or_default(),
        bot: event.bot.map(entity::bot),
        // Fetched events have a number.
        source: match event.event_id {
            Some(_) => pb::EventSource::Fetch.into(),
            None => pb::EventSource::Webhook.into(),
        },
        portal_event_id: event.event_id,
        trace_context: happened.trace_context.clone().map(|traceparent| {
            trace(Wire {
                traceparent,
                tracestate: String::new(),
            })
        }),
        body: Some(body(event.body)),
    })
}

/// A place in a trace.
pub(in crate::grpc) fn trace(place: Wire) -> pb::TraceContext {
    pb::TraceContext {
        traceparent: place.traceparent,
        tracestate: place.tracestate,
    }
}

fn body(body: Body) -> PbBody {
    let chat = |chat: Option<wire::Chat>| chat.map(entity::chat);
    let user = |user: Option<wire::User>| user.map(entity::user);
    match body {
        Body::CommandAdd {
            command,
            message,
            chat: place,
            user: caller,
        } => PbBody::CommandAdded(pb::CommandAdded {
            command: Some(pb::CalledCommand {
                id: command.id.unwrap_or_default(),
                command: command.name().to_owned(),
                params: command.params,
                context: command.context.unwrap_or_default(),
            }),
            message: message.map(entity::message),
            chat: chat(place),
            user: user(caller),
        }),
        Body::MessageAdd {
            message,
            chat: place,
            user: author,
        } => PbBody::MessageAdded(pb::MessageAdded {
            message: message.map(entity::message),
            chat: chat(place),
            user: user(author),
        }),
        Body::MessageUpdate {
            message,
            chat: place,
            user: author,
        } => PbBody::MessageUpdated(pb::MessageUpdated {
            message: message.map(entity::message),
            chat: chat(place),
            user: user(author),
        }),
        Body::MessageDelete {
            message_id,
            chat: place,
            user: author,
        } => PbBody::MessageDeleted(pb::MessageDeleted {
            message_id: message_id.unwrap_or_default(),
            chat: chat(place),
            user: user(author),
        }),
        Body::JoinChat {
            dialog_id,
            chat: place,
            user: inviter,
        } => PbBody::ChatJoined(pb::ChatJoined {
            dialog_id: dialog_id.unwrap_or_default(),
            chat: chat(place),
            user: user(inviter),
        }),
        Body::Delete => PbBody::BotDeleted(pb::BotDeleted {}),
        Body::ContextGet {
            dialog_id,
            context,
            chat: place,
            user: opener,
        } => PbBody::ContextReceived(pb::ContextReceived {
            dialog_id: dialog_id.unwrap_or_default(),
            context: context.as_object().map(json::to_struct),
            chat: chat(place),
            user: user(opener),
        }),
        Body::ReactionChange {
            reaction,
            action,
            message,
            chat: place,
            user: reactor,
        } => PbBody::ReactionChanged(pb::ReactionChanged {
            reaction: reaction.unwrap_or_default(),
            action: action.unwrap_or_default(),
            message: message.map(entity::message),
            chat: chat(place),
            user: user(reactor),
        }),
        Body::Other(data) => PbBody::Unknown(pb::UnknownBody {
            data: data.as_object().map(json::to_struct),
        }),
    }
}

/// How an event was handed out.
pub(in crate::grpc) fn delivery(delivered: &Delivered) -> pb::Delivery {
    let attempt = delivered.ack_id.attempt;
    pb::Delivery {
        ack_id: delivered.ack_id.to_string(),
        delivery_attempt: attempt.try_into().unwrap_or(i32::MAX),
        lease_until: Some(time(delivered.lease_until)),
    }
}

/// A gap of the log.
pub(in crate::grpc) fn gap(entry: &LogEntry, gap: &store::Gap) -> pb::Gap {
    let reason = pb::GapReason::from_str_name(&format!("GAP_REASON_{}", gap.why));
    pb::Gap {
        portal: entry.portal.to_string(),
        bot_code: entry.code.to_string(),
        from: gap.from.map(time),
        until: Some(time(gap.until)),
        reason: reason.unwrap_or_default().into(),
    }
}

/// History of a bot that was removed before this reader came to it.
pub(in crate::grpc) fn removed(removed: &store::Removed) -> pb::Gap {
    pb::Gap {
        portal: removed.portal.to_string(),
        bot_code: removed.code.to_string(),
        from: removed.from.map(time),
        until: Some(time(removed.until)),
        reason: pb::GapReason::Retention.into(),
    }
}

/// History that was removed from a subscription: nobody knows whose it was.
pub(in crate::grpc) fn removed_from(portal: Option<&PortalId>, now: Timestamp) -> pb::Gap {
    pb::Gap {
        portal: portal.map(ToString::to_string).unwrap_or_default(),
        bot_code: String::new(),
        from: None,
        until: Some(time(now)),
        reason: pb::GapReason::Retention.into(),
    }
}

/// A sign of life.
pub(in crate::grpc) fn heartbeat(
    events: &Events,
    portal: Option<&PortalId>,
    seen: impl Fn(&PortalId) -> bool,
) -> pb::Heartbeat {
    let health = events
        .health(portal)
        .into_iter()
        .filter(|(id, ..)| seen(id))
        .map(|(id, state, progress)| pb::PortalHealth {
            portal: id.to_string(),
            state: portal::health(state.health).into(),
            reason: portal::reason(state.reason),
            until: state.until.map(time),
            last_successful_poll: progress.last_poll.map(time),
            newest_event: progress.newest_event.map(time),
        });
    pb::Heartbeat {
        sent_at: Some(time(events.now())),
        portals: health.collect(),
    }
}
