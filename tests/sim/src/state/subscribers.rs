//! Events of people: the log of whoever subscribed to it (C13, C23).
//!
//! A person's log is a log like a bot's, under the person's id.

use serde_json::{Map, Value};

use super::State;
use crate::clock::UnixTime;

impl State {
    /// The people of a chat who want to hear of it.
    fn subscribers(&self, chat_id: i64) -> Vec<i64> {
        let Some(chat) = self.chats.get(&chat_id) else {
            return Vec::new();
        };
        let members = chat.members.iter();
        members
            .filter(|id| self.subscribed.contains(id))
            .copied()
            .collect()
    }

    /// Tells subscribers of a message that is new or has changed.
    pub(super) fn tell_people(&mut self, message_id: i64, kind: &'static str, now: UnixTime) {
        let Some(message) = self.messages.get(&message_id) else {
            return;
        };
        let (chat_id, author) = (message.chat_id, message.author_id);
        for person in self.subscribers(chat_id) {
            let data = self.data_for_person(person, message_id, author);
            self.log_for_person(person, kind, data, now);
        }
    }

    /// Tells subscribers that a message goes.
    pub(super) fn tell_people_of_deletion(&mut self, message_id: i64, now: UnixTime) {
        let Some(message) = self.messages.get(&message_id) else {
            return;
        };
        let (chat_id, author) = (message.chat_id, message.author_id);
        for person in self.subscribers(chat_id) {
            let mut data = self.data_for_person(person, message_id, author);
            data.remove("message");
            data.insert("messageId".into(), message_id.into());
            self.log_for_person(person, "ONIMV2MESSAGEDELETE", data, now);
        }
    }

    /// Tells subscribers that somebody reacted.
    pub(super) fn tell_people_of_reaction(
        &mut self,
        message_id: i64,
        user_id: i64,
        reaction: &str,
        action: &str,
        now: UnixTime,
    ) {
        let Some(chat_id) = self.messages.get(&message_id).map(|m| m.chat_id) else {
            return;
        };
        for person in self.subscribers(chat_id) {
            let mut data = self.data_for_person(person, message_id, user_id);
            data.insert("reaction".into(), reaction.into());
            data.insert("action".into(), action.into());
            self.log_for_person(person, "ONIMV2REACTIONCHANGE", data, now);
        }
    }

    /// Tells subscribers that somebody is in their chat now.
    pub(super) fn tell_people_of_join(&mut self, chat_id: i64, added: i64, now: UnixTime) {
        for person in self.subscribers(chat_id) {
            let Some(chat) = self.chats.get(&chat_id) else {
                return;
            };
            let mut data = self.common_data(person, chat, added);
            data.insert("dialogId".into(), chat.dialog_id_for(person).into());
            self.log_for_person(person, "ONIMV2JOINCHAT", data, now);
        }
    }

    fn data_for_person(&self, person: i64, message_id: i64, user_id: i64) -> Map<String, Value> {
        // A person is no bot, so there is no bot in it.
        self.message_data(person, message_id, user_id)
    }
}
