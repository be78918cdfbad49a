//! Users, bots, chats, messages and commands as JSON (C14).

use serde_json::{Map, Value, json};

use super::{Bot, Chat, Command, Message, State, User};
use crate::quirks::{BotForm, EntityShape, ForwardShape, LastActivity, MissingUuid, NothingIs};

impl State {
    /// A user as methods show one.
    pub(crate) fn user(&self, user: &User) -> Value {
        let mut map = Self::user_fields(user, Value::Bool(false));
        map.insert("network".into(), false.into());
        map.insert("avatarHr".into(), user.avatar.as_str().into());
        if user.bot {
            map.insert("botData".into(), self.written_map(Map::new()));
        }
        self.surprising(map)
    }

    /// The author of a message as methods show one; of a system message nobody.
    pub(crate) fn author(&self, user_id: i64) -> Value {
        let user = self.users.get(&user_id);
        user.map_or_else(|| json!([]), |user| self.user(user))
    }

    /// The user of this id in an event; a system author is nobody.
    pub(crate) fn event_user(&self, user_id: i64) -> Value {
        let Some(user) = self.users.get(&user_id) else {
            return json!([]);
        };
        let active = match self.quirks.last_activity {
            LastActivity::False => Value::Bool(false),
            LastActivity::Date => json!("2026-11-20T10:59:00+01:00"),
        };
        let full = Self::user_fields(user, active);
        let sample = ["website", "email", "mobileLastDate", "desktopLastDate"];
        self.shaped(full, self.quirks.event_user, &sample)
    }

    fn user_fields(user: &User, last_activity: Value) -> Map<String, Value> {
        let kind = match (user.bot, user.extranet) {
            (true, _) => "bot",
            (false, true) => "extranet",
            (false, false) => "employee",
        };
        object(json!({
            "id": user.id,
            "active": user.active,
            "name": user.full_name(),
            "firstName": user.first_name,
            "lastName": user.last_name,
            "workPosition": user.work_position,
            "color": user.color,
            "avatar": user.avatar,
            "gender": user.gender,
            "birthday": "",
            "extranet": user.extranet,
            "bot": user.bot,
            "connector": false,
            "externalAuthId": if user.bot { "bot" } else { "default" },
            "status": "online",
            "idle": false,
            "lastActivityDate": last_activity,
            "mobileLastDate": false,
            "desktopLastDate": false,
            "absent": false,
            "departments": [1],
            "phones": false,
            "type": kind,
            "website": "",
            "email": "",
        }))
    }

    /// A bot as its owner sees it.
    pub(crate) fn owned_bot(&self, bot: &Bot) -> Value {
        let mut map = self.bot_fields(bot);
        map.insert(
            "moduleId".into(),
            if bot.is_builtin() { "im" } else { "rest" }.into(),
        );
        map.insert("eventMode".into(), bot.event_mode.name().into());
        map.insert("countMessage".into(), bot.messages_heard.into());
        map.insert("countCommand".into(), bot.commands_heard.into());
        let chats = self.chats.values().filter(|chat| chat.has(bot.id));
        let (private, group): (Vec<&Chat>, Vec<&Chat>) = chats.partition(|chat| chat.private);
        map.insert("countChat".into(), group.len().into());
        map.insert("countUser".into(), private.len().into());
        let [rest, ..] = self.revision;
        if rest < 35 {
            map.insert("appId".into(), "local.67890abcdef12.34567890".into());
        }
        self.surprising(map)
    }

    /// A bot as anybody else sees it.
    pub(crate) fn foreign_bot(&self, bot: &Bot) -> Value {
        match self.quirks.foreign_bot {
            BotForm::Brief => self.surprising(self.bot_fields(bot)),
            BotForm::Reduced => json!({"id": bot.id, "code": bot.code, "type": bot.kind}),
        }
    }

    fn bot_fields(&self, bot: &Bot) -> Map<String, Value> {
        object(json!({
            "id": bot.id,
            "code": bot.code,
            "type": bot.kind,
            "isHidden": bot.hidden,
            "isSupportOpenline": bot.openline_support,
            "isReactionsEnabled": bot.reactions_enabled,
            "backgroundId": bot.background_id,
            "language": self.language,
        }))
    }

