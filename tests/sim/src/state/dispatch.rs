//! Who is told of a message, and as what (C13).
//!
//! Every line that begins with a slash may call commands. A message in which any command matched
//! is told as commands only, and as a message to nobody; otherwise bots hear of it by their type.
//! Messages of bots are told to no bot.

use serde_json::{Map, Value, json};

use super::{Chat, Command, DialogId, Message, State};
use crate::clock::UnixTime;
use crate::journal::Effect;

/// How long a bot may answer a command in a dialog.
const ANSWER_WINDOW: UnixTime = UnixTime::from_secs(600);
/// How many different commands of one message are processed.
const MOST_COMMANDS: usize = 10;
/// Commands of the messenger itself; they count as matched.
const BUILT_IN: [&str; 5] = ["me", "loud", "rename", "getDialogId", "webrtcDebug"];

/// The different commands of a text: names and the rest of their lines.
fn commands_in(text: &str, all: bool) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(call) = line.strip_prefix('/') else {
            continue;
        };
        let pair = call.split_once(' ').unwrap_or((call, ""));
        if !pair.0.is_empty() && (all || !found.contains(&pair)) {
            found.push(pair);
        }
    }
    if !all {
        found.truncate(MOST_COMMANDS);
    }
    found
}

impl State {
    /// Tells bots of a new message.
    pub(crate) fn raise_message(&mut self, message_id: i64, now: UnixTime) {
        let Some(message) = self.messages.get(&message_id) else {
            return;
        };
        let author = message.author_id;
        if self.is_bot(author) {
            return;
        }
        let text = message.text.clone();
        let matched = author != 0 && self.dispatch_typed(message_id, author, &text, now);
        if matched && self.quirks.commands_hide_messages {
            return;
        }
        for bot_id in self.listeners(message_id) {
            if let Some(bot) = self.bots.get_mut(&bot_id) {
                bot.messages_heard += 1;
            }
            let data = self.message_data(bot_id, message_id, author);
            self.log_event(bot_id, "ONIMBOTV2MESSAGEADD", data, now);
        }
    }

    /// Tells bots of the commands in a typed message; whether any matched.
    fn dispatch_typed(&mut self, message_id: i64, author: i64, text: &str, now: UnixTime) -> bool {
        let mut matched = false;
        for (name, params) in commands_in(text, self.quirks.repeated_commands_are_heard) {
            matched |= BUILT_IN.contains(&name);
            for (bot_id, command_id) in self.answering(name, author, message_id) {
                matched = true;
                let call = Called {
                    command_id,
                    params,
                    context: "textarea",
                    caller: author,
                };
                self.dispatch(bot_id, message_id, &call, now);
            }
        }
        matched
    }

    /// Bots and their commands of this name that `caller` can reach from the message's chat.
    fn answering(&self, name: &str, caller: i64, message_id: i64) -> Vec<(i64, i64)> {
        let chat = self
            .messages
            .get(&message_id)
            .and_then(|m| self.chats.get(&m.chat_id));
        let Some(chat) = chat else { return Vec::new() };
        let extranet = self.users.get(&caller).is_some_and(|user| user.extranet);
        let reachable = |command: &&Command| {
            command.name == name
                && (command.common || chat.has(command.bot_id))
                && (command.extranet_support || !extranet)
        };
        let found = self.commands.values().filter(reachable);
        found.map(|command| (command.bot_id, command.id)).collect()
    }

    /// A command called without typing it: a button, or `im.message.command`. In a private dialog
    /// the named bot alone is asked, elsewhere every bot that knows the command.
    pub(crate) fn press_command(
        &mut self,
        caller: i64,
        message_id: i64,
        bot_id: i64,
        name: &str,
        params: &str,
        now: UnixTime,
    ) {
        let chat = self
            .messages
            .get(&message_id)
            .and_then(|m| self.chats.get(&m.chat_id));
        let private = chat.is_some_and(|chat| chat.private);
        for (owner, command_id) in self.answering(name, caller, message_id) {
            if !private || owner == bot_id {
                let call = Called {
                    command_id,
                    params,
                    context: "keyboard",
                    caller,
                };
                self.dispatch(owner, message_id, &call, now);
            }
        }
    }

