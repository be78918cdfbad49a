//! Copies of a portal's objects for tests to look at.

use super::{Bot, Command, Message, Owner, State};
use crate::view;

impl State {
    /// Messages of `chatN`, or of the private dialog `A:B`.
    pub(crate) fn messages_of(&self, dialog_id: &str) -> Vec<view::Message> {
        let chat_id = match dialog_id.strip_prefix("chat") {
            Some(id) => id.parse().ok(),
            None => dialog_id.split_once(':').and_then(|(one, other)| {
                let (one, other): (i64, i64) = (one.parse().ok()?, other.parse().ok()?);
                self.private_chats
                    .get(&(one.min(other), one.max(other)))
                    .copied()
            }),
        };
        let inside = self
            .messages
            .values()
            .filter(|message| Some(message.chat_id) == chat_id);
        inside.map(seen).collect()
    }

    pub(crate) fn message_view(&self, message_id: i64) -> Option<view::Message> {
        self.messages.get(&message_id).map(seen)
    }

    pub(crate) fn bot_views(&self) -> Vec<view::BotView> {
        let registered = self.bots.values().filter(|bot| !bot.is_builtin());
        registered.map(|bot| self.bot_view(bot)).collect()
    }

    fn bot_view(&self, bot: &Bot) -> view::BotView {
        let account = self.users.get(&bot.id).cloned().unwrap_or_default();
        view::BotView {
            id: bot.id,
            code: bot.code.clone(),
            kind: bot.kind.clone(),
            name: account.first_name,
            last_name: account.last_name,
            work_position: account.work_position,
            gender: account.gender,
            color: account.color,
            avatar: account.avatar,
            token: match &bot.owner {
                Owner::Token(token) => Some(token.clone()),
                Owner::Application(_) | Owner::Portal => None,
            },
            client_id: match &bot.owner {
                Owner::Application(client_id) => Some(client_id.clone()),
                Owner::Token(_) | Owner::Portal => None,
            },
            event_mode: bot.event_mode.name().to_owned(),
            webhook_url: bot.webhook_url.clone(),
            hidden: bot.hidden,
            openline_support: bot.openline_support,
            reactions_enabled: bot.reactions_enabled,
            background_id: bot.background_id.clone(),
        }
    }

    pub(crate) fn command_views(&self, bot_id: i64) -> Vec<view::CommandView> {
        let of_bot = self
            .commands
            .values()
            .filter(|command| command.bot_id == bot_id);
        of_bot.map(command_view).collect()
    }
}

fn command_view(command: &Command) -> view::CommandView {
    view::CommandView {
        id: command.id,
        bot_id: command.bot_id,
        name: command.name.clone(),
        titles: command.titles.clone().into_iter().collect(),
        params: command.hints.clone().into_iter().collect(),
        common: command.common,
        hidden: command.hidden,
        extranet_support: command.extranet_support,
    }
}

fn seen(message: &Message) -> view::Message {
    view::Message {
        id: message.id,
        chat_id: message.chat_id,
        author_id: message.author_id,
        date: message.date,
        text: message.text.clone(),
        system: message.author_id == 0,
        uuid: message.uuid.clone(),
        keyboard: message.keyboard.clone(),
        attach: message.attach.clone(),
        reply_to: message.reply_to,
        forwarded_from: message.forward.map(|forward| forward.message_id),
        deleted: message.deleted,
        url_preview: message.url_preview,
        reactions: message.reactions.clone(),
        raw: message.raw.clone(),
    }
}
