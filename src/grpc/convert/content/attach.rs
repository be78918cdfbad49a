//! Structured blocks below a message.

use serde_json::{Map, Value};

use super::{Check, Keys, color, color_token, link, pixels, upper_case};
use crate::{
    grpc::convert::json,
    proto::v1::{self as pb, attach_block::Block},
};

/// The documented forms: an array of blocks, or an object when there is more to say.
pub(super) fn attach(check: &mut Check, field: &str, attach: &pb::Attach) -> Value {
    if attach.blocks.is_empty() {
        check.broken(&format!("{field}.blocks"), "must have at least one block");
    }
    let blocks: Value = attach
        .blocks
        .iter()
        .enumerate()
        .map(|(index, block)| self::block(check, &format!("{field}.blocks[{index}]"), block))
        .collect();
    let mut keys = Keys::default();
    keys.set_if("ID", attach.id.as_ref());
    let token = check.known(&format!("{field}.color_token"), attach.color_token);
    keys.set_if("COLOR_TOKEN", token.and_then(color_token).as_ref());
    color(check, &format!("{field}.color"), &attach.color);
    keys.set_unless_empty("COLOR", &attach.color);
    let extra = attach.extra.as_ref();
    if keys.0.is_empty() && extra.is_none_or(|extra| extra.fields.is_empty()) {
        return blocks;
    }
    keys.set("BLOCKS", blocks);
    // Last, so that it sees every key of ours.
    keys.extend(check, &format!("{field}.extra"), extra);
    Value::Object(keys.0)
}

