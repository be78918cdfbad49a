//! Names a handing-out, so that whoever has it can say that it is done.

use std::{fmt, str::FromStr};

use crate::{
    ids::Invalid,
    store::{LogId, SubscriptionId},
};

/// Names a handing-out. It proves nothing: whose subscription it is of is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AckId {
    /// The log the event is of.
    pub log: LogId,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The number of the event.
    pub seq: u64,
    /// Which handing-out of the event it is, from 1.
    pub attempt: u32,
}

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            log,
            subscription,
            seq,
            attempt,
        } = self;
        write!(f, "a{log}-{}-{seq}-{attempt}", subscription.0)
    }
}

impl FromStr for AckId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse(text).ok_or(Invalid(
            "is not an ack id of this gateway: pass one from a stream as it came",
        ))
    }
}

fn parse(text: &str) -> Option<AckId> {
    let mut parts = text.strip_prefix('a')?.split('-');
    let log = parts.next().filter(|log| log.len() == 16)?;
    let number = |part: Option<&str>| {
        let plain = part.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()))?;
        plain.parse::<u64>().ok()
    };
    let ack = AckId {
        log: LogId(u64::from_str_radix(log, 16).ok()?),
        subscription: SubscriptionId(number(parts.next())?.try_into().ok()?),
        seq: number(parts.next())?,
        attempt: number(parts.next())?.try_into().ok()?,
    };
    parts.next().is_none().then_some(ack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_id_reads_back_as_written_and_nothing_else_does() {
        let ack = AckId {
            log: LogId(0xfe),
            subscription: SubscriptionId(7),
            seq: u64::MAX,
            attempt: 3,
        };
        assert_eq!(ack.to_string().parse(), Ok(ack));
        assert!(ack.to_string().len() <= 128);
        for wrong in [
            "",
            "a",
            "a00000000000000fe-7-1",
            "a00000000000000fe-7-1-1-1",
            "a00000000000000fe--7-1-1",
            "a00000000000000fe-7-+1-1",
            "c00000000000000fe-7-1-1",
            "a00000000000000fe-7-1-99999999999",
        ] {
            assert!(wrong.parse::<AckId>().is_err(), "{wrong:?}");
        }
    }
}