    fn dispatch(&mut self, bot_id: i64, message_id: i64, call: &Called<'_>, now: UnixTime) {
        let Some(message) = self.messages.get_mut(&message_id) else {
            return;
        };
        let chat_id = message.chat_id;
        let chat = self.chats.get(&chat_id);
        let own_dialog = chat.is_some_and(|chat| chat.private && chat.has(bot_id));
        if own_dialog && call.context == "textarea" && !message.typed_for.contains(&bot_id) {
            message.typed_for.push(bot_id);
        }
        self.answer_windows
            .insert((bot_id, chat_id), now + ANSWER_WINDOW);
        if let Some(bot) = self.bots.get_mut(&bot_id) {
            bot.commands_heard += 1;
        }
        self.record(
            now,
            Effect::CommandDispatched {
                bot_id,
                command_id: call.command_id,
                message_id,
                params: call.params.to_owned(),
                context: call.context,
            },
        );
        let name = self
            .commands
            .get(&call.command_id)
            .map_or("", |command| &command.name);
        let command = json!({
            "id": call.command_id,
            "command": format!("/{name}"),
            "params": call.params,
            "context": call.context,
        });
        let mut data = self.message_data(bot_id, message_id, call.caller);
        data.insert("command".into(), command);
        self.log_event(bot_id, "ONIMBOTV2COMMANDADD", data, now);
    }

    /// Whether the bot may still answer there.
    pub(crate) fn may_answer(&self, bot_id: i64, message: &Message, now: UnixTime) -> bool {
        let until = self.answer_windows.get(&(bot_id, message.chat_id));
        let in_time = until.is_some_and(|until| now < *until);
        let any_time = message.typed_for.contains(&bot_id) || !self.quirks.late_answers_are_dropped;
        in_time || any_time
    }

    /// Tells whoever listens that a message changed; of their own messages bots are not told.
    pub(crate) fn raise_update(&mut self, message_id: i64, now: UnixTime) {
        self.tell_people(message_id, "ONIMV2MESSAGEUPDATE", now);
        let Some(author) = self.messages.get(&message_id).map(|m| m.author_id) else {
            return;
        };
        if self.is_bot(author) {
            return;
        }
        for bot_id in self.listeners(message_id) {
            let data = self.message_data(bot_id, message_id, author);
            self.log_event(bot_id, "ONIMBOTV2MESSAGEUPDATE", data, now);
        }
    }

    /// Tells whoever listens that a message goes; of their own messages bots are not told.
    pub(crate) fn raise_delete(&mut self, message_id: i64, now: UnixTime) {
        self.tell_people_of_deletion(message_id, now);
        let Some(author) = self.messages.get(&message_id).map(|m| m.author_id) else {
            return;
        };
        if self.is_bot(author) {
            return;
        }
        for bot_id in self.listeners(message_id) {
            let mut data = self.message_data(bot_id, message_id, author);
            data.remove("message");
            data.insert("messageId".into(), message_id.into());
            self.log_event(bot_id, "ONIMBOTV2MESSAGEDELETE", data, now);
        }
    }

    /// Tells a bot that somebody else reacted to its message.
    pub(crate) fn raise_reaction(
        &mut self,
        message_id: i64,
        user_id: i64,
        reaction: &str,
        action: &str,
        now: UnixTime,
    ) {
        self.tell_people_of_reaction(message_id, user_id, reaction, action, now);
        if self.is_bot(user_id) {
            return;
        }
        let Some(bot_id) = self.messages.get(&message_id).map(|m| m.author_id) else {
            return;
        };
        if !self
            .bots
            .get(&bot_id)
            .is_some_and(|bot| bot.reactions_enabled)
        {
            return;
        }
        let mut data = self.message_data(bot_id, message_id, user_id);
        data.insert("reaction".into(), reaction.into());
        data.insert("action".into(), action.into());
        self.log_event(bot_id, "ONIMBOTV2REACTIONCHANGE", data, now);
    }