fn block(check: &mut Check, field: &str, block: &pb::AttachBlock) -> Value {
    let (key, value) = match &block.block {
        None => {
            check.broken(field, "needs one of message, link, user, grid, images, files, delimiter, rich_link and raw");
            return Value::Null;
        }
        Some(Block::Message(text)) => {
            needed(check, &format!("{field}.message"), text);
            ("MESSAGE", Value::from(text.as_str()))
        }
        Some(Block::Link(link)) => ("LINK", link_block(check, &format!("{field}.link"), link)),
        Some(Block::User(user)) => ("USER", self::user(check, &format!("{field}.user"), user)),
        Some(Block::Grid(grid)) => ("GRID", self::grid(check, &format!("{field}.grid"), grid)),
        Some(Block::Images(images)) => {
            let field = format!("{field}.images");
            ("IMAGE", one_or_many(check, &field, &images.items, image))
        }
        Some(Block::Files(files)) => {
            let field = format!("{field}.files");
            ("FILE", one_or_many(check, &field, &files.items, file))
        }
        Some(Block::Delimiter(delimiter)) => {
            let field = format!("{field}.delimiter");
            let mut keys = Keys::default();
            pixels(check, &format!("{field}.size"), delimiter.size);
            keys.set_if("SIZE", delimiter.size.as_ref());
            color(check, &format!("{field}.color"), &delimiter.color);
            keys.set_unless_empty("COLOR", &delimiter.color);
            ("DELIMITER", Value::Object(keys.0))
        }
        Some(Block::RichLink(value)) => ("RICH_LINK", json::from_value(value)),
        Some(Block::Raw(raw)) => {
            upper_case(check, &format!("{field}.raw.key"), &raw.key);
            (
                raw.key.as_str(),
                raw.value.as_ref().map_or(Value::Null, json::from_value),
            )
        }
    };
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

fn link_block(check: &mut Check, field: &str, block: &pb::AttachLink) -> Value {
    let mut keys = Keys::default();
    optional(&mut keys, "NAME", block.name.as_ref());
    link(check, &format!("{field}.link"), &block.link);
    keys.set("LINK", block.link.as_str());
    if block.description.is_some() && block.html.is_some() {
        check.broken(
            &format!("{field}.html"),
            "stands instead of description: give one of them",
        );
    }
    optional(&mut keys, "DESC", block.description.as_ref());
    optional(&mut keys, "HTML", block.html.as_ref());
    picture(
        check,
        &mut keys,
        field,
        block.preview.as_ref(),
        block.width,
        block.height,
    );
    id(check, &mut keys, field, "USER_ID", "user_id", block.user_id);
    id(check, &mut keys, field, "CHAT_ID", "chat_id", block.chat_id);
    optional(&mut keys, "NETWORK_ID", block.network_id.as_ref());
    Value::Object(keys.0)
}

fn user(check: &mut Check, field: &str, user: &pb::AttachUser) -> Value {
    let mut keys = Keys::default();
    needed(check, &format!("{field}.name"), &user.name);
    keys.set("NAME", user.name.as_str());
    address(
        check,
        &mut keys,
        field,
        "AVATAR",
        "avatar",
        user.avatar.as_ref(),
    );
    address(check, &mut keys, field, "LINK", "link", user.link.as_ref());
    id(check, &mut keys, field, "USER_ID", "user_id", user.user_id);
    id(check, &mut keys, field, "CHAT_ID", "chat_id", user.chat_id);
    id(check, &mut keys, field, "BOT_ID", "bot_id", user.bot_id);
    optional(&mut keys, "NETWORK_ID", user.network_id.as_ref());
    let avatar = match check.known(&format!("{field}.avatar_type"), user.avatar_type) {
        None | Some(pb::AttachAvatarType::Unspecified) => None,
        Some(pb::AttachAvatarType::User) => Some("USER"),
        Some(pb::AttachAvatarType::Chat) => Some("CHAT"),
        Some(pb::AttachAvatarType::Bot) => Some("BOT"),
    };
    keys.set_if("AVATAR_TYPE", avatar.as_ref());
    Value::Object(keys.0)
}

fn grid(check: &mut Check, field: &str, grid: &pb::AttachGrid) -> Value {
    if grid.items.is_empty() {
        check.broken(&format!("{field}.items"), "must have at least one item");
    }
    // "One kind per grid" is not enforced: the documentation's own card mixes LINE and BLOCK.
    let items = grid.items.iter().enumerate();
    items
        .map(|(index, item)| grid_item(check, &format!("{field}.items[{index}]"), item))
        .collect()
}

fn grid_item(check: &mut Check, field: &str, item: &pb::AttachGridItem) -> Value {
    use pb::AttachGridDisplay as Display;
    let mut keys = Keys::default();
    optional(&mut keys, "NAME", item.name.as_ref());
    optional(&mut keys, "VALUE", item.value.as_ref());
    let display = match check.known(&format!("{field}.display"), item.display) {
        Some(Display::Block) => "BLOCK",
        Some(Display::Line) => "LINE",
        Some(Display::Row) => "ROW",
        Some(Display::Table) => "TABLE",
        Some(Display::Unspecified) => {
            check.broken(&format!("{field}.display"), "is needed");
            ""
        }
        None => "",
    };
    keys.set("DISPLAY", display);
    pixels(check, &format!("{field}.width"), item.width);
    keys.set_if("WIDTH", item.width.as_ref());
    pixels(check, &format!("{field}.height"), item.height);
    keys.set_if("HEIGHT", item.height.as_ref());
    let token = check.known(&format!("{field}.color_token"), item.color_token);
    keys.set_if("COLOR_TOKEN", token.and_then(color_token).as_ref());
    color(check, &format!("{field}.color"), &item.color);
    keys.set_unless_empty("COLOR", &item.color);
    address(check, &mut keys, field, "LINK", "link", item.link.as_ref());
    id(check, &mut keys, field, "USER_ID", "user_id", item.user_id);
    id(check, &mut keys, field, "CHAT_ID", "chat_id", item.chat_id);
    Value::Object(keys.0)
}

fn image(check: &mut Check, field: &str, image: &pb::AttachImage) -> Value {
    let mut keys = Keys::default();
    link(check, &format!("{field}.link"), &image.link);
    keys.set("LINK", image.link.as_str());
    optional(&mut keys, "NAME", image.name.as_ref());
    picture(
        check,
        &mut keys,
        field,
        image.preview.as_ref(),
        image.width,
        image.height,
    );
    Value::Object(keys.0)
}

fn file(check: &mut Check, field: &str, file: &pb::AttachFile) -> Value {
    let mut keys = Keys::default();
    link(check, &format!("{field}.link"), &file.link);
    keys.set("LINK", file.link.as_str());
    optional(&mut keys, "NAME", file.name.as_ref());
    if file.size.is_some_and(|size| size < 0) {
        check.broken(&format!("{field}.size"), "must not be negative");
    }
    keys.set_if("SIZE", file.size.as_ref());
    Value::Object(keys.0)
}

fn one_or_many<T>(
    check: &mut Check,
    field: &str,
    items: &[T],
    item: fn(&mut Check, &str, &T) -> Value,
) -> Value {
    match items {
        [] => {
            check.broken(&format!("{field}.items"), "must have at least one item");
            Value::Null
        }
        [only] => item(check, &format!("{field}.items[0]"), only),
        many => many
            .iter()
            .enumerate()
            .map(|(index, one)| item(check, &format!("{field}.items[{index}]"), one))
            .collect(),
    }
}

fn picture(
    check: &mut Check,
    keys: &mut Keys,
    field: &str,
    preview: Option<&String>,
    width: Option<i32>,
    height: Option<i32>,
) {
    address(check, keys, field, "PREVIEW", "preview", preview);
    pixels(check, &format!("{field}.width"), width);
    keys.set_if("WIDTH", width.as_ref());
    pixels(check, &format!("{field}.height"), height);
    keys.set_if("HEIGHT", height.as_ref());
}

fn address(
    check: &mut Check,
    keys: &mut Keys,
    field: &str,
    key: &str,
    name: &str,
    value: Option<&String>,
) {
    if let Some(value) = value {
        link(check, &format!("{field}.{name}"), value);
        keys.set(key, value.as_str());
    }
}

fn id(check: &mut Check, keys: &mut Keys, field: &str, key: &str, name: &str, value: Option<i64>) {
    if let Some(value) = value {
        check.id(&format!("{field}.{name}"), value);
        keys.set(key, value);
    }
}

fn optional(keys: &mut Keys, key: &str, value: Option<&String>) {
    keys.set_if(key, value);
}

fn needed(check: &mut Check, field: &str, text: &str) {
    if text.is_empty() {
        check.broken(field, "is needed");
    }
}
