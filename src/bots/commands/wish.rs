//! What is wished of a command, and the JSON that says it to Bitrix24.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::memory::{Wrote, by_language};
use crate::{
    bots::wish::set,
    ids::{CommandName, Language},
    portal::wire::Command,
};

/// A wish for a command.
#[derive(Debug, Clone)]
pub struct CommandWish {
    /// Its name.
    pub command: CommandName,
    /// Titles.
    pub title: BTreeMap<Language, String>,
    /// Hints.
    pub params: BTreeMap<Language, String>,
    /// Works everywhere.
    pub common: Option<bool>,
    /// Not shown.
    pub hidden: Option<bool>,
    /// For external users as well.
    pub extranet_support: Option<bool>,
}

/// A change of a command.
#[derive(Debug, Clone)]
pub struct CommandChange {
    /// A new name.
    pub rename: Option<CommandName>,
    /// Titles to set, or with `None` to remove.
    pub title: BTreeMap<Language, Option<String>>,
    /// Hints to set.
    pub params: BTreeMap<Language, String>,
    /// Works everywhere.
    pub common: Option<bool>,
    /// Not shown.
    pub hidden: Option<bool>,
    /// For external users as well.
    pub extranet_support: Option<bool>,
}

impl CommandWish {
    pub(super) fn titles(&self) -> BTreeMap<Language, Option<String>> {
        self.title
            .iter()
            .map(|(language, text)| (*language, Some(text.clone())))
            .collect()
    }

    pub(super) fn fields(&self) -> Value {
        let mut fields = Map::new();
        set(&mut fields, "command", Some(self.command.as_str()));
        if !self.title.is_empty() {
            set(&mut fields, "title", Some(by_language(self.title.clone())));
        }
        if !self.params.is_empty() {
            set(
                &mut fields,
                "params",
                Some(by_language(self.params.clone())),
            );
        }
        set(&mut fields, "common", self.common);
        set(&mut fields, "hidden", self.hidden);
        set(&mut fields, "extranetSupport", self.extranet_support);
        Value::Object(fields)
    }

    /// Paths of the wished fields that a command does not have.
    pub(super) fn differences(
        &self,
        command: &Command,
        memory: Option<&Wrote>,
    ) -> Vec<&'static str> {
        let mut paths = Vec::new();
        let mut note = |path, differs| {
            if differs {
                paths.push(path);
            }
        };
        // Without memory only the portal's own language is told; any of the wished texts may be it.
        let told = |text: &Option<String>, wished: &BTreeMap<Language, String>| {
            let text = text.as_deref().unwrap_or_default();
            if wished.is_empty() {
                text.is_empty()
            } else {
                wished.values().any(|wish| wish == text)
            }
        };
        match memory {
            Some(memory) => {
                note("title", memory.title != self.title);
                note("params", memory.params != self.params);
            }
            None => {
                note("title", !told(&command.title, &self.title));
                note("params", !told(&command.params, &self.params));
            }
        }
        let flag = |wish: Option<bool>, told: Option<bool>| {
            wish.zip(told).is_some_and(|(wish, told)| wish != told)
        };
        note("common", flag(self.common, command.common));
        note("hidden", flag(self.hidden, command.hidden));
        note(
            "extranet_support",
            flag(self.extranet_support, command.extranet_support),
        );
        paths
    }
}

impl CommandChange {
    /// Whether nothing is to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields() == json!({})
    }

    pub(super) fn fields(&self) -> Value {
        let mut fields = Map::new();
        set(
            &mut fields,
            "command",
            self.rename.as_ref().map(CommandName::as_str),
        );
        if !self.title.is_empty() {
            // A null deletes a translation; an absent key keeps it (C18.2).
            let titles = self
                .title
                .iter()
                .map(|(language, text)| (language.to_string(), json!(text)));
            set(&mut fields, "title", Some(Map::from_iter(titles)));
        }
        if !self.params.is_empty() {
            set(
                &mut fields,
                "params",
                Some(by_language(self.params.clone())),
            );
        }
        set(&mut fields, "common", self.common);
        set(&mut fields, "hidden", self.hidden);
        set(&mut fields, "extranetSupport", self.extranet_support);
        Value::Object(fields)
    }
}