    /// A command in the short form of its register and update methods.
    pub(crate) fn command(&self, command: &Command) -> Value {
        self.surprising(Self::command_fields(command))
    }

    /// A command as `Command.list` shows it.
    pub(crate) fn listed_command(&self, command: &Command) -> Value {
        let (title, hint) = command.shown_in(&self.language);
        let bot = self
            .users
            .get(&command.bot_id)
            .map(User::full_name)
            .unwrap_or_default();
        let mut map = Self::command_fields(command);
        map.insert("title".into(), title.into());
        map.insert("params".into(), hint.into());
        map.insert("category".into(), bot.into());
        map.insert("context".into(), "".into());
        self.surprising(map)
    }

    fn command_fields(command: &Command) -> Map<String, Value> {
        object(json!({
            "id": command.id,
            "botId": command.bot_id,
            "command": format!("/{}", command.name),
            "common": command.common,
            "hidden": command.hidden,
            "extranetSupport": command.extranet_support,
        }))
    }

    /// A chat as methods show it to a bot.
    pub(crate) fn chat(&self, chat: &Chat, viewer: i64) -> Value {
        let mut map = self.chat_fields(chat, viewer);
        let role = match viewer {
            _ if chat.owner == viewer => "owner",
            _ if chat.managers.contains(&viewer) => "manager",
            _ if chat.has(viewer) => "member",
            _ => "none",
        };
        let inside = || self.messages.values().filter(|m| m.chat_id == chat.id);
        let last = inside().next_back().map(|message| message.id);
        let more = object(json!({
            "role": role,
            "muteList": [],
            "dateCreate": self.date(chat.created),
            "lastMessageId": last,
            "lastId": self.read_until(viewer, chat.id),
            "unreadId": 0,
            "markedId": 0,
            "managerList": chat.managers,
            "messageCount": inside().count(),
            "userCounter": chat.members.len(),
            "lastMessageViews": "[]",
            "public": "",
        }));
        map.extend(more);
        self.surprising(map)
    }

    /// A chat in an event, named as the receiving account names it.
    pub(crate) fn event_chat(&self, chat: &Chat, viewer: i64) -> Value {
        let full = self.chat_fields(chat, viewer);
        let left_out = [
            "description",
            "messageType",
            "extranet",
            "containsCollaber",
            "isNew",
            "entityId",
            "entityData1",
            "entityData2",
            "entityData3",
            "entityLink",
            "permissions",
            "diskFolderId",
            "parentChatId",
            "parentMessageId",
            "textFieldEnabled",
            "backgroundId",
        ];
        self.shaped(full, self.quirks.event_chat, &left_out)
    }

    fn chat_fields(&self, chat: &Chat, viewer: i64) -> Map<String, Value> {
        let (kind, message_type) = match (chat.private, chat.open) {
            (true, _) => ("private", "P"),
            (false, true) => ("open", "O"),
            (false, false) => ("chat", "C"),
        };
        let nothing = match self.quirks.no_parent {
            NothingIs::Zero => json!(0),
            NothingIs::Null => Value::Null,
        };
        let name = if chat.private {
            let others = chat.members.iter().filter(|member| **member != viewer);
            let names = others
                .filter_map(|id| self.users.get(id))
                .map(User::full_name);
            names.collect::<Vec<_>>().join(", ")
        } else {
            chat.title.clone()
        };
        let extranet = chat
            .members
            .iter()
            .any(|id| self.users.get(id).is_some_and(|u| u.extranet));
        object(json!({
            "id": chat.id,
            "dialogId": chat.dialog_id_for(viewer),
            "name": name,
            "description": chat.description,
            "type": kind,
            "messageType": message_type,
            "owner": chat.owner,
            "color": self.quirks.chat_color.then_some(chat.color.as_str()),
            "avatar": chat.avatar,
            "extranet": extranet,
            "containsCollaber": false,
            "isNew": false,
            "entityType": chat.entity.0,
            "entityId": chat.entity.1,
            "entityData1": "",
            "entityData2": "",
            "entityData3": "",
            "entityLink": self.written_map(Map::new()),
            "permissions": self.written_map(Map::new()),
            "diskFolderId": null,
            "parentChatId": nothing.clone(),
            "parentMessageId": nothing,
            "textFieldEnabled": if chat.text_field { "Y" } else { "N" },
            "backgroundId": null,
        }))
    }

