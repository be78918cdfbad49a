//! A request as somebody writes it, in JSON, and where exactly it is wrong.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::schema::nearest;

/// Why a text is no such request.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is not JSON.
    #[error("the request is not JSON: {0}")]
    Syntax(#[source] serde_json::Error),
    /// A name that nothing has.
    #[error("`{path}` is not a field of {message}{}", meant(.nearest.as_deref()))]
    Unknown {
        /// Where.
        path: String,
        /// In what.
        message: String,
        /// What may be meant.
        nearest: Option<String>,
    },
    /// A name of a value that the enum does not have.
    #[error("`{path}`: \"{value}\" is not a value of {enumeration}{}", meant(.nearest.as_deref()))]
    Value {
        /// Where.
        path: String,
        /// What stands there.
        value: String,
        /// Whose values there are.
        enumeration: String,
        /// What may be meant.
        nearest: Option<String>,
    },
    /// Something else than what belongs there.
    #[error("`{path}`: {cause}")]
    Field {
        /// Where.
        path: String,
        /// What is wrong.
        cause: String,
    },
    /// The whole of it.
    #[error("the request does not fit {message}: {cause}")]
    Whole {
        /// What it should be.
        message: String,
        /// What is wrong.
        cause: String,
    },
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; perhaps `{name}` is meant"))
}

/// Reads a message. No text stands for one without fields.
///
/// # Errors
///
/// The first field that is not known or holds what it cannot.
pub fn read(message: &MessageDescriptor, text: &str) -> Result<DynamicMessage, Unfit> {
    let value = match text.trim() {
        "" => Value::Object(Map::new()),
        text => serde_json::from_str(text).map_err(Unfit::Syntax)?,
    };
    let whole = |cause: String| Unfit::Whole {
        message: message.name().to_owned(),
        cause,
    };
    if !value.is_object() {
        return Err(whole(format!("it must be an object, not {}", kind(&value))));
    }
    check(message, &value, "")?;
    let read = DynamicMessage::deserialize(message.clone(), value);
    read.map_err(|error| whole(error.to_string()))
}

fn check(message: &MessageDescriptor, value: &Value, path: &str) -> Result<(), Unfit> {
    let Value::Object(members) = value else {
        return Err(Unfit::Field {
            path: path.to_owned(),
            cause: format!(
                "must be an object with the fields of {}, not {}",
                message.name(),
                kind(value)
            ),
        });
    };
    for (name, value) in members {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        let named = message.get_field_by_name(name);
        let field = named.or_else(|| message.get_field_by_json_name(name));
        let Some(field) = field else {
            let known: Vec<_> = message.fields().collect();
            return Err(Unfit::Unknown {
                nearest: nearest(name, known.iter().map(FieldDescriptor::name)).map(str::to_owned),
                message: message.name().to_owned(),
                path,
            });
        };
        check_field(message, &field, name, value, path)?;
    }
    Ok(())
}

fn check_field(
    message: &MessageDescriptor,
    field: &FieldDescriptor,
    name: &str,
    value: &Value,
    path: String,
) -> Result<(), Unfit> {
    match (value, field.kind()) {
        (Value::Object(entries), Kind::Message(entry)) if field.is_map() => {
            let inner = entry.map_entry_value_field();
            for (key, value) in entries {
                let path = format!("{path}[\"{key}\"]");
                match inner.kind() {
                    Kind::Message(inner) if is_ours(&inner) => check(&inner, value, &path)?,
                    _ => {
                        let one = Map::from_iter([(key.clone(), value.clone())]);
                        fits(message, name, Value::Object(one), path)?;
                    }
                }
            }
            Ok(())
        }
        (Value::Array(items), _) if field.is_list() => {
            for (at, item) in items.iter().enumerate() {
                let path = format!("{path}[{at}]");
                let one = Value::Array(vec![item.clone()]);
                check_one(message, field, name, (item, one), path)?;
            }
            Ok(())
        }
        (Value::Null, _) => Ok(()),
        (value, _) if field.is_list() || field.is_map() => fits(message, name, value.clone(), path),
        (value, _) => check_one(message, field, name, (value, value.clone()), path),
    }
}

