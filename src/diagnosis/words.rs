//! Times and numbers for people.

use jiff::{SignedDuration, Timestamp};

/// How long ago something was, such as `3 min ago`.
#[must_use]
pub fn ago(now: Timestamp, at: Timestamp) -> String {
    let past = now.duration_since(at);
    if past < SignedDuration::from_secs(1) {
        return "just now".to_owned();
    }
    format!("{} ago", lasting(past))
}

/// How long something lasts, in the largest unit of which there are two.
#[must_use]
pub fn lasting(span: SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `1 event`, `2 events`.
pub(super) fn count(number: u64, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_of_which_there_are_two() {
        let now = Timestamp::UNIX_EPOCH;
        for (seconds, told) in [
            (0, "just now"),
            (1, "1 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7_200, "2 h ago"),
            (172_800, "2 days ago"),
            (-5, "just now"),
        ] {
            assert_eq!(ago(now, now - SignedDuration::from_secs(seconds)), told);
        }
    }
}
