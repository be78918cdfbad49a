//! Between protobuf and our own types.
//!
//! Inwards everything is checked and every broken rule is told; outwards nothing can fail.

pub(super) mod answer;
pub(super) mod bot;
pub(super) mod command;
pub(super) mod entity;
pub(super) mod event;
pub(super) mod managed;
pub(super) mod message;
pub(super) mod page;
pub(super) mod portal;
pub(super) mod subscription;
pub(super) mod watch;

pub(super) mod check;
pub(super) mod content;
mod json;

use jiff::Timestamp;

/// A protobuf time.
fn time(at: Timestamp) -> prost_types::Timestamp {
    // jiff counts nanoseconds towards zero, protobuf upwards from the second below.
    let nanos = at.as_nanosecond();
    let second = nanos.div_euclid(1_000_000_000);
    let rest = nanos.rem_euclid(1_000_000_000);
    prost_types::Timestamp {
        seconds: i64::try_from(second).unwrap_or_default(),
        nanos: i32::try_from(rest).unwrap_or_default(),
    }
}
