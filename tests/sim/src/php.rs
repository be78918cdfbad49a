//! Values as PHP sees them.
//!
//! The portal's code is PHP: forms are decoded into nested arrays, numbers arrive as strings, an
//! empty list and an empty map are one thing. JSON values stand for PHP values here, and these
//! functions say how one is read as another.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::quirks::{FormBoolean, FormNull};

/// Variables nested deeper than this are not there, nor are those beyond the largest number.
const DEEPEST: usize = 64;
const MOST_VARIABLES: usize = 10_000;

/// Decodes a query string or form body with bracketed names: `a[b][]=1`.
pub(crate) fn parse_form(text: &str) -> Map<String, Value> {
    let mut root = Map::new();
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    for pair in pairs.take(MOST_VARIABLES) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        insert(&mut root, &decode(name), decode(value));
    }
    root.into_iter()
        .map(|(name, value)| (name, with_lists(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let spaced = if text.contains('+') {
        Cow::Owned(text.replace('+', " "))
    } else {
        text.into()
    };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn insert(root: &mut Map<String, Value>, name: &str, value: String) {
    let (head, mut rest) = match name.find('[') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    };
    // PHP cannot name a variable with a dot or a space in it.
    let mut key = head.replace(['.', ' '], "_");
    if key.is_empty() || rest.bytes().filter(|byte| *byte == b'[').count() > DEEPEST {
        return;
    }
    let mut level = root;
    while let Some((inner, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        let slot = level
            .entry(key)
            .or_insert_with(|| Value::Object(Map::new()));
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        let Value::Object(next) = slot else { return };
        level = next;
        key = if inner.is_empty() {
            next_index(level)
        } else {
            inner.to_owned()
        };
        rest = after;
    }
    level.insert(key, Value::String(value));
}

fn next_index(map: &Map<String, Value>) -> String {
    let largest = map.keys().filter_map(|key| key.parse::<u64>().ok()).max();
    largest.map_or(0, |index| index + 1).to_string()
}

/// Arrays with the keys 0..n are lists.
fn with_lists(value: Value) -> Value {
    let Value::Object(map) = value else {
        return value;
    };
    let mut map: Map<String, Value> = map.into_iter().map(|(k, v)| (k, with_lists(v))).collect();
    let is_list = (0..map.len()).all(|index| map.contains_key(&index.to_string()));
    if !is_list {
        return Value::Object(map);
    }
    (0..map.len())
        .filter_map(|index| map.remove(&index.to_string()))
        .collect()
}

/// What PHP leaves alone when it encodes for an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// `text` as PHP's `urlencode` writes it: a space is a plus.
pub(crate) fn url_encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN)
        .to_string()
        .replace("%20", "+")
}

/// How a form is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormStyle {
    pub(crate) nulls: FormNull,
    pub(crate) booleans: FormBoolean,
    pub(crate) encoded_brackets: bool,
}

/// Names and values as PHP's `http_build_query` writes them: everything is text, and what is
/// empty is not there.
pub(crate) fn build_query(pairs: &[(&str, Value)], style: FormStyle) -> String {
    let mut query = Vec::new();
    for (name, value) in pairs {
        build(&mut query, url_encode(name), value, style);
    }
    query.join("&")
}

fn build(query: &mut Vec<String>, name: String, value: &Value, style: FormStyle) {
    let (open, close) = if style.encoded_brackets {
        ("%5B", "%5D")
    } else {
        ("[", "]")
    };
    let inner = |key: &str| format!("{name}{open}{}{close}", url_encode(key));
    let lists_show = style.nulls == FormNull::EmptyLikeLists;
    let text = match value {
        empty if lists_show && is_empty_list(empty) => String::new(),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                build(query, inner(&index.to_string()), value, style);
            }
            return;
        }
        Value::Object(map) => {
            for (key, value) in map {
                build(query, inner(key), value, style);
            }
            return;
        }
        Value::Null if style.nulls == FormNull::Absent => return,
        Value::Null => String::new(),
        Value::Bool(truth) => match (style.booleans, truth) {
            (FormBoolean::Digits | FormBoolean::EmptyIsFalse, true) => "1".to_owned(),
            (FormBoolean::Digits, false) => "0".to_owned(),
            (FormBoolean::EmptyIsFalse, false) => String::new(),
            (FormBoolean::Words, truth) => truth.to_string(),
            (FormBoolean::Letters, true) => "Y".to_owned(),
            (FormBoolean::Letters, false) => "N".to_owned(),
        },
        Value::Number(number) => number.to_string(),
        Value::String(text) => url_encode(text),
    };
    query.push(format!("{name}={text}"));
}

