//! Keyboards as a page can show them (C15.1).

use serde_json::{Map, Value, json};

use super::label::{label, link};
use super::{attach, colour};
use crate::php;

/// Buttons that are shown at most.
const MOST: usize = 200;

/// Buttons and line breaks; empty where there are none.
pub(super) fn shown(keyboard: &Value, base: &str) -> Vec<Value> {
    let buttons = match keyboard {
        Value::Array(buttons) => buttons.as_slice(),
        other => other
            .get("BUTTONS")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice),
    };
    let shown = buttons
        .iter()
        .filter_map(|given| button(given.as_object()?, base));
    shown.take(MOST).collect()
}

fn button(given: &Map<String, Value>, base: &str) -> Option<Value> {
    let text = |name: &str| {
        let text = given.get(name).and_then(php::text);
        text.unwrap_or_default().into_owned()
    };
    if text("TYPE") == "NEWLINE" {
        return Some(json!({"does": "break"}));
    }
    let caption = text("TEXT");
    // This page is a desktop.
    if caption.is_empty() || text("CONTEXT") == "MOBILE" {
        return None;
    }
    let (does, value) = action(&text, base);
    let disabled = given.get("DISABLED").is_some_and(php::truth);
    let ground = colour::parsed(&text("BG_COLOR"));
    let asked = colour::parsed(&text("TEXT_COLOR"));
    let letters = ground
        .as_deref()
        .map(|ground| colour::legible(ground, asked.as_deref()));
    let width = given.get("WIDTH").and_then(php::int);
    Some(json!({
        "text": label(&caption),
        // What presses it.
        "name": caption,
        "does": does,
        "value": value,
        "disabled": disabled,
        "line": text("DISPLAY") == "LINE",
        "width": width.filter(|width| *width > 0).map(|width| width.min(600)),
        "ground": ground,
        "letters": letters,
        "token": attach::token(given),
    }))
}

/// What a press does, by precedence: LINK, APP_ID, ACTION, COMMAND.
fn action(text: &impl Fn(&str) -> String, base: &str) -> (String, String) {
    let own = |does: &str, value: String| (does.to_owned(), value);
    if !text("LINK").is_empty() {
        return match link(&text("LINK"), base) {
            Some(to) => own("link", to),
            None => own("nothing", String::new()),
        };
    }
    if !text("APP_ID").is_empty() {
        return own("app", label(&text("APP_ID")));
    }
    match text("ACTION").as_str() {
        "" if text("COMMAND").is_empty() => own("nothing", String::new()),
        "" => own(
            "command",
            label(&format!("/{} {}", text("COMMAND"), text("COMMAND_PARAMS"))),
        ),
        action @ ("PUT" | "SEND" | "COPY" | "CALL" | "DIALOG") => {
            (action.to_ascii_lowercase(), text("ACTION_VALUE"))
        }
        _ => own("nothing", String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://127.0.0.1:1";

    #[test]
    fn buttons_do_what_the_contract_says() {
        let keyboard = json!({"BOT_ID": 7, "BUTTONS": [
            {"TEXT": "a", "COMMAND": "help", "COMMAND_PARAMS": "me", "DISPLAY": "LINE"},
            {"TEXT": "b", "LINK": "/x", "COMMAND": "help"},
            {"TYPE": "NEWLINE"},
            {"TEXT": "c", "ACTION": "PUT", "ACTION_VALUE": "v", "DISABLED": "Y"},
            {"TEXT": "d", "COMMAND": "x", "CONTEXT": "MOBILE"},
            {"TEXT": "e", "APP_ID": 5, "BG_COLOR": "#29619b", "TEXT_COLOR": "#29619c"},
        ]});
        let shown = shown(&keyboard, BASE);
        let does = shown.iter().map(|button| button["does"].clone());
        let expected = ["command", "link", "break", "put", "app"];
        assert!(does.eq(expected.map(Value::from)), "{shown:?}");
        assert_eq!(
            (&shown[0]["value"], &shown[0]["line"]),
            (&json!("/help me"), &json!(true))
        );
        assert_eq!(shown[3]["disabled"], true);
        assert_eq!(shown[4]["letters"], "#ffffff");
    }

    #[test]
    fn hostile_buttons_do_nothing() {
        let keyboard = json!([
            {"TEXT": "\u{202e}a", "LINK": "javascript:alert(1)"},
            {"TEXT": ["x"], "COMMAND": "x"},
            {"TEXT": "b", "ACTION": "FUNCTION", "BG_COLOR": "url(x)", "WIDTH": "-5"},
            "x",
        ]);
        let shown = shown(&keyboard, BASE);
        assert_eq!(shown.len(), 2);
        for button in &shown {
            assert_eq!(
                (&button["does"], &button["ground"]),
                (&json!("nothing"), &Value::Null)
            );
        }
        assert_eq!(shown[0]["text"], "a");
        assert!(self::shown(&json!("x"), BASE).is_empty());
    }
}