    /// A message as methods show it to a bot.
    pub(crate) fn message(&self, message: &Message, viewer: i64) -> Value {
        let mut map = self.message_fields(message);
        let read = message.id <= self.read_until(viewer, message.chat_id);
        let viewed = read || message.author_id == viewer;
        map.insert("unread".into(), (!viewed).into());
        map.insert("viewed".into(), viewed.into());
        self.surprising(map)
    }

    /// A message in an event.
    pub(crate) fn event_message(&self, message: &Message) -> Value {
        let mut full = self.message_fields(message);
        if self.quirks.duplicate_message_keys {
            full.insert("chat_id".into(), message.chat_id.into());
            full.insert("author_id".into(), message.author_id.into());
            full.insert("block".into(), json!([]));
        }
        self.shaped(
            full,
            self.quirks.event_message,
            &["chat_id", "author_id", "block"],
        )
    }

    fn message_fields(&self, message: &Message) -> Map<String, Value> {
        let uuid = match (&message.uuid, self.quirks.missing_uuid) {
            (Some(uuid), _) => json!(uuid),
            (None, MissingUuid::Null) => Value::Null,
            (None, MissingUuid::EmptyString) => json!(""),
        };
        object(json!({
            "id": message.id,
            "chatId": message.chat_id,
            "authorId": message.author_id,
            "date": self.date(message.date),
            "text": message.text,
            "isSystem": message.author_id == 0,
            "uuid": uuid,
            "forward": self.forward(message),
            "params": self.written_map(Self::message_params(message)),
            "viewedByOthers": self.is_read_by_others(message),
        }))
    }

    fn forward(&self, message: &Message) -> Value {
        let Some(from) = message.forward else {
            return Value::Null;
        };
        let chat = self.chats.get(&from.chat_id);
        match self.quirks.forward {
            ForwardShape::Coded => json!({
                "id": format!("chat{}/{}", from.chat_id, from.message_id),
                "userId": from.author_id,
                "chatTitle": chat.map(|chat| chat.title.as_str()),
                "chatType": if chat.is_some_and(|chat| chat.private) { "private" } else { "chat" },
            }),
            ForwardShape::Documented => json!({
                "id": from.message_id,
                "userId": from.author_id,
                "chatId": from.chat_id,
                "date": self.date(from.date),
            }),
        }
    }

    fn message_params(message: &Message) -> Map<String, Value> {
        let mut params = Map::new();
        if let Some(attach) = &message.attach {
            params.insert("ATTACH".into(), attach.clone());
        }
        if let Some(keyboard) = &message.keyboard {
            params.insert("KEYBOARD".into(), keyboard.clone());
        }
        if let Some(reply_to) = message.reply_to {
            params.insert("REPLY_ID".into(), reply_to.into());
        }
        if let Some(file) = message.file {
            params.insert("FILE_ID".into(), json!([file]));
        }
        if message.deleted {
            params.insert("IS_DELETED".into(), "Y".into());
        }
        params
    }

    fn shaped(&self, mut full: Map<String, Value>, shape: EntityShape, beyond: &[&str]) -> Value {
        match shape {
            EntityShape::Full => self.surprising(full),
            EntityShape::Sample => {
                full.retain(|name, _| !beyond.contains(&name.as_str()));
                Value::Object(full)
            }
            EntityShape::IdOnly => json!({"id": full.get("id")}),
            EntityShape::Empty => json!([]),
        }
    }

    /// Adds what nobody documented, when that is asked for.
    fn surprising(&self, mut map: Map<String, Value>) -> Value {
        if self.quirks.unknown_fields {
            map.insert(
                "introducedLater".into(),
                json!({"level": 3, "tags": ["x", null]}),
            );
        }
        Value::Object(map)
    }
}

/// The members of an object literal.
fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value {
        map
    } else {
        Map::new()
    }
}
