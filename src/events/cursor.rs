//! Names of positions in the log that survive a restart, and say so when they are of another log.

use std::{fmt, str::FromStr};

use crate::{ids::Invalid, store::LogId};

/// A position in a log: everything up to number `seq` lies before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The log it is of.
    pub log: LogId,
    /// The number of the last entry before it.
    pub seq: u64,
}

/// Names an entry of a log for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventId(pub Cursor);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:016x}-{}", self.log.0, self.seq)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{:016x}-{}", self.0.log.0, self.0.seq)
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse(text, 'c').ok_or(Invalid(
            "is not a cursor of this gateway: pass one from a stream as it came",
        ))
    }
}

impl FromStr for EventId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let cursor = parse(text, 'e').filter(|cursor| cursor.seq > 0);
        cursor.map(Self).ok_or(Invalid(
            "is not an event id of this gateway: pass one from a stream as it came",
        ))
    }
}

fn parse(text: &str, kind: char) -> Option<Cursor> {
    let (log, seq) = text.strip_prefix(kind)?.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if log.len() != 16 || !digits(log) || seq.is_empty() || !digits(seq) {
        return None;
    }
    Some(Cursor {
        log: LogId(u64::from_str_radix(log, 16).ok()?),
        seq: seq.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_reads_back_as_written() {
        let cursor = Cursor {
            log: LogId(0xff),
            seq: u64::MAX,
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert_eq!(EventId(cursor).to_string().parse(), Ok(EventId(cursor)));
        assert!(cursor.to_string().len() <= 64);
    }

    #[test]
    fn anything_else_is_no_cursor() {
        for wrong in [
            "",
            "c",
            "c-",
            "c00000000000000ff-",
            "c00000000000000ff-+1",
            "e00000000000000ff-1",
            "cff-1",
            "c00000000000000ff-99999999999999999999",
        ] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong:?}");
        }
        assert!("e00000000000000ff-0".parse::<EventId>().is_err());
    }
}
