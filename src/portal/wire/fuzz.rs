//! Whatever comes from outside is read or refused, in bounds.

use std::fs;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    event::{Event, EventPage, PostedEvent, strip_auth},
    fixtures,
    form::{self, Booleans, DEEPEST, LONGEST, MOST_PAIRS},
    mutate::{inputs, nearly, nearly_json},
};

/// All documented samples whose names end so.
fn samples(end: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(fixtures::folder()).unwrap();
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(end));
    paths.sort();
    assert!(paths.len() > 5, "{} samples", paths.len());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Bytes of all names and texts.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| name.len() + size(value))
            .sum(),
        _ => 0,
    }
}

fn has_auth(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_auth),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case("auth") || has_auth(value)),
        _ => false,
    }
}

/// Reads a form, and sees that what came out is in bounds and can be said again.
fn read_form(body: &[u8]) {
    let Ok(value) = form::decode(body) else {
        return;
    };
    // A byte that is no UTF-8 becomes three, and each pair may get an index.
    assert!(size(&value) <= 3 * body.len() + 20 * MOST_PAIRS);
    assert!(depth(&value) <= DEEPEST);
    let Value::Object(members) = &value else {
        panic!("a form has names");
    };
    let again = form::encode(members, Booleans::YesNo).unwrap();
    if again.len() <= LONGEST {
        assert_eq!(form::decode(again.as_bytes()), Ok(value.clone()));
    }
    if let Ok(posted) = PostedEvent::from_body(value.clone()) {
        let _ = posted.fingerprint();
        assert!(!has_auth(&posted.raw.value));
        let _ = posted.raw.read();
    }
    let mut stripped = value;
    strip_auth(&mut stripped);
    assert!(!has_auth(&stripped));
}

/// Reads JSON as a page and as a single event.
fn read_json(body: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let _ = Event::from_item(&value);
    // An event alone is tried as a page of one.
    let page = value.get("result").cloned();
    let page = page.unwrap_or_else(|| json!({"events": [value], "nextOffset": 17}));
    let Ok(page) = EventPage::from_result(page) else {
        return;
    };
    let highest = page.events.iter().filter_map(|event| event.event_id).max();
    if let (Some(offset), Some(highest)) = (page.next_offset, highest) {
        assert!(
            offset <= highest.saturating_add(1),
            "{offset} loses what follows {highest}"
        );
    }
    assert!(page.next_offset.is_none() || !page.events.is_empty());
    for event in &page.events {
        assert!(!has_auth(&event.value));
        let _ = (event.read(), event.date());
    }
}

#[test]
fn no_form_that_is_nearly_right_upsets_its_reader() {
    let samples = samples(".form");
    for number in 0..inputs() / 8 {
        read_form(&nearly(&samples, number));
    }
}

#[test]
fn no_event_that_is_nearly_right_upsets_its_reader() {
    let mut pages = samples(".event.json");
    pages.retain(|sample| sample.len() < 16 << 10);
    for sample in samples(".response.json") {
        if String::from_utf8_lossy(&sample).contains("nextOffset") {
            pages.push(sample);
        }
    }
    for number in 0..inputs() / 8 {
        read_json(&nearly(&pages, number));
    }
    let pages: Vec<Value> = pages
        .iter()
        .map(|page| serde_json::from_slice(page).unwrap())
        .collect();
    for number in 0..inputs() * 3 / 4 {
        read_json(nearly_json(&pages, number).to_string().as_bytes());
    }
}

#[test]
fn reading_a_form_takes_work_in_proportion_to_its_length() {
    let shapes: [(&str, &str, &str); 9] = [
        ("", "[", ""),
        ("a", "[", ""),
        ("a", "[b", ""),
        ("a", "[b]", ""),
        ("a[b]", "]", "=1"),
        ("", "a[", "]=1"),
        ("", "a[]=1&", ""),
        ("", "a[b][c][d][e]=1&", ""),
        ("", "a[b[=1&", ""),
    ];
    for (begin, piece, end) in shapes {
        for bytes in [1 << 10, 1 << 14, 1 << 18] {
            let body = format!("{begin}{}{end}", piece.repeat(bytes / piece.len()));
            let before = form::work();
            let _ = form::decode(body.as_bytes());
            let work = form::work() - before;
            assert!(
                work <= 4 * body.len(),
                "{work} for {} of {piece}",
                body.len()
            );
        }
    }
}

/// What a form can say: texts in lists and maps that are not empty.
fn sayable() -> impl Strategy<Value = Value> {
    let leaf = "\\PC{0,12}|[\\[\\]%&=+ auth]{0,12}".prop_map(Value::from);
    leaf.prop_recursive(6, 48, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..5).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z_%&=+\u{e9} .]{1,6}|auth|AUTH", inner, 1..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_a_form_can_say_is_read_as_it_was_written(
        members in prop::collection::btree_map("[a-zA-Z_%&=+\u{e9} .]{1,6}", sayable(), 0..4),
    ) {
        let members: Map<_, _> = members.into_iter().collect();
        let text = form::encode(&members, Booleans::OneZero).unwrap();
        prop_assert_eq!(form::decode(text.as_bytes()).unwrap(), Value::Object(members));
    }

    #[test]
    fn no_auth_is_left_at_any_depth_and_nothing_else_is_lost(value in sayable()) {
        let mut stripped = value.clone();
        strip_auth(&mut stripped);
        prop_assert!(!has_auth(&stripped));
        if !has_auth(&value) {
            prop_assert_eq!(stripped, value);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..400)) {
        read_form(&body);
        read_json(&body);
    }
}
