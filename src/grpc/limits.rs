//! What a caller may ask for, for whoever asks what the limits are.

use std::time::Duration;

use super::{
    convert::{check, content, managed, subscription},
    deadline,
};

/// Something bounded.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// What.
    pub what: &'static str,
    /// How far.
    pub most: Most,
}

/// A bound.
#[derive(Debug, Clone, Copy)]
pub enum Most {
    /// So many.
    Count(usize),
    /// So many bytes.
    Bytes(usize),
    /// So long.
    Time(Duration),
}

/// The limits of the API that no setting moves.
pub const LIMITS: [Limit; 10] = [
    limit(
        "deadline, where a call has none",
        Most::Time(deadline::DEFAULT),
    ),
    limit("longest deadline", Most::Time(deadline::LONGEST)),
    limit("idempotency key", Most::Bytes(check::KEY_BYTES)),
    limit(
        "characters of a text",
        Most::Count(content::TEXT_CHARACTERS),
    ),
    limit("keyboard or attach", Most::Bytes(content::RICH_BYTES)),
    limit(
        "silence of a stream before a heartbeat, where nothing is said",
        Most::Time(subscription::HEARTBEAT),
    ),
    limit(
        "events of a named stream not done, where nothing is said",
        Most::Count(subscription::ROOM.events),
    ),
    limit("bytes of them", Most::Bytes(subscription::ROOM.bytes)),
    limit("ack ids in one call", Most::Count(managed::IDS)),
    limit(
        "calls and streams of one connection",
        Most::Count(super::STREAMS as usize),
    ),
];

const fn limit(what: &'static str, most: Most) -> Limit {
    Limit { what, most }
}
