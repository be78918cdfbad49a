//! Attachments as a page can show them (C15.2).
//!
//! Answers to commands carry attachments that nobody checked, so every member is looked at here, and
//! what cannot be shown is shown as the JSON it is.

use serde_json::{Map, Value, json};

use super::label::{label, link};
use super::{bbcode, colour};
use crate::php;

/// Blocks, and cells or items of a block, that are shown at most.
const MOST: usize = 200;
/// Characters of a block that is not understood.
const MOST_RAW: usize = 2_000;

const TOKENS: [&str; 4] = ["primary", "secondary", "alert", "base"];

/// What a page shows; `None` where there is nothing.
pub(super) fn shown(attach: &Value, base: &str) -> Option<Value> {
    let nothing = Map::new();
    let (blocks, full) = match attach {
        Value::Array(blocks) => (blocks.as_slice(), &nothing),
        Value::Object(full) => match full.get("BLOCKS") {
            Some(Value::Array(blocks)) => (blocks.as_slice(), full),
            _ => (std::slice::from_ref(attach), &nothing),
        },
        _ => return None,
    };
    let blocks = blocks
        .iter()
        .take(MOST)
        .flat_map(|shown| block(shown, base));
    let blocks: Vec<Value> = blocks.take(MOST).collect();
    let fields = Fields { map: full, base };
    let shown = json!({"token": token(full), "colour": fields.colour("COLOR"), "blocks": blocks});
    (!blocks.is_empty()).then_some(shown)
}

/// The meaning of a colour.
pub(super) fn token(of: &Map<String, Value>) -> &'static str {
    let named = ["COLOR_TOKEN", "BG_COLOR_TOKEN"]
        .iter()
        .find_map(|name| of.get(*name));
    let named = named.and_then(Value::as_str).unwrap_or_default();
    TOKENS
        .into_iter()
        .find(|token| *token == named)
        .unwrap_or("base")
}

