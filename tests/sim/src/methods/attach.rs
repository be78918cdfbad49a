//! What an attachment may look like (C15.2).

use serde_json::{Map, Value};

/// Serialised attachments and keyboards stay below this many characters.
pub(super) const SIZE_LIMIT: usize = 60_000;

/// Why an attachment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Structure,
    Size,
}

/// Checks an attachment; `None` when there is none.
pub(super) fn checked(given: &Value) -> Result<Option<Value>, Refused> {
    let parsed = match given {
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            serde_json::from_str(text).map_err(|_| Refused::Structure)?
        }
        other => other.clone(),
    };
    if crate::php::is_empty(&parsed) {
        return Ok(None);
    }
    let blocks = match &parsed {
        Value::Array(blocks) => blocks,
        Value::Object(full) => match full.get("BLOCKS") {
            Some(Value::Array(blocks)) => blocks,
            _ => return Err(Refused::Structure),
        },
        _ => return Err(Refused::Structure),
    };
    if blocks.is_empty() || !blocks.iter().all(is_block) {
        return Err(Refused::Structure);
    }
    if parsed.to_string().chars().count() >= SIZE_LIMIT {
        return Err(Refused::Size);
    }
    Ok(Some(parsed))
}

fn is_block(block: &Value) -> bool {
    let Value::Object(block) = block else {
        return false;
    };
    let mut members = block.iter();
    let (Some((kind, value)), None) = (members.next(), members.next()) else {
        return false;
    };
    match kind.as_str() {
        "MESSAGE" => value.is_string(),
        "USER" => one(value, is_user),
        "LINK" | "IMAGE" | "FILE" => one(value, has_link),
        "GRID" => is_grid(value),
        "DELIMITER" => value.is_object() || value.as_array().is_some_and(Vec::is_empty),
        "RICH_LINK" => true,
        _ => false,
    }
}

/// An object, or a list of them.
fn one(value: &Value, check: fn(&Map<String, Value>) -> bool) -> bool {
    match value {
        Value::Object(map) => check(map),
        Value::Array(list) => {
            !list.is_empty() && list.iter().all(|item| item.as_object().is_some_and(check))
        }
        _ => false,
    }
}

fn is_user(user: &Map<String, Value>) -> bool {
    let named = user
        .get("NAME")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty());
    named && user.get("LINK").is_none_or(is_link)
}

fn has_link(block: &Map<String, Value>) -> bool {
    block.get("LINK").is_some_and(is_link)
}

fn is_grid(grid: &Value) -> bool {
    const KINDS: [&str; 4] = ["BLOCK", "LINE", "ROW", "TABLE"];
    let Value::Array(cells) = grid else {
        return false;
    };
    let display = |cell: &Value| {
        cell.get("DISPLAY")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    !cells.is_empty()
        && cells
            .iter()
            .all(|cell| display(cell).is_some_and(|kind| KINDS.contains(&&*kind)))
}

/// Links are absolute or begin at the portal's root.
pub(super) fn is_link(value: &Value) -> bool {
    let Some(link) = value.as_str() else {
        return false;
    };
    link.starts_with('/') || link.starts_with("http://") || link.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_need_one_known_key_and_their_mandatory_members() {
        assert!(checked(&json!([{"MESSAGE": "x"}])).is_ok());
        assert!(checked(&json!({"ID": 1, "BLOCKS": [{"LINK": {"LINK": "/a"}}]})).is_ok());
        for wrong in [
            json!([{"MESSAGE": "x", "DELIMITER": {}}]),
            json!([{"NOVELTY": {}}]),
            json!([{"LINK": {"NAME": "x"}}]),
            json!([{"LINK": {"LINK": "ftp://x"}}]),
            json!([{"USER": {}}]),
            json!([{"GRID": [{"NAME": "x"}]}]),
            json!({"BLOCKS": "x"}),
            json!(5),
        ] {
            assert_eq!(checked(&wrong), Err(Refused::Structure), "{wrong}");
        }
        assert_eq!(checked(&json!([])), Ok(None));
    }

    #[test]
    fn an_attachment_stays_below_sixty_thousand_characters() {
        let large = json!([{"MESSAGE": "x".repeat(60_000)}]);
        assert_eq!(checked(&large), Err(Refused::Size));
    }
}