/// One value; `whole` is it as the field is to hold it.
fn check_one(
    message: &MessageDescriptor,
    field: &FieldDescriptor,
    name: &str,
    (value, whole): (&Value, Value),
    path: String,
) -> Result<(), Unfit> {
    match (field.kind(), value) {
        (Kind::Message(inner), value) if is_ours(&inner) => check(&inner, value, &path),
        (Kind::Enum(known), Value::String(text)) if known.get_value_by_name(text).is_none() => {
            let names: Vec<_> = known.values().map(|it| it.name().to_owned()).collect();
            Err(Unfit::Value {
                path,
                value: text.clone(),
                enumeration: known.name().to_owned(),
                nearest: nearest(text, names.iter().map(String::as_str)).map(str::to_owned),
            })
        }
        _ => fits(message, name, whole, path),
    }
}

/// Whether a message is written by its fields; others have a form of their own in JSON.
fn is_ours(message: &MessageDescriptor) -> bool {
    message.package_name() != "google.protobuf"
}

/// Tries a field alone.
fn fits(message: &MessageDescriptor, name: &str, value: Value, path: String) -> Result<(), Unfit> {
    let alone = Value::Object(Map::from_iter([(name.to_owned(), value)]));
    match DynamicMessage::deserialize(message.clone(), alone) {
        Ok(_) => Ok(()),
        Err(error) => Err(Unfit::Field {
            path,
            cause: error.to_string(),
        }),
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Schema;

    fn told(rpc: &str, text: &str) -> String {
        let input = Schema::own().rpc(rpc).unwrap().input();
        read(&input, text).unwrap_err().to_string()
    }

    #[test]
    fn wrong_field_is_told_by_its_path() {
        for (rpc, text, says) in [
            (
                "RegisterBot",
                r#"{"bot_cod": "x"}"#,
                "`bot_cod` is not a field of RegisterBotRequest; perhaps `bot_code` is meant",
            ),
            (
                "RegisterBot",
                r#"{"properties": {"nmae": "x"}}"#,
                "`properties.nmae` is not a field of BotProperties; perhaps `name` is meant",
            ),
            (
                "RegisterBot",
                r#"{"if_exists": "IF_EXIST_CONVERGE"}"#,
                "`if_exists`: \"IF_EXIST_CONVERGE\" is not a value of IfExists; perhaps `IF_EXISTS_CONVERGE` is meant",
            ),
            (
                "RegisterBot",
                r#"{"properties": 5}"#,
                "`properties`: must be an object",
            ),
            (
                "RegisterBot",
                r#"{"is_hidden": "perhaps"}"#,
                "`is_hidden`: ",
            ),
            (
                "SubscribeEvents",
                r#"{"subscription": {"name": "x", "max_attempts": "many"}}"#,
                "`subscription.max_attempts`: ",
            ),
            (
                "SubscribeEvents",
                r#"{"types": ["EVENT_TYPE_CHAT_JOINED", "chat"]}"#,
                "`types[1]`: \"chat\" is not a value of EventType",
            ),
            (
                "SubscribeEvents",
                r#"{"bot_codes": ["a", 7]}"#,
                "`bot_codes[1]`: ",
            ),
            ("SubscribeEvents", r#"{"bot_codes": "a"}"#, "`bot_codes`: "),
            (
                "SubscribeEvents",
                r#"{"heartbeat_interval": "soon"}"#,
                "`heartbeat_interval`: ",
            ),
            (
                "RegisterCommand",
                r#"{"title": {"en": 5}}"#,
                "`title[\"en\"]`: ",
            ),
            ("ListBots", "[]", "it must be an object, not a list"),
            (
                "ListBots",
                "{\"portal\": }",
                "the request is not JSON: expected value at line 1 column 12",
            ),
        ] {
            let told = told(rpc, text);
            assert!(told.contains(says), "{text}: {told}");
        }
    }

    #[test]
    fn fields_are_taken_by_both_of_their_names() {
        let input = Schema::own().rpc("RegisterBot").unwrap().input();
        let text =
            |name| format!(r#"{{"{name}": "weather", "properties": {{"name": "Weather"}}}}"#);
        let [one, other] = ["bot_code", "botCode"].map(|name| read(&input, &text(name)).unwrap());
        assert_eq!(one, other);
        assert_eq!(
            read(&input, " ").unwrap(),
            DynamicMessage::new(input.clone())
        );
    }
}