    /// Tells a bot that it is in a chat now, and people who subscribed that somebody is.
    pub(crate) fn raise_join(&mut self, bot_id: i64, chat_id: i64, by: i64, now: UnixTime) {
        self.tell_people_of_join(chat_id, bot_id, now);
        let Some(chat) = self
            .chats
            .get(&chat_id)
            .filter(|_| self.bots.contains_key(&bot_id))
        else {
            return;
        };
        let mut data = self.common_data(bot_id, chat, by);
        data.insert("dialogId".into(), chat.dialog_id_for(bot_id).into());
        self.log_event(bot_id, "ONIMBOTV2JOINCHAT", data, now);
    }

    /// Tells a bot that a person opened their dialog with a context.
    pub(crate) fn raise_context(
        &mut self,
        bot_id: i64,
        person: i64,
        context: Map<String, Value>,
        now: UnixTime,
    ) {
        let chat_id = self.chat_of(DialogId::Person(bot_id), person, now);
        let Some(chat) = chat_id.and_then(|id| self.chats.get(&id)) else {
            return;
        };
        let mut data = self.common_data(bot_id, chat, person);
        data.insert("dialogId".into(), chat.dialog_id_for(bot_id).into());
        data.insert("context".into(), Value::Object(context));
        self.log_event(bot_id, "ONIMBOTV2CONTEXTGET", data, now);
    }

    /// The bots that hear an ordinary message.
    fn listeners(&self, message_id: i64) -> Vec<i64> {
        let Some(message) = self.messages.get(&message_id) else {
            return Vec::new();
        };
        let Some(chat) = self.chats.get(&message.chat_id) else {
            return Vec::new();
        };
        let hears = |bot_id: &&i64| {
            self.bots.get(*bot_id).is_some_and(|bot| {
                bot.hears_everything() || chat.private || mentions(&message.text, bot.id)
            })
        };
        chat.members.iter().filter(hears).copied().collect()
    }

    fn is_bot(&self, user_id: i64) -> bool {
        self.users.get(&user_id).is_some_and(|user| user.bot)
    }

    pub(super) fn message_data(
        &self,
        bot_id: i64,
        message_id: i64,
        user_id: i64,
    ) -> Map<String, Value> {
        let Some(message) = self.messages.get(&message_id) else {
            return Map::new();
        };
        let Some(chat) = self.chats.get(&message.chat_id) else {
            return Map::new();
        };
        let mut data = self.common_data(bot_id, chat, user_id);
        data.insert("message".into(), self.event_message(message));
        data
    }

    pub(super) fn common_data(&self, bot_id: i64, chat: &Chat, user_id: i64) -> Map<String, Value> {
        let mut data = Map::new();
        if let Some(bot) = self.bots.get(&bot_id) {
            data.insert("bot".into(), self.owned_bot(bot));
        }
        data.insert("chat".into(), self.event_chat(chat, bot_id));
        data.insert("user".into(), self.event_user(user_id));
        data.insert("language".into(), self.language.as_str().into());
        data
    }
}

/// One call of a command.
struct Called<'a> {
    command_id: i64,
    params: &'a str,
    context: &'static str,
    caller: i64,
}

/// Whether the text mentions this account with a USER code.
fn mentions(text: &str, user_id: i64) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        rest = &rest[at + 1..];
        let Some((tag, _)) = rest.split_once(']') else {
            return false;
        };
        let Some((name, value)) = tag.split_once('=') else {
            continue;
        };
        let id = value.split(' ').next().unwrap_or(value);
        if name.eq_ignore_ascii_case("user") && id.parse() == Ok(user_id) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_begins_with_a_slash_is_a_command() {
        let text = "/help a b\nhello /not\n /neither\n/Task\n/help a b\n/ x";
        assert_eq!(commands_in(text, false), [("help", "a b"), ("Task", "")]);
    }

    #[test]
    fn ten_different_commands_of_a_message_are_processed() {
        let text: String = (0..15).map(|n| format!("/c {n}\n")).collect();
        assert_eq!(commands_in(&text, false).len(), 10);
        assert_eq!(commands_in(&text, true).len(), 15);
    }

    #[test]
    fn a_mention_names_exactly_one_account() {
        assert!(mentions("hi [USER=25]Bot[/USER]", 25));
        assert!(mentions("[b]x[/b] [user=25 replace]Bot[/user]", 25));
        assert!(!mentions("[USER=251]Bot[/USER]", 25));
        assert!(!mentions("[USER=25", 25));
    }
}
