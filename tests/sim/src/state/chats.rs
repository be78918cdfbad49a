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
}

impl Chat {
    pub(crate) fn has(&self, user_id: i64) -> bool {
        self.members.contains(&user_id)
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
        let id = take(&mut self.ids.chat);
        let known: Vec<i64> = members
            .iter()
            .copied()
            .filter(|member| self.is_active(*member))
            .collect();
        let owner = known.first().copied().unwrap_or(0);
        let chat = Chat {
            id,
            title: title.to_owned(),
            private: false,
            owner,
            members: known.clone(),
        };
        self.chats.insert(id, chat);
        for bot_id in known.into_iter().filter(|member| *member != owner) {
            self.raise_join(bot_id, id, owner, now);
        }
        id
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
        if !chat.has(bot_id) {
            chat.members.push(bot_id);
            self.raise_join(bot_id, chat_id, by_user, now);
        }
        Ok(())
    }

    pub(crate) fn remove_from_chat(&mut self, user_id: i64, chat_id: i64) -> Result<(), Refusal> {
        self.group_chat_mut(chat_id)?
            .members
            .retain(|member| *member != user_id);
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
        let id = take(&mut self.ids.chat);
        let members = vec![one, other];
        let chat = Chat {
            id,
            title: String::new(),
            private: true,
            owner: one,
            members,
        };
        self.chats.insert(id, chat);
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