fn is_empty_list(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The order in which the keys of `cmd` appear in a form.
pub(crate) fn form_order(text: &str, name: &str) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for pair in text.split('&').take(MOST_VARIABLES) {
        let decoded = decode(pair.split_once('=').map_or(pair, |(name, _)| name));
        let inner = decoded
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('['));
        let Some((key, _)) = inner.and_then(|rest| rest.split_once(']')) else {
            continue;
        };
        let key = if key.is_empty() {
            keys.len().to_string()
        } else {
            key.to_owned()
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// A whole number, also written as text.
pub(crate) fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            // Whole numbers this small are exact in both types.
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Text; numbers are written out, arrays and null are no text.
pub(crate) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(true) => Some("1".into()),
        Value::Bool(false) => Some("".into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The truths a bot method knows: `true`, `"Y"`, `"1"`, `"TRUE"`.
pub(crate) fn truth(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::String(text) => matches!(text.as_str(), "Y" | "1" | "TRUE"),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// A map; a list counts as a map from 0..n.
pub(crate) fn map(value: &Value) -> Option<Cow<'_, Map<String, Value>>> {
    match value {
        Value::Object(map) => Some(Cow::Borrowed(map)),
        Value::Array(list) => {
            let keyed = list
                .iter()
                .enumerate()
                .map(|(index, v)| (index.to_string(), v.clone()));
            Some(Cow::Owned(keyed.collect()))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What PHP's `empty()` calls empty.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// `value` inside a longer string.
pub(crate) fn embedded(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => "Array".to_owned(),
        Value::Null => String::new(),
        scalar => text(scalar).unwrap_or_default().into_owned(),
    }
}

/// Whether a value is nested this deep at most.
pub(crate) fn is_shallow(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return false;
    };
    match value {
        Value::Array(list) => list.iter().all(|value| is_shallow(value, below)),
        Value::Object(map) => map.values().all(|value| is_shallow(value, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// camelCase as UPPER_CASE with underscores: `botId` -> `BOT_ID`.
pub(crate) fn upper_snake(name: &str) -> String {
    let mut upper = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            upper.push('_');
        }
        upper.push(letter.to_ascii_uppercase());
    }
    upper
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_nest_and_lists_are_lists() {
        let form = "fields%5Btitle%5D%5Ben%5D=Show%20help&fields[hidden]=N&userIds[0]=1&userIds[1]=2&x[]=a&x[]=b";
        let expected = json!({
            "fields": {"title": {"en": "Show help"}, "hidden": "N"},
            "userIds": ["1", "2"],
            "x": ["a", "b"],
        });
        assert_eq!(Value::Object(parse_form(form)), expected);
    }

    #[test]
    fn a_form_is_written_as_php_writes_it() {
        let style = FormStyle {
            nulls: FormNull::Absent,
            booleans: FormBoolean::Digits,
            encoded_brackets: true,
        };
        let data = json!({"a": [1, true], "b": null, "c": [], "d": "x y~&", "e": false});
        let pairs = [("event", json!("E")), ("data", data)];
        assert_eq!(
            build_query(&pairs, style),
            "event=E&data%5Ba%5D%5B0%5D=1&data%5Ba%5D%5B1%5D=1&data%5Bd%5D=x+y%7E%26&data%5Be%5D=0"
        );
        let style = FormStyle {
            nulls: FormNull::Empty,
            booleans: FormBoolean::EmptyIsFalse,
            encoded_brackets: false,
        };
        let data = json!({"b": null, "c": {}, "e": false});
        let pairs = [("d", data)];
        assert_eq!(build_query(&pairs, style), "d[b]=&d[e]=");
        let style = FormStyle {
            nulls: FormNull::EmptyLikeLists,
            ..style
        };
        assert_eq!(build_query(&pairs, style), "d[b]=&d[c]=&d[e]=");
    }

    #[test]
    fn plus_is_a_space_and_a_later_value_wins() {
        let form = parse_form("COMMAND_PARAMS=task+%231&a=1&a=2&my.name=x");
        assert_eq!(
            Value::Object(form),
            json!({"COMMAND_PARAMS": "task #1", "a": "2", "my_name": "x"})
        );
    }

    #[test]
    fn json_true_and_the_text_true_are_not_the_same() {
        assert!(truth(&json!(true)) && truth(&json!("Y")) && truth(&json!("TRUE")));
        assert!(!truth(&json!("true")) && !truth(&json!("N")) && !truth(&json!(1)));
    }

    #[test]
    fn what_is_nested_too_deep_is_not_there() {
        let deep = |depth: usize| format!("a{}=1", "[x]".repeat(depth));
        assert_eq!(parse_form(&deep(64)).len(), 1);
        assert_eq!(parse_form(&deep(65)).len(), 0);
        assert_eq!(
            parse_form(&"a[]=1&".repeat(20_000))["a"]
                .as_array()
                .map(Vec::len),
            Some(10_000)
        );
    }

    #[test]
    fn names_have_an_upper_case_form() {
        assert_eq!(upper_snake("isSupportOpenline"), "IS_SUPPORT_OPENLINE");
    }
}
