//! What Bitrix24 tells of its things, outwards.

use serde_json::Value;

use super::{json, time};
use crate::{
    portal::wire::{Bot, Chat, Command, Message, User, entity::Forward, lenient},
    proto::v1 as pb,
};

pub(super) fn user(user: User) -> pb::User {
    let phone = |(kind, number): (String, Value)| Some((kind, lenient::text(&number)?));
    pb::User {
        id: user.id,
        active: user.active,
        name: user.name.unwrap_or_default(),
        first_name: user.first_name.unwrap_or_default(),
        last_name: user.last_name.unwrap_or_default(),
        work_position: user.work_position.unwrap_or_default(),
        color: user.color.unwrap_or_default(),
        avatar: user.avatar.unwrap_or_default(),
        gender: user.gender.unwrap_or_default(),
        birthday: user.birthday.unwrap_or_default(),
        extranet: user.extranet,
        bot: user.bot,
        connector: user.connector,
        external_auth_id: user.external_auth_id.unwrap_or_default(),
        status: user.status.unwrap_or_default(),
        idle_since: user.idle.map(time),
        last_activity_date: user.last_activity_date.map(time),
        mobile_last_date: user.mobile_last_date.map(time),
        desktop_last_date: user.desktop_last_date.map(time),
        absent_since: user.absent.map(time),
        departments: user.departments,
        phones: user.phones.into_iter().filter_map(phone).collect(),
        r#type: user.kind.unwrap_or_default(),
        website: user.website.unwrap_or_default(),
        email: user.email.unwrap_or_default(),
    }
}

pub(super) fn bot(bot: Bot) -> pb::Bot {
    pb::Bot {
        id: bot.id,
        code: bot.code.unwrap_or_default(),
        r#type: bot.kind.unwrap_or_default(),
        is_hidden: bot.is_hidden,
        is_support_openline: bot.is_support_openline,
        is_reactions_enabled: bot.is_reactions_enabled,
        background_id: bot.background_id.unwrap_or_default(),
        language: bot.language.unwrap_or_default(),
        module_id: bot.module_id.unwrap_or_default(),
        event_mode: bot.event_mode.unwrap_or_default(),
        count_message: bot.count_message,
        count_command: bot.count_command,
        count_chat: bot.count_chat,
        count_user: bot.count_user,
    }
}

pub(super) fn command(command: Command) -> pb::Command {
    pb::Command {
        id: command.id,
        bot_id: command.bot_id.unwrap_or_default(),
        command: command.name().unwrap_or_default().to_owned(),
        common: command.common,
        hidden: command.hidden,
        extranet_support: command.extranet_support,
        title: command.title.unwrap_or_default(),
        params: command.params.unwrap_or_default(),
        category: command.category.unwrap_or_default(),
        context: command.context.unwrap_or_default(),
    }
}

pub(super) fn chat(chat: Chat) -> pb::Chat {
    // JSON text, which some portals send decoded.
    let views = chat.last_message_views.map(|views| match views {
        Value::String(text) => text,
        other => other.to_string(),
    });
    pb::Chat {
        id: chat.id,
        dialog_id: chat.dialog_id.unwrap_or_default(),
        name: chat.name.unwrap_or_default(),
        description: chat.description.unwrap_or_default(),
        r#type: chat.kind.unwrap_or_default(),
        message_type: chat.message_type.unwrap_or_default(),
        owner: chat.owner,
        color: chat.color.unwrap_or_default(),
        avatar: chat.avatar.unwrap_or_default(),
        extranet: chat.extranet,
        contains_collaber: chat.contains_collaber,
        is_new: chat.is_new,
        role: chat.role.unwrap_or_default(),
        mute_list: chat.mute_list,
        entity_type: chat.entity_type.unwrap_or_default(),
        entity_id: chat.entity_id.unwrap_or_default(),
        entity_data1: chat.entity_data1.unwrap_or_default(),
        entity_data2: chat.entity_data2.unwrap_or_default(),
        entity_data3: chat.entity_data3.unwrap_or_default(),
        entity_link: Some(json::to_struct(&chat.entity_link))
            .filter(|link| !link.fields.is_empty()),
        permissions: Some(json::to_struct(&chat.permissions))
            .filter(|permissions| !permissions.fields.is_empty()),
        disk_folder_id: chat.disk_folder_id,
        parent_chat_id: chat.parent_chat_id,
        parent_message_id: chat.parent_message_id,
        text_field_enabled: chat.text_field_enabled,
        background_id: chat.background_id.unwrap_or_default(),
        date_create: chat.date_create.map(time),
        last_message_id: chat.last_message_id,
        last_id: chat.last_id,
        unread_id: chat.unread_id,
        marked_id: chat.marked_id,
        manager_list: chat.manager_list,
        message_count: chat.message_count,
        user_counter: chat.user_counter,
        last_message_views: views.unwrap_or_default(),
        public_link: chat.public.as_ref().map(json::to_value),
    }
}

pub(super) fn message(message: Message) -> pb::Message {
    pb::Message {
        id: message.id,
        chat_id: message.chat_id,
        author_id: message.author_id,
        date: message.date.map(time),
        text: message.text.unwrap_or_default(),
        is_system: message.is_system,
        viewed_by_others: message.viewed_by_others,
        uuid: message.uuid.unwrap_or_default(),
        forward: message.forward.map(forward),
        params: Some(json::to_struct(&message.params)),
        unread: message.unread,
        viewed: message.viewed,
    }
}

fn forward(forward: Forward) -> pb::MessageForward {
    pb::MessageForward {
        id: forward.id.unwrap_or_default(),
        user_id: forward.user_id,
        chat_id: forward.chat_id,
        date: forward.date.map(time),
        chat_title: forward.chat_title.unwrap_or_default(),
        chat_type: forward.chat_type.unwrap_or_default(),
    }
}
