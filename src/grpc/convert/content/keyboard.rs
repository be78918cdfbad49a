//! Buttons below a message.

use serde_json::Value;

use super::{Check, Keys, color, color_token, link, pixels, yes_no};
use crate::{
    ids::{CommandName, DialogId},
    proto::v1::{self as pb, keyboard_button::Kind},
};

/// The documented forms: an array of buttons, or an object when there is more to say.
pub(super) fn keyboard(check: &mut Check, field: &str, keyboard: &pb::Keyboard) -> Value {
    if keyboard.buttons.is_empty() {
        check.broken(&format!("{field}.buttons"), "must have at least one button");
    }
    let buttons: Value = keyboard
        .buttons
        .iter()
        .enumerate()
        .map(|(index, button)| self::button(check, &format!("{field}.buttons[{index}]"), button))
        .collect();
    if keyboard.bot_id.is_none() && keyboard.extra.is_none() {
        return buttons;
    }
    let mut keys = Keys::default();
    if let Some(bot_id) = keyboard.bot_id {
        check.id(&format!("{field}.bot_id"), bot_id);
        keys.set("BOT_ID", bot_id);
    }
    keys.set("BUTTONS", buttons);
    keys.extend(check, &format!("{field}.extra"), keyboard.extra.as_ref());
    Value::Object(keys.0)
}

fn button(check: &mut Check, field: &str, button: &pb::KeyboardButton) -> Value {
    let mut keys = Keys::default();
    match &button.kind {
        None => check.broken(
            field,
            "needs one of link, command, action, application, new_line and raw",
        ),
        Some(Kind::NewLine(_)) => {
            // A line break has no other key; what else is set would be lost.
            let bare = pb::KeyboardButton {
                kind: button.kind.clone(),
                ..Default::default()
            };
            if *button != bare {
                check.broken(field, "a new_line takes no other field");
            }
            keys.set("TYPE", "NEWLINE");
            return Value::Object(keys.0);
        }
        Some(kind) => self::kind(check, &mut keys, field, kind),
    }
    if button.text.trim().is_empty() && !matches!(button.kind, Some(Kind::Raw(_))) {
        check.broken(
            &format!("{field}.text"),
            "is needed: Bitrix24 drops a button without a caption",
        );
    }
    keys.set_unless_empty("TEXT", &button.text);
    look(check, &mut keys, field, button);
    // Last, so that the caller's own keys are seen to replace none of ours.
    if let Some(Kind::Raw(raw)) = &button.kind {
        keys.extend(check, &format!("{field}.raw"), Some(raw));
    }
    keys.extend(check, &format!("{field}.extra"), button.extra.as_ref());
    Value::Object(keys.0)
}

fn kind(check: &mut Check, keys: &mut Keys, field: &str, kind: &Kind) {
    match kind {
        Kind::Link(address) => {
            link(check, &format!("{field}.link"), address);
            keys.set("LINK", address.as_str());
        }
        Kind::Command(command) => {
            let name: Option<CommandName> =
                check.parsed(&format!("{field}.command.command"), &command.command);
            keys.set("COMMAND", name.as_ref().map_or("", CommandName::as_str));
            keys.set_unless_empty("COMMAND_PARAMS", &command.params);
        }
        Kind::Action(action) => self::action(check, keys, &format!("{field}.action"), action),
        Kind::Application(application) => {
            check.id(&format!("{field}.application.id"), application.id);
            keys.set("APP_ID", application.id);
            keys.set_unless_empty("APP_PARAMS", &application.params);
        }
        // Its keys come last.
        Kind::Raw(raw) if raw.fields.is_empty() => {
            check.broken(&format!("{field}.raw"), "must have at least one key");
        }
        Kind::NewLine(_) | Kind::Raw(_) => {}
    }
}

fn action(check: &mut Check, keys: &mut Keys, field: &str, action: &pb::ButtonAction) {
    use pb::ButtonActionType as Type;
    let name = match check.known(&format!("{field}.type"), action.r#type) {
        Some(Type::Put) => "PUT",
        Some(Type::Send) => "SEND",
        Some(Type::Copy) => "COPY",
        Some(Type::Call) => "CALL",
        Some(Type::Dialog) => {
            let _checked: Option<DialogId> = check.parsed(&format!("{field}.value"), &action.value);
            "DIALOG"
        }
        Some(Type::Livechat) => "LIVECHAT",
        Some(Type::Help) => "HELP",
        Some(Type::Unspecified) => return check.broken(&format!("{field}.type"), "is needed"),
        None => return,
    };
    let optional = matches!(name, "LIVECHAT" | "HELP" | "DIALOG");
    if !optional && action.value.is_empty() {
        check.broken(&format!("{field}.value"), "is needed");
    }
    keys.set("ACTION", name);
    keys.set_unless_empty("ACTION_VALUE", &action.value);
}

fn look(check: &mut Check, keys: &mut Keys, field: &str, button: &pb::KeyboardButton) {
    if button.block.is_some() && !matches!(button.kind, Some(Kind::Command(_) | Kind::Raw(_))) {
        check.broken(&format!("{field}.block"), "works only with a command");
    }
    keys.set_if("BLOCK", button.block.map(yes_no).as_ref());
    keys.set_if("DISABLED", button.disabled.map(yes_no).as_ref());
    let context = match check.known(&format!("{field}.context"), button.context) {
        None | Some(pb::ButtonContext::Unspecified) => None,
        Some(pb::ButtonContext::All) => Some("ALL"),
        Some(pb::ButtonContext::Mobile) => Some("MOBILE"),
        Some(pb::ButtonContext::Desktop) => Some("DESKTOP"),
    };
    keys.set_if("CONTEXT", context.as_ref());
    let display = match check.known(&format!("{field}.display"), button.display) {
        None | Some(pb::ButtonDisplay::Unspecified) => None,
        Some(pb::ButtonDisplay::Line) => Some("LINE"),
        Some(pb::ButtonDisplay::Block) => Some("BLOCK"),
    };
    keys.set_if("DISPLAY", display.as_ref());
    pixels(check, &format!("{field}.width"), button.width);
    keys.set_if("WIDTH", button.width.as_ref());
    for (key, name, value) in [
        ("BG_COLOR", "bg_color", &button.bg_color),
        ("TEXT_COLOR", "text_color", &button.text_color),
        ("OFF_BG_COLOR", "off_bg_color", &button.off_bg_color),
        ("OFF_TEXT_COLOR", "off_text_color", &button.off_text_color),
    ] {
        color(check, &format!("{field}.{name}"), value);
        keys.set_unless_empty(key, value);
    }
    let token = check.known(&format!("{field}.bg_color_token"), button.bg_color_token);
    keys.set_if("BG_COLOR_TOKEN", token.and_then(color_token).as_ref());
}
