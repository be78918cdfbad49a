//! What we wrote of each command, kept with its bot.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    bots::{Bots, Error, Name},
    ids::Language,
    store,
};

/// What we wrote of a command.
#[derive(Debug, Default)]
pub(super) struct Wrote {
    pub(super) title: BTreeMap<Language, String>,
    pub(super) params: BTreeMap<Language, String>,
}

impl Bots {
    pub(super) fn remembered(&self, name: &Name, command_id: i64) -> Option<Wrote> {
        let known = self.known();
        let stored = known.get(name)?.commands.get(command_id.to_string())?;
        let texts = |key: &str| {
            let texts = stored.get(key).and_then(Value::as_object)?;
            let pair = |(language, text): (&String, &Value)| {
                Some((
                    language.parse::<Language>().ok()?,
                    text.as_str()?.to_owned(),
                ))
            };
            texts.iter().map(pair).collect::<Option<BTreeMap<_, _>>>()
        };
        Some(Wrote {
            title: texts("title")?,
            params: texts("params")?,
        })
    }

    pub(super) async fn remember(
        &self,
        name: &Name,
        command_id: i64,
        title: &BTreeMap<Language, Option<String>>,
        params: &BTreeMap<Language, String>,
    ) -> Result<(), Error> {
        let mut wrote = self.remembered(name, command_id).unwrap_or_default();
        for (language, text) in title {
            match text {
                Some(text) => wrote.title.insert(*language, text.clone()),
                None => {
                    wrote.params.remove(language);
                    wrote.title.remove(language)
                }
            };
        }
        wrote.params.extend(
            params
                .iter()
                .map(|(language, text)| (*language, text.clone())),
        );
        let entry =
            json!({ "title": by_language(wrote.title), "params": by_language(wrote.params) });
        self.edit_memory(name, |commands| {
            commands.insert(command_id.to_string(), entry);
        })
        .await
    }

    pub(super) async fn forget_command(&self, name: &Name, command_id: i64) -> Result<(), Error> {
        self.edit_memory(name, |commands| {
            commands.remove(&command_id.to_string());
        })
        .await
    }

    async fn edit_memory(
        &self,
        name: &Name,
        edit: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<(), Error> {
        let known = self.known().get(name).cloned();
        let Some(bot) = known else {
            return Ok(());
        };
        let mut commands = bot.commands.as_object().cloned().unwrap_or_default();
        edit(&mut commands);
        let commands = Value::Object(commands);
        self.keep(store::Bot { commands, ..bot }).await
    }
}

pub(super) fn by_language(texts: BTreeMap<Language, String>) -> Value {
    texts
        .into_iter()
        .map(|(language, text)| (language.to_string(), text))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect()
}