fn block(block: &Value, base: &str) -> Vec<Value> {
    let one = block.as_object().filter(|block| block.len() == 1);
    let Some((kind, value)) = one.and_then(|block| block.iter().next()) else {
        return vec![unknown("", block)];
    };
    match (kind.as_str(), value) {
        ("MESSAGE", Value::String(text)) => {
            vec![json!({"is": "message", "text": bbcode::parse(text, base)})]
        }
        ("GRID", Value::Array(cells)) => vec![grid(cells, base)],
        ("DELIMITER", _) => {
            let nothing = Map::new();
            let fields = Fields {
                map: value.as_object().unwrap_or(&nothing),
                base,
            };
            let (size, colour) = (fields.pixels("SIZE"), fields.colour("COLOR"));
            vec![json!({"is": "line", "size": size, "colour": colour})]
        }
        ("LINK" | "USER" | "IMAGE" | "FILE", Value::Object(_) | Value::Array(_)) => {
            let items = match value {
                Value::Array(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            let shown = items.iter().take(MOST).map(|item| match item {
                Value::Object(map) => self::item(kind, Fields { map, base }),
                other => unknown(kind, other),
            });
            shown.collect()
        }
        _ => vec![unknown(kind, value)],
    }
}

fn item(kind: &str, fields: Fields<'_>) -> Value {
    let to = fields.link("LINK");
    let name = fields.label("NAME");
    match kind {
        "LINK" => json!({
            "is": "link", "to": to, "name": name, "what": fields.target(),
            "text": fields.text(if fields.map.contains_key("DESC") { "DESC" } else { "HTML" }),
            "preview": fields.link("PREVIEW"),
        }),
        "USER" => json!({"is": "user", "to": to, "name": name, "what": fields.target()}),
        "IMAGE" => json!({
            "is": "picture", "to": to, "name": name,
            "width": fields.pixels("WIDTH"), "height": fields.pixels("HEIGHT"),
        }),
        _ => json!({"is": "file", "to": to, "name": name, "bytes": fields.number("SIZE")}),
    }
}

fn grid(cells: &[Value], base: &str) -> Value {
    const KINDS: [&str; 4] = ["BLOCK", "LINE", "ROW", "TABLE"];
    let first = cells.first().and_then(|cell| cell.get("DISPLAY"));
    let kind = first.and_then(Value::as_str).unwrap_or_default();
    let kind = KINDS
        .into_iter()
        .find(|known| *known == kind)
        .unwrap_or("BLOCK");
    let cells = cells.iter().take(MOST).filter_map(|cell| {
        let fields = Fields {
            map: cell.as_object()?,
            base,
        };
        Some(json!({
            "name": fields.label("NAME"),
            "value": fields.text("VALUE"),
            "to": fields.link("LINK"),
            "width": fields.pixels("WIDTH"),
            "token": token(fields.map),
            "colour": fields.colour("COLOR"),
        }))
    });
    json!({"is": "grid", "display": kind.to_ascii_lowercase(), "cells": cells.collect::<Vec<_>>()})
}

/// What nobody here understands, as it was sent.
fn unknown(kind: &str, value: &Value) -> Value {
    let text: String = value.to_string().chars().take(MOST_RAW).collect();
    json!({"is": "unknown", "kind": label(kind), "text": text})
}

/// Members of a block, read without trust.
#[derive(Clone, Copy)]
struct Fields<'a> {
    map: &'a Map<String, Value>,
    base: &'a str,
}

impl Fields<'_> {
    fn words(&self, name: &str) -> String {
        let text = self.map.get(name).and_then(php::text);
        text.unwrap_or_default().into_owned()
    }

    fn label(&self, name: &str) -> String {
        label(&self.words(name))
    }

    fn text(&self, name: &str) -> Vec<bbcode::Node> {
        bbcode::parse(&self.words(name), self.base)
    }

    fn link(&self, name: &str) -> Option<String> {
        link(&self.words(name), self.base)
    }

    fn colour(&self, name: &str) -> Option<String> {
        colour::parsed(&self.words(name))
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.map
            .get(name)
            .and_then(php::int)
            .filter(|number| *number >= 0)
    }

    /// A size on the screen, within reason.
    fn pixels(&self, name: &str) -> Option<i64> {
        self.number(name).map(|pixels| pixels.clamp(1, 600))
    }

    /// The person, chat or bot it is about.
    fn target(&self) -> String {
        let kinds = ["USER_ID", "CHAT_ID", "BOT_ID", "NETWORK_ID"];
        let named = kinds.into_iter().find_map(|kind| {
            let id = label(&self.words(kind));
            let what = kind.trim_end_matches("_ID").to_ascii_lowercase();
            (!id.is_empty()).then(|| format!("{what} {id}"))
        });
        named.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://127.0.0.1:1";

    #[test]
    fn every_block_of_the_contract_is_shown() {
        let attach = json!({"ID": 1, "COLOR_TOKEN": "alert", "COLOR": "#F00", "BLOCKS": [
            {"MESSAGE": "[b]x[/b]"},
            {"LINK": {"NAME": "N", "LINK": "/a", "DESC": "D", "PREVIEW": "https://a.test/p"}},
            {"USER": {"NAME": "U", "USER_ID": 5}},
            {"GRID": [{"DISPLAY": "TABLE", "NAME": "n", "VALUE": "v", "WIDTH": 9000}]},
            {"IMAGE": [{"LINK": "https://a.test/1"}, {"LINK": "https://a.test/2"}]},
            {"FILE": {"LINK": "https://a.test/f", "NAME": "f", "SIZE": 10}},
            {"DELIMITER": {"SIZE": 100, "COLOR": "#c6c6c6"}},
            {"RICH_LINK": {"x": 1}},
        ]});
        let shown = shown(&attach, BASE).unwrap();
        assert_eq!(
            (&shown["token"], &shown["colour"]),
            (&json!("alert"), &json!("#ff0000"))
        );
        let kinds = shown["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|block| block["is"].clone());
        let expected = [
            "message", "link", "user", "grid", "picture", "picture", "file", "line", "unknown",
        ];
        assert!(kinds.eq(expected.map(Value::from)), "{shown}");
        assert_eq!(shown["blocks"][1]["to"], "https://127.0.0.1:1/a");
        assert_eq!(shown["blocks"][3]["cells"][0]["width"], 600);
    }

    #[test]
    fn hostile_members_are_dropped_and_strange_blocks_are_text() {
        let attach = json!([
            {"LINK": {"NAME": "\u{202e}x", "LINK": "javascript:alert(1)", "DESC": ["x"]}},
            {"GRID": ["x", {"DISPLAY": 5, "COLOR": "url(x)"}]},
            {"USER": "x"},
            "x",
            {"a": 1, "b": 2},
            {"DELIMITER": {"SIZE": -4, "COLOR": "red;x"}},
        ]);
        let shown = shown(&attach, BASE).unwrap();
        let blocks = &shown["blocks"];
        assert_eq!(
            (&blocks[0]["to"], &blocks[0]["name"]),
            (&Value::Null, &json!("x"))
        );
        assert_eq!(blocks[1]["cells"][0]["colour"], Value::Null);
        assert_eq!(blocks[2]["is"], "unknown");
        assert_eq!(
            blocks[5],
            json!({"is": "line", "size": null, "colour": null})
        );
        assert_eq!(self::shown(&json!("x"), BASE), None);
        assert_eq!(self::shown(&json!([]), BASE), None);
    }
}
