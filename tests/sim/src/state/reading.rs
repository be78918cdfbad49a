//! Who has read how far.

use super::{Message, State};

impl State {
    /// The last message of a chat this account has read; 0 = none.
    pub(crate) fn read_until(&self, user_id: i64, chat_id: i64) -> i64 {
        let read = self.read_marks.get(&(user_id, chat_id));
        read.copied().unwrap_or(0)
    }

    pub(super) fn is_read_by_others(&self, message: &Message) -> bool {
        let Some(chat) = self.chats.get(&message.chat_id) else {
            return false;
        };
        let others = chat.members.iter().filter(|id| **id != message.author_id);
        others
            .into_iter()
            .any(|id| self.read_until(*id, message.chat_id) >= message.id)
    }

    /// Reads up to and including a message, or everything. Answers what was new to the reader.
    pub(crate) fn read(&mut self, user_id: i64, chat_id: i64, until: Option<i64>) -> Vec<i64> {
        let before = self.read_until(user_id, chat_id);
        let until = until.unwrap_or(i64::MAX);
        let inside = self.messages.values();
        let inside = inside.filter(|message| message.chat_id == chat_id && message.id <= until);
        let last = inside.clone().map(|message| message.id).max().unwrap_or(0);
        let new = inside.filter(|message| message.id > before && message.author_id != user_id);
        let new: Vec<i64> = new.map(|message| message.id).collect();
        self.read_marks.insert((user_id, chat_id), before.max(last));
        new
    }

    /// Messages of others this account has not read.
    pub(crate) fn unread(&self, user_id: i64, chat_id: i64) -> usize {
        let read = self.read_until(user_id, chat_id);
        let inside = self.messages.values();
        inside
            .filter(|message| {
                message.chat_id == chat_id && message.id > read && message.author_id != user_id
            })
            .count()
    }
}
