//! An RPC in words: what it does, the fields of its request, and a request to begin with.

use std::fmt::Write as _;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use super::{
    Paint,
    schema::{comment, full_name},
};

/// How deep messages in messages are written out in the request to begin with.
const DEEP: usize = 4;

/// All that the gateway tells of an RPC.
#[must_use]
pub fn describe(rpc: &MethodDescriptor, paint: Paint) -> String {
    let mut text = paint.bold(&full_name(rpc));
    text.push('\n');
    let file = rpc.parent_file();
    add_comment(&mut text, comment(&file, rpc.path()), "  ");
    let mut known = Vec::new();
    let mut next = vec![rpc.input()];
    while let Some(message) = next.pop() {
        if known.contains(&message) {
            continue;
        }
        let _ = writeln!(text, "\n{}", paint.bold(message.name()));
        if message.fields().len() == 0 {
            text.push_str("  no fields\n");
        }
        let mut inner = Vec::new();
        for field in message.fields() {
            let _ = writeln!(text, "  {}: {}", field.name(), of_kind(&field));
            let about = comment(&message.parent_file(), field.path());
            add_comment(&mut text, about, "      ");
            inner.extend(message_of(&field).filter(|it| it.package_name() != "google.protobuf"));
        }
        next.extend(inner.into_iter().rev());
        known.push(message);
    }
    let answers = if rpc.is_server_streaming() {
        "a stream of "
    } else {
        ""
    };
    let _ = writeln!(text, "\nAnswers with {answers}{}.", rpc.output().name());
    let _ = write!(
        text,
        "\nA request to begin with:\n{}",
        skeleton(&rpc.input())
    );
    text
}

fn add_comment(text: &mut String, comment: Option<String>, before: &str) {
    for line in comment.iter().flat_map(|comment| comment.lines()) {
        let _ = writeln!(text, "{}", format!("{before}{line}").trim_end());
    }
}

/// The message that a field holds, perhaps many times.
fn message_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => match entry.map_entry_value_field().kind() {
            Kind::Message(inner) => Some(inner),
            _ => None,
        },
        Kind::Message(inner) => Some(inner),
        _ => None,
    }
}

fn of_kind(field: &FieldDescriptor) -> String {
    let one = |kind: Kind| match kind {
        Kind::Message(message) => message.name().to_owned(),
        Kind::Enum(values) => {
            let names: Vec<_> = values.values().map(|it| it.name().to_owned()).collect();
            format!("one of {}", names.join(", "))
        }
        kind => format!("{kind:?}"),
    };
    let mut text = match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let value = one(entry.map_entry_value_field().kind());
            format!(
                "map from {} to {value}",
                one(entry.map_entry_key_field().kind())
            )
        }
        kind if field.is_list() => format!("list of {}", one(kind)),
        kind => one(kind),
    };
    let chosen = field.containing_oneof().filter(|it| !it.is_synthetic());
    if let Some(choice) = chosen {
        let _ = write!(text, " (one of `{}`)", choice.name());
    }
    text
}

/// A request with its fields, of those that exclude each other the first.
fn skeleton(message: &MessageDescriptor) -> String {
    let mut text = String::new();
    add_message(&mut text, message, 0);
    text
}

fn add_message(text: &mut String, message: &MessageDescriptor, depth: usize) {
    let stands = |field: &FieldDescriptor| match field.containing_oneof() {
        Some(choice) if !choice.is_synthetic() => choice.fields().next().as_ref() == Some(field),
        _ => true,
    };
    let fields: Vec<_> = message.fields().filter(stands).collect();
    if fields.is_empty() || depth >= DEEP {
        text.push_str("{}");
        return;
    }
    let indent = "  ".repeat(depth + 1);
    text.push_str("{\n");
    for (at, field) in fields.iter().enumerate() {
        let _ = write!(text, "{indent}\"{}\": ", field.name());
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let key = entry.map_entry_key_field().kind();
                let key = if matches!(key, Kind::String) {
                    "en"
                } else {
                    "1"
                };
                let _ = write!(text, "{{\"{key}\": ");
                add_value(text, &entry.map_entry_value_field().kind(), depth + 1);
                text.push('}');
            }
            kind if field.is_list() => {
                text.push('[');
                add_value(text, &kind, depth + 1);
                text.push(']');
            }
            kind => add_value(text, &kind, depth + 1),
        }
        text.push_str(if at + 1 < fields.len() { ",\n" } else { "\n" });
    }
    let _ = write!(text, "{}}}", "  ".repeat(depth));
}

fn add_value(text: &mut String, kind: &Kind, depth: usize) {
    match kind {
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => text.push_str("\"2026-01-31T12:00:00Z\""),
            "google.protobuf.Duration" => text.push_str("\"10s\""),
            name if name.starts_with("google.protobuf.") => text.push_str("{}"),
            _ => add_message(text, message, depth),
        },
        Kind::Enum(values) => {
            let _ = write!(text, "\"{}\"", values.default_value().name());
        }
        Kind::String | Kind::Bytes => text.push_str("\"\""),
        Kind::Bool => text.push_str("false"),
        _ => text.push('0'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{Schema, read};

    #[test]
    fn request_to_begin_with_can_be_read_for_every_rpc() {
        let mut seen = 0;
        for rpc in Schema::own().rpcs() {
            let text = skeleton(&rpc.input());
            read(&rpc.input(), &text)
                .unwrap_or_else(|error| panic!("{}: {error}\n{text}", rpc.name()));
            seen += 1;
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn fields_come_with_their_comments() {
        let rpc = Schema::own().rpc("RegisterBot").unwrap();
        let text = describe(&rpc, Paint(false));
        for part in [
            "bitrix24.gateway.v1.BotService/RegisterBot\n  Makes sure a bot exists.",
            "\nRegisterBotRequest\n  portal: string\n      See the service.\n",
            "  properties: BotProperties\n",
            "\nBotProperties\n  name: string\n      First name, at most 255 characters.",
            "if_exists: one of IF_EXISTS_UNSPECIFIED, IF_EXISTS_RETURN, IF_EXISTS_CONVERGE",
            "Answers with RegisterBotResponse.",
            "\"bot_code\": \"\",\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains('\x1b'), "{text}");
    }
}
