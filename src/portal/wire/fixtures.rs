//! The documented samples, each read for what it means.
//!
//! Every file of `tests/fixtures/bitrix24` is named in one of the tables here, or is a request, which
//! `tests/it/requests.rs` lists and compares with what we send.

mod answers;
mod callbacks;
mod errors;
mod events;

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;

use super::{
    envelope::{self, NoReply, Reply},
    form,
};

/// The name of a file, and the check of what it means.
type Row = (&'static str, fn(&str));

pub(super) fn folder() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bitrix24").into()
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&bytes(name)).unwrap()
}

/// The body of a callback, from a form or from the same as JSON.
fn body(name: &str) -> Value {
    if name.ends_with(".form") {
        form::decode(&bytes(name)).unwrap()
    } else {
        json(name)
    }
}

fn answer(name: &str, status: u16) -> Result<Reply, NoReply> {
    envelope::decode(status, Some("application/json"), &bytes(name))
}

fn reply(name: &str) -> Reply {
    answer(name, 200).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_fixture_is_read_by_a_test() {
    let tables = answers::TABLE
        .iter()
        .map(|(name, _)| *name)
        .chain(errors::TABLE.iter().map(|row| row.name))
        .chain(events::TABLE.iter().map(|(name, _)| *name))
        .chain(callbacks::TABLE.iter().map(|(name, _)| *name));
    let read: BTreeSet<String> = tables.map(str::to_owned).collect();
    let is_request = |name: &str| {
        name.ends_with(".request.json")
            || ["im.message.command.basic.form", "README.md"].contains(&name)
    };
    let present: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !is_request(name))
        .collect();
    assert_eq!(read, present);
}

#[test]
fn every_answer_means_what_is_documented() {
    for (name, check) in answers::TABLE {
        println!("{name}");
        check(name);
    }
}

#[test]
fn every_event_means_what_is_documented() {
    for (name, check) in events::TABLE {
        println!("{name}");
        check(name);
    }
}

#[test]
fn every_callback_means_what_is_documented() {
    for (name, check) in callbacks::TABLE {
        println!("{name}");
        check(name);
    }
}
