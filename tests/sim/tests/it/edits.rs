//! Random changes to bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What people who test parsers like to write.
const WORDS: [&str; 28] = [
    "[",
    "]",
    "[]",
    "{",
    "}",
    "\"",
    "\\",
    "\\u0000",
    ":",
    ",",
    "&",
    "=",
    "%5B",
    "%5D=",
    "%",
    "%FF",
    "+",
    "null",
    "-1",
    "0",
    "9223372036854775808",
    "1e400",
    "0.5",
    "$result[",
    "$error[a][b]",
    "[USER=",
    "chat",
    "\n/",
];

#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Word(Index, &'static str, usize),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
}

pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (
            any::<Index>(),
            select(&WORDS[..]),
            prop_oneof![9 => 1..3_usize, 1 => 100..40_000_usize]
        )
            .prop_map(|(at, word, times)| Edit::Word(at, word, times)),
        (any::<Index>(), 1..40_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (any::<Index>(), 1..60_usize, 1..60_usize)
            .prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
    ]
}

pub(crate) fn edited(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for edit in edits {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match edit {
            Edit::Set(at, byte) => {
                let at = place(at);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Edit::Insert(at, new) => {
                let at = place(at);
                bytes.splice(at..at, new.iter().copied());
            }
            Edit::Word(at, word, times) => {
                let at = place(at);
                bytes.splice(at..at, word.repeat(*times).into_bytes());
            }
            Edit::Remove(at, length) => {
                let at = place(at);
                let end = bytes.len().min(at + length);
                bytes.drain(at..end);
            }
            Edit::Repeat(at, length, times) => {
                let at = place(at);
                let end = bytes.len().min(at + length);
                let piece = bytes[at..end].repeat(*times);
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}
