//! What is asked of subscriptions beside streams, and what is told of them.

use std::time::Duration;

use super::{
    check::Check,
    event,
    subscription::{kind, subscription_name},
    time,
};
use crate::{
    events::{
        LogItem,
        cursor::EventId,
        subscriptions::{AckId, Details, LaidAside},
    },
    grpc::status::Refusal,
    proto::v1 as pb,
    store::{Aside, LogId, deliveries::Which},
};

/// Ids in one request.
pub(in crate::grpc) const IDS: usize = 1000;

/// Longest time a delivery may be given.
const LONGEST: Duration = Duration::from_secs(3600);

/// Events set aside on one page.
const PAGE: i32 = 100;
const USUAL_PAGE: usize = 20;

pub(in crate::grpc) fn acks(texts: &[String]) -> Result<Vec<AckId>, Refusal> {
    let mut check = Check::default();
    let acks = ack_ids(&mut check, texts);
    check.done(Some(acks))
}

pub(in crate::grpc) fn deadlines(
    request: pb::ModifyAckDeadlinesRequest,
) -> Result<(Vec<AckId>, Duration), Refusal> {
    let mut check = Check::default();
    let acks = ack_ids(&mut check, &request.ack_ids);
    let by = request
        .ack_deadline
        .and_then(|it| Duration::try_from(it).ok());
    let by = by.filter(|by| *by <= LONGEST);
    if by.is_none() {
        check.broken("ack_deadline", "must be 0 s to 1 h");
    }
    check.done(by.map(|by| (acks, by)))
}

fn ack_ids(check: &mut Check, texts: &[String]) -> Vec<AckId> {
    if texts.is_empty() || texts.len() > IDS {
        check.broken("ack_ids", format!("must be 1 to {IDS} ids"));
        return Vec::new();
    }
    let parse = |(index, text): (usize, &String)| check.parsed(&format!("ack_ids[{index}]"), text);
    texts.iter().enumerate().filter_map(parse).collect()
}

/// The name of a subscription.
pub(in crate::grpc) fn name(field: &str, name: &str) -> Result<(), Refusal> {
    let mut check = Check::default();
    subscription_name(&mut check, field, name);
    check.done(Some(()))
}

/// Which events a request is about.
pub(in crate::grpc) fn which(
    log: LogId,
    subscription: &str,
    ids: &[String],
    all: bool,
) -> Result<Which, Refusal> {
    let mut check = Check::default();
    subscription_name(&mut check, "subscription", subscription);
    if all != ids.is_empty() || ids.len() > IDS {
        check.broken(
            "event_ids",
            format!("either 1 to {IDS} ids or `all` is needed"),
        );
    }
    let mut seqs = Vec::new();
    for (index, text) in ids.iter().take(IDS).enumerate() {
        let field = format!("event_ids[{index}]");
        match check.parsed(&field, text) {
            Some(EventId(at)) if at.log == log => seqs.push(at.seq),
            Some(_) => check.broken(&field, "belongs to another event log"),
            None => {}
        }
    }
    check.done(Some(if all { Which::All } else { Which::These(seqs) }))
}

/// Which page of what was set aside: why, after which number, and how many.
pub(in crate::grpc) fn aside_page(
    request: &pb::ListSetAsideEventsRequest,
) -> Result<(Option<Aside>, u64, usize), Refusal> {
    use pb::SetAsideReason as Told;
    let mut check = Check::default();
    subscription_name(&mut check, "subscription", &request.subscription);
    let why = check.known("reason", request.reason).map(|why| match why {
        Told::Unspecified => None,
        Told::AttemptsExhausted => Some(Aside::AttemptsExhausted),
        Told::AnswerOutcomeUnknown => Some(Aside::AnswerUnknown),
        Told::Expired => Some(Aside::Expired),
        Told::Restored => Some(Aside::Restored),
    });
    let size = match request.page_size {
        0 => USUAL_PAGE,
        size @ 1..=PAGE => usize::try_from(size).unwrap_or(USUAL_PAGE),
        _ => {
            check.broken("page_size", format!("must be 0 to {PAGE}"));
            USUAL_PAGE
        }
    };
    let after = match request.page_token.strip_prefix("after:") {
        _ if request.page_token.is_empty() => Some(0),
        token => token.and_then(|number| number.parse().ok()),
    };
    if after.is_none() {
        check.broken("page_token", "is not a `next_page_token` of this list");
    }
    check.done(why.zip(after).map(|(why, after)| (why, after, size)))
}

/// A page of what was set aside; there may be one more than it can hold.
pub(in crate::grpc) fn laid_aside(
    log: LogId,
    mut found: Vec<LaidAside>,
    size: usize,
) -> pb::ListSetAsideEventsResponse {
    let more = found.len() > size;
    found.truncate(size);
    let last = found.last().filter(|_| more);
    let next_page_token = last.map(|last| format!("after:{}", last.seq));
    pb::ListSetAsideEventsResponse {
        events: found.into_iter().map(|it| aside(log, &it)).collect(),
        next_page_token: next_page_token.unwrap_or_default(),
    }
}

fn aside(log: LogId, found: &LaidAside) -> pb::SetAsideEvent {
    use pb::SetAsideReason as Told;
    let why = match found.why {
        Aside::AttemptsExhausted => Told::AttemptsExhausted,
        Aside::AnswerUnknown => Told::AnswerOutcomeUnknown,
        Aside::Expired => Told::Expired,
        Aside::Restored => Told::Restored,
    };
    let shown = found.entry.as_ref().and_then(|entry| match &entry.item {
        LogItem::Event(happened) => event::event(entry, happened, log).ok(),
        LogItem::Gap(_) => None,
    });
    pb::SetAsideEvent {
        event: shown,
        reason: why.into(),
        delivery_attempts: found.handouts.try_into().unwrap_or(i32::MAX),
        set_aside_at: Some(time(found.at)),
    }
}

/// A subscription and how it is doing.
pub(in crate::grpc) fn subscription(details: Details) -> pb::Subscription {
    let Details {
        settings, standing, ..
    } = details;
    let count = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    let long = |it: Duration| prost_types::Duration::try_from(it).ok();
    let outstanding = details.outstanding as u64;
    let types = (1..=8).filter_map(|number| pb::EventType::try_from(number).ok());
    let types =
        types.filter(|told| kind(*told).is_some_and(|it| settings.view.kinds.contains(&it)));
    let texts = |it: &[crate::ids::CommandName]| it.iter().map(ToString::to_string).collect();
    pb::Subscription {
        name: details.name,
        portal: settings
            .view
            .portal
            .map(|it| it.to_string())
            .unwrap_or_default(),
        bot_codes: settings.view.bots.iter().map(ToString::to_string).collect(),
        types: types.map(Into::into).collect(),
        commands: texts(&settings.view.commands),
        max_processing: long(settings.max_processing),
        max_attempts: settings.max_attempts.try_into().unwrap_or(i32::MAX),
        max_age: long(settings.max_age),
        created_at: Some(time(details.created_at)),
        streams: details.streams.try_into().unwrap_or(i32::MAX),
        outstanding: count(outstanding),
        waiting: count(standing.unfinished.saturating_sub(outstanding)),
        unread_log_entries: count(standing.unread),
        oldest_received_at: standing.oldest_received.map(time),
        set_aside: count(standing.set_aside),
        expired: count(standing.expired),
    }
}
