//! A chat (C14.3).

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::portal::wire::lenient::{Fields, Unreadable};

/// A chat: a group, a channel, a private dialog. Events omit `role`, `mute_list` and everything
/// marked "methods only".
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chat {
    /// Id of the chat.
    pub id: i64,
    /// `chat{id}`, or the id of the other user in a private dialog.
    pub dialog_id: Option<String>,
    /// Title.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// `chat`, `open`, `channel`, `private`, or a later type.
    pub kind: Option<String>,
    /// One letter: `C`, `O`, `P`, or others.
    pub message_type: Option<String>,
    /// User id of the owner.
    pub owner: Option<i64>,
    /// `#rrggbb`.
    pub color: Option<String>,
    /// Address of the picture; none when there is no picture.
    pub avatar: Option<String>,
    /// Has guests from outside the company.
    pub extranet: Option<bool>,
    /// Has collaborators from outside the company.
    pub contains_collaber: Option<bool>,
    /// Just made.
    pub is_new: Option<bool>,
    /// Role of the asker: `owner`, `manager`, `member`, `guest`, `none`.
    pub role: Option<String>,
    /// Users who muted the chat.
    pub mute_list: Vec<i64>,
    /// What the chat belongs to, e.g. `LINES` for an open channel; none for ordinary chats.
    pub entity_type: Option<String>,
    /// Id of what the chat belongs to.
    pub entity_id: Option<String>,
    /// First of three texts about what the chat belongs to.
    pub entity_data1: Option<String>,
    /// Second of them.
    pub entity_data2: Option<String>,
    /// Third of them.
    pub entity_data3: Option<String>,
    /// Link to what the chat belongs to.
    pub entity_link: Map<String, Value>,
    /// What members may do.
    pub permissions: Map<String, Value>,
    /// Folder of the chat's files.
    pub disk_folder_id: Option<i64>,
    /// Chat of which this is a thread.
    pub parent_chat_id: Option<i64>,
    /// Message of which this is the thread.
    pub parent_message_id: Option<i64>,
    /// Whether members can write.
    pub text_field_enabled: Option<bool>,
    /// Background of the dialog.
    pub background_id: Option<String>,
    /// Methods only: when the chat was made.
    pub date_create: Option<Timestamp>,
    /// Methods only: id of the newest message.
    pub last_message_id: Option<i64>,
    /// Methods only: id of the last message read.
    pub last_id: Option<i64>,
    /// Methods only: id of the first unread message.
    pub unread_id: Option<i64>,
    /// Methods only: id of the message marked as unread.
    pub marked_id: Option<i64>,
    /// Methods only: users who help the owner.
    pub manager_list: Vec<i64>,
    /// Methods only: number of messages.
    pub message_count: Option<i64>,
    /// Methods only: number of members.
    pub user_counter: Option<i64>,
    /// Methods only: who saw the newest message; JSON when the portal sends it as text.
    pub last_message_views: Option<Value>,
    /// Methods only: the public link, in whatever shape the portal has it.
    pub public: Option<Value>,
}

impl Chat {
    /// Reads a chat.
    ///
    /// # Errors
    /// When it is no object or has no `id`.
    pub fn from_value(value: &Value) -> Result<Self, Unreadable> {
        let fields = Fields::of(value)?;
        Ok(Self {
            id: fields.require_int("id")?,
            dialog_id: fields.filled("dialogId"),
            name: fields.text("name"),
            description: fields.text("description"),
            kind: fields.filled("type"),
            message_type: fields.filled("messageType"),
            owner: fields.int("owner"),
            color: fields.filled("color"),
            avatar: fields.filled("avatar"),
            extranet: fields.flag("extranet"),
            contains_collaber: fields.flag("containsCollaber"),
            is_new: fields.flag("isNew"),
            role: fields.filled("role"),
            mute_list: fields.ints("muteList"),
            entity_type: fields.filled("entityType"),
            entity_id: fields.filled("entityId"),
            entity_data1: fields.filled("entityData1"),
            entity_data2: fields.filled("entityData2"),
            entity_data3: fields.filled("entityData3"),
            entity_link: fields.map("entityLink"),
            permissions: fields.map("permissions"),
            disk_folder_id: fields.reference("diskFolderId"),
            parent_chat_id: fields.reference("parentChatId"),
            parent_message_id: fields.reference("parentMessageId"),
            text_field_enabled: fields.flag("textFieldEnabled"),
            background_id: fields.filled("backgroundId"),
            date_create: fields.time("dateCreate"),
            last_message_id: fields.reference("lastMessageId"),
            last_id: fields.reference("lastId"),
            unread_id: fields.reference("unreadId"),
            marked_id: fields.reference("markedId"),
            manager_list: fields.ints("managerList"),
            message_count: fields.int("messageCount"),
            user_counter: fields.int("userCounter"),
            last_message_views: fields.get("lastMessageViews").cloned(),
            public: fields
                .get("public")
                .filter(|value| value.as_str() != Some(""))
                .cloned(),
        })
    }
}
