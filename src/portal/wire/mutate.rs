//! Inputs that are nearly right, for readers of what comes from outside.
//!
//! Each is one of the documented samples after a few changes that such a reader is likely to stumble
//! over. Which ones is decided by a number alone, so that every failure can be repeated.

use std::ops::Range;

use proptest::prelude::ProptestConfig;
use serde_json::{Value, json};

/// How many inputs are tried, over all readers: a hundred for each case of the randomised tests
/// (`PROPTEST_CASES`), and not fewer than this.
const FEWEST: u64 = 100_000;

pub(super) fn inputs() -> u64 {
    (100 * u64::from(ProptestConfig::default().cases)).max(FEWEST)
}

/// Pieces that readers of forms and of JSON look for.
const TOKENS: &[&[u8]] = &[
    b"[",
    b"]",
    b"[]",
    b"[0]",
    b"[1]",
    b"[18446744073709551615]",
    b"[a]",
    b"[[",
    b"]]",
    b"%5B",
    b"%5D",
    b"%",
    b"%2",
    b"%00",
    b"%FF",
    b"%C0%80",
    b"+",
    b"=",
    b"&",
    b"&&",
    b"\xff",
    b"\xf0\x9f",
    b"\0",
    b"auth",
    b"[auth]",
    b"AUTH",
    b"\"auth\":{\"x\":1},",
    b"{",
    b"}",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b",",
    b":",
    b"null",
    b"false",
    b"-1",
    b"0",
    b"1e400",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"[[[[[[[[",
    b"{}",
    b"\"\"",
    b"eventId",
    b"nextOffset",
    b"events",
    b"data",
    b"type",
    b"ts",
    b"2026-02-30T99:99:99Z",
];

/// A generator whose numbers are those of its seed (SplitMix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap();
        usize::try_from(self.roll() % end).unwrap()
    }

    /// A stretch of at most `longest` bytes.
    fn stretch(&mut self, length: usize, longest: usize) -> Range<usize> {
        let start = self.below(length + 1);
        start..(start + self.below(longest)).min(length)
    }
}

/// The input of this number: one of the samples, changed one to eight times.
pub(super) fn nearly(samples: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut dice = Dice(number);
    let mut input = samples[dice.below(samples.len())].clone();
    for _ in 0..=dice.below(8) {
        let length = input.len();
        match dice.below(7) {
            0 if length > 0 => input[dice.below(length)] ^= 1 << dice.below(8),
            1 if length > 0 => input[dice.below(length)] = dice.roll().to_le_bytes()[0],
            2 => drop(input.drain(dice.stretch(length, 64))),
            3 => {
                let twice = input[dice.stretch(length, 256)].to_vec();
                let at = dice.below(length + 1);
                input.splice(at..at, twice);
            }
            4 => {
                let other = &samples[dice.below(samples.len())];
                let piece = other[dice.stretch(other.len(), 256)].to_vec();
                let at = dice.stretch(length, 64);
                input.splice(at, piece);
            }
            _ => {
                let token = TOKENS[dice.below(TOKENS.len())];
                let at = dice.stretch(length, 4);
                let times = 1 + dice.below(3) * dice.below(8);
                input.splice(at, token.repeat(times));
            }
        }
    }
    input
}

/// The JSON of this number: one of the samples with one to four places of it replaced or renamed. Always
/// JSON, so that it comes as far as those who read what is in it.
pub(super) fn nearly_json(samples: &[Value], number: u64) -> Value {
    let mut dice = Dice(number);
    let mut value = samples[dice.below(samples.len())].clone();
    for _ in 0..=dice.below(4) {
        let other = samples[dice.below(samples.len())].clone();
        change(&mut value, other, &mut dice);
    }
    value
}

/// Changes a place somewhere inside.
fn change(value: &mut Value, other: Value, dice: &mut Dice) {
    let deeper = dice.below(8) > 0;
    match value {
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = dice.below(items.len());
            change(&mut items[at], other, dice);
        }
        Value::Object(members) if deeper && !members.is_empty() => {
            let name = members.keys().nth(dice.below(members.len())).cloned();
            let name = name.expect("it has that many");
            let renamed = ["auth", "Auth", "eventId", "type", "data", "id"];
            if dice.below(16) == 0 {
                let inner = members.remove(&name).unwrap_or_default();
                members.insert(renamed[dice.below(renamed.len())].to_owned(), inner);
            } else if let Some(inner) = members.get_mut(&name) {
                change(inner, other, dice);
            }
        }
        place => {
            let odd = [
                json!(null),
                json!(false),
                json!(""),
                json!("0"),
                json!("-17"),
                json!([]),
                json!({}),
                json!([[], {}]),
                json!(-1),
                json!(i64::MAX),
                json!(u64::MAX),
                json!(1e300),
                json!("2026-02-30T99:99:99Z"),
                json!({"auth": {"auth": [{"AUTH": 1}]}}),
                other,
            ];
            *place = odd[dice.below(odd.len())].clone();
        }
    }
}

#[test]
fn inputs_of_one_number_are_equal_and_those_of_others_differ() {
    let samples = [b"a[b]=1&c=2".to_vec(), b"{\"events\":[]}".to_vec()];
    let all = |from: u64| (from..from + 500).map(|number| nearly(&samples, number));
    assert!(all(0).eq(all(0)));
    let different: std::collections::BTreeSet<_> = all(0).collect();
    assert!(different.len() > 400, "{}", different.len());
}
