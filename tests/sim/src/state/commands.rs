//! Slash commands of bots.

use std::collections::BTreeMap;

use super::{State, take};

/// A registered command.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) id: i64,
    pub(crate) bot_id: i64,
    /// Without slash.
    pub(crate) name: String,
    /// By language.
    pub(crate) titles: BTreeMap<String, String>,
    /// By language, only for languages with a title.
    pub(crate) hints: BTreeMap<String, String>,
    pub(crate) common: bool,
    pub(crate) hidden: bool,
    pub(crate) extranet_support: bool,
}

impl Command {
    /// Title and hint in a language, or in the default one, or in any.
    pub(crate) fn shown_in(&self, language: &str) -> (&str, &str) {
        let known = [language, "en"]
            .into_iter()
            .find(|lang| self.titles.contains_key(*lang));
        let language = known.or_else(|| self.titles.keys().next().map(String::as_str));
        let Some(language) = language else {
            return ("", "");
        };
        let title = self.titles.get(language).map_or("", String::as_str);
        let hint = self.hints.get(language).map_or("", String::as_str);
        (title, hint)
    }
}

impl State {
    /// Gives a new command its id.
    pub(crate) fn insert_command(&mut self, command: Command) -> i64 {
        let id = take(&mut self.ids.command);
        self.commands.insert(id, Command { id, ..command });
        id
    }

    pub(crate) fn command_named(&self, bot_id: i64, name: &str) -> Option<&Command> {
        self.commands
            .values()
            .find(|command| command.bot_id == bot_id && command.name == name)
    }

    /// A command of this bot.
    pub(crate) fn command_of(&self, bot_id: i64, command_id: i64) -> Option<&Command> {
        self.commands
            .get(&command_id)
            .filter(|command| command.bot_id == bot_id)
    }
}
