//! Chats and who is in them.

use super::{State, take};
use crate::clock::UnixTime;
use crate::journal::Effect;
use crate::portal::Refusal;

/// A group chat, or the private dialog of two.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    pub(crate) id: i64,
    pub(crate) title: String,
    /// A dialog of exactly two.
    pub(crate) private: bool,
    pub(crate) owner: i64,
    pub(crate) members: Vec<i64>,
    pub(crate) managers: Vec<i64>,
    pub(crate) description: String,
    pub(crate) color: String,
    pub(crate) avatar: String,
    /// Open to everybody in the company.
    pub(crate) open: bool,
    pub(crate) entity: (String, String),
    pub(crate) created: UnixTime,
    /// People may write.
    pub(crate) text_field: bool,
}

impl Default for Chat {
    fn default() -> Self {
        Self {
            id: 0,
            title: String::new(),
            private: false,
            owner: 0,
            members: Vec::new(),
            managers: Vec::new(),
            description: String::new(),
            color: "#ab7761".to_owned(),
            avatar: String::new(),
            open: false,
            entity: (String::new(), String::new()),
            created: UnixTime::ZERO,
            text_field: true,
        }
    }
}

impl Chat {
    pub(crate) fn has(&self, user_id: i64) -> bool {
        self.members.contains(&user_id)
    }

    /// Somebody is no longer in it; an owner is followed by whoever is there longest.
    pub(crate) fn dismiss(&mut self, user_id: i64) {
        self.members.retain(|member| *member != user_id);
        self.managers.retain(|manager| *manager != user_id);
        if self.owner == user_id {
            self.owner = self.members.first().copied().unwrap_or(0);
        }
    }

    /// Whether somebody may decide who is in it.
    pub(crate) fn is_ruled_by(&self, user_id: i64) -> bool {
        self.owner == user_id || self.managers.contains(&user_id)
    }

    /// The name of this dialog from one side.
    pub(crate) fn dialog_id_for(&self, viewer: i64) -> String {
        if self.private && self.has(viewer) {
            let other = self.members.iter().find(|member| **member != viewer);
            return other.unwrap_or(&viewer).to_string();
        }
        format!("chat{}", self.id)
    }
}

/// How a dialog is named in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialogId {
    Chat(i64),
    Person(i64),
}

impl DialogId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, wrap): (&str, fn(i64) -> Self) = match text.strip_prefix("chat") {
            Some(number) => (number, Self::Chat),
            None => (text, Self::Person),
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|id| digits && *id > 0).map(wrap)
    }
}

impl State {
    pub(crate) fn add_group_chat(&mut self, title: &str, members: &[i64], now: UnixTime) -> i64 {
        let known = members.iter().copied();
        let mut known = known.filter(|member| self.is_active(*member));
        let owner = known.next().unwrap_or(0);
        let others: Vec<i64> = known.collect();
        let chat = Chat {
            title: title.to_owned(),
            owner,
            created: now,
            ..Chat::default()
        };
        let id = self.insert_chat(chat);
        if owner != 0 {
            self.admit_member(id, owner);
        }
        self.join(id, &others, owner, now);
        id
    }

    /// Gives a new chat its id.
    pub(crate) fn insert_chat(&mut self, chat: Chat) -> i64 {
        let id = take(&mut self.ids.chat);
        self.chats.insert(id, Chat { id, ..chat });
        id
    }

    /// Adds somebody without a word. False when they cannot be added or are there already.
    pub(crate) fn admit_member(&mut self, chat_id: i64, user_id: i64) -> bool {
        let active = self.is_active(user_id);
        let Some(chat) = self.chats.get_mut(&chat_id).filter(|_| active) else {
            return false;
        };
        let new = !chat.has(user_id);
        if new {
            chat.members.push(user_id);
        }
        new
    }

    /// `by` brings people and bots into a chat; those who can be told of it are told.
    pub(crate) fn join(&mut self, chat_id: i64, people: &[i64], by: i64, now: UnixTime) {
        for user_id in people {
            if self.admit_member(chat_id, *user_id) {
                self.raise_join(*user_id, chat_id, by, now);
            }
        }
    }

    pub(crate) fn is_active(&self, user_id: i64) -> bool {
        self.users.get(&user_id).is_some_and(|user| user.active)
    }

    pub(crate) fn add_bot_to_chat(
        &mut self,
        bot_id: i64,
        chat_id: i64,
        by_user: i64,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        if !self.bots.contains_key(&bot_id) {
            return Err(Refusal::NoBot(bot_id));
        }
        if !self.is_active(by_user) {
            return Err(Refusal::NoUser(by_user));
        }
        let chat = self.group_chat_mut(chat_id)?;
        if !chat.has(by_user) {
            return Err(Refusal::NotInChat {
                user_id: by_user,
                chat_id,
            });
        }
        self.join(chat_id, &[bot_id], by_user, now);
        Ok(())
    }

    pub(crate) fn remove_from_chat(&mut self, user_id: i64, chat_id: i64) -> Result<(), Refusal> {
        self.group_chat_mut(chat_id)?.dismiss(user_id);
        Ok(())
    }

    fn group_chat_mut(&mut self, chat_id: i64) -> Result<&mut Chat, Refusal> {
        let chat = self.chats.get_mut(&chat_id).filter(|chat| !chat.private);
        chat.ok_or_else(|| Refusal::NoDialog(format!("chat{chat_id}")))
    }

    /// The chat behind a dialog's name as `viewer` uses it; a private dialog is opened on demand.
    pub(crate) fn chat_of(&mut self, dialog: DialogId, viewer: i64, now: UnixTime) -> Option<i64> {
        match dialog {
            DialogId::Chat(id) => self.chats.contains_key(&id).then_some(id),
            DialogId::Person(other) if self.is_active(other) && other != viewer => {
                Some(self.private_chat(viewer, other, now))
            }
            DialogId::Person(_) => None,
        }
    }

    fn private_chat(&mut self, one: i64, other: i64, now: UnixTime) -> i64 {
        let pair = (one.min(other), one.max(other));
        if let Some(id) = self.private_chats.get(&pair) {
            return *id;
        }
        let id = self.insert_chat(Chat {
            private: true,
            owner: one,
            members: vec![one, other],
            created: now,
            ..Chat::default()
        });
        self.private_chats.insert(pair, id);
        self.record(now, Effect::PrivateChatOpened { chat_id: id });
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialogs_are_chats_or_people() {
        assert_eq!(DialogId::parse("chat5"), Some(DialogId::Chat(5)));
        assert_eq!(DialogId::parse("27"), Some(DialogId::Person(27)));
        for wrong in ["", "chat", "chat-5", "-5", "0", "5 ", "chat5x", "sg5"] {
            assert_eq!(DialogId::parse(wrong), None, "{wrong}");
        }
    }
}
