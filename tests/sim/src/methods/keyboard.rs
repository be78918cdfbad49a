//! What a keyboard may look like (C15.1).

use serde_json::{Map, Value, json};

use super::attach::{SIZE_LIMIT, is_link};
use crate::php;

/// A keyboard as it was given: there may be none, or a wrong one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Keyboard {
    /// `"N"` or empty: no keyboard, or an end to the present one.
    None,
    Wrong,
    Buttons(Value),
}

/// Checks a keyboard. `forced_bot` is the bot its commands go to, whatever it says itself.
/// Wrong buttons are left out; when none is left, the keyboard is wrong.
pub(super) fn checked(given: &Value, forced_bot: Option<i64>) -> Keyboard {
    let Some(parsed) = parsed(given) else {
        return Keyboard::None;
    };
    let Some((buttons, own_bot)) = parts(&parsed) else {
        return Keyboard::Wrong;
    };
    let good: Vec<Value> = buttons.iter().filter_map(button).collect();
    let has_button = good.iter().any(|button| button.get("TEXT").is_some());
    let bot_id = forced_bot.or(own_bot).unwrap_or(0);
    let keyboard = json!({"BOT_ID": bot_id, "BUTTONS": good});
    if has_button && keyboard.to_string().chars().count() < SIZE_LIMIT {
        Keyboard::Buttons(keyboard)
    } else {
        Keyboard::Wrong
    }
}

/// A keyboard nobody checks, with the bot set.
pub(super) fn unchecked(given: Value, bot_id: i64) -> Value {
    match parsed(&given).as_ref().and_then(parts) {
        Some((buttons, _)) => json!({"BOT_ID": bot_id, "BUTTONS": buttons}),
        None => given,
    }
}

fn parsed(given: &Value) -> Option<Value> {
    let value = match given {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text).unwrap_or_else(|_| given.clone())
        }
        Value::String(text) if text == "N" => return None,
        other => other.clone(),
    };
    (!php::is_empty(&value)).then_some(value)
}

/// The buttons, and the bot the keyboard names.
fn parts(keyboard: &Value) -> Option<(&Vec<Value>, Option<i64>)> {
    match keyboard {
        Value::Array(buttons) => Some((buttons, None)),
        Value::Object(map) => {
            let buttons = map.get("BUTTONS").and_then(Value::as_array)?;
            Some((buttons, map.get("BOT_ID").and_then(php::int)))
        }
        _ => None,
    }
}

/// A button with its one action; `None` when it is wrong.
fn button(given: &Value) -> Option<Value> {
    let Value::Object(given) = given else {
        return None;
    };
    if given.get("TYPE").and_then(Value::as_str) == Some("NEWLINE") {
        return Some(json!({"TYPE": "NEWLINE"}));
    }
    let text = given
        .get("TEXT")
        .and_then(php::text)
        .filter(|text| !text.is_empty())?;
    let mut button = appearance(given);
    button.insert("TEXT".into(), text.into());
    let action = action(given)?;
    button.extend(action);
    Some(Value::Object(button))
}

/// The first action by precedence: LINK, APP_ID, ACTION, COMMAND.
fn action(given: &Map<String, Value>) -> Option<Map<String, Value>> {
    const ACTIONS: [&str; 7] = ["PUT", "SEND", "COPY", "CALL", "DIALOG", "LIVECHAT", "HELP"];
    let present = |name: &str| given.get(name).filter(|value| !php::is_empty(value));
    let mut action = Map::new();
    if let Some(link) = present("LINK") {
        is_link(link).then_some(())?;
        action.insert("LINK".into(), link.clone());
    } else if let Some(app) = present("APP_ID") {
        action.insert("APP_ID".into(), app.clone());
        action.extend(present("APP_PARAMS").map(|params| ("APP_PARAMS".into(), params.clone())));
    } else if let Some(kind) = present("ACTION") {
        kind.as_str().filter(|kind| ACTIONS.contains(kind))?;
        action.insert("ACTION".into(), kind.clone());
        action.insert(
            "ACTION_VALUE".into(),
            present("ACTION_VALUE").cloned().unwrap_or("".into()),
        );
    } else {
        let command = present("COMMAND").and_then(php::text)?;
        let command = command.strip_prefix('/').unwrap_or(&command).to_owned();
        (!command.is_empty()).then_some(())?;
        action.insert("COMMAND".into(), command.into());
        let params = given
            .get("COMMAND_PARAMS")
            .and_then(php::text)
            .unwrap_or_default();
        action.insert("COMMAND_PARAMS".into(), params.into());
        if given.get("BLOCK").is_some_and(php::truth) {
            action.insert("BLOCK".into(), "Y".into());
        }
    }
    Some(action)
}

fn appearance(given: &Map<String, Value>) -> Map<String, Value> {
    const NAMES: [&str; 8] = [
        "CONTEXT",
        "DISPLAY",
        "WIDTH",
        "BG_COLOR",
        "TEXT_COLOR",
        "OFF_BG_COLOR",
        "OFF_TEXT_COLOR",
        "BG_COLOR_TOKEN",
    ];
    let mut kept: Map<String, Value> = NAMES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), given.get(*name)?.clone())))
        .collect();
    if given.get("DISABLED").is_some_and(php::truth) {
        kept.insert("DISABLED".into(), "Y".into());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buttons(given: Value) -> Value {
        match checked(&given, Some(7)) {
            Keyboard::Buttons(keyboard) => keyboard,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_forms_of_a_keyboard_are_the_same_keyboard() {
        let list = json!([{"TEXT": "a", "COMMAND": "/help", "COMMAND_PARAMS": "x"}]);
        let expected = json!({"BOT_ID": 7, "BUTTONS": [
            {"TEXT": "a", "COMMAND": "help", "COMMAND_PARAMS": "x"}]});
        assert_eq!(buttons(list.clone()), expected);
        assert_eq!(buttons(json!({"BUTTONS": list, "BOT_ID": 9})), expected);
        assert_eq!(buttons(json!(list.to_string())), expected);
    }

    #[test]
    fn wrong_buttons_are_left_out_and_a_keyboard_of_them_is_wrong() {
        let wrong = json!([{"TEXT": "a"}, {"LINK": "/x"}, {"TEXT": "a", "LINK": "x"}, 5,
            {"TEXT": "a", "ACTION": "FUNCTION"}, {"TYPE": "NEWLINE"}]);
        assert_eq!(checked(&wrong, None), Keyboard::Wrong);
        assert_eq!(checked(&json!("N"), None), Keyboard::None);
        assert_eq!(checked(&json!([]), None), Keyboard::None);
    }

    #[test]
    fn a_link_is_preferred_to_a_command() {
        let keyboard = buttons(json!([{"TEXT": "a", "COMMAND": "x", "LINK": "/y"}]));
        assert_eq!(keyboard["BUTTONS"][0], json!({"TEXT": "a", "LINK": "/y"}));
    }
}
