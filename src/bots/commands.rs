//! Slash commands of a bot.
//!
//! Bitrix24 tells titles and hints only in the portal's own language. So what we wrote is remembered,
//! and a wish is compared with that; where we do not remember, with the little that is told.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Bots, Error, IfExists, Name, Outcome, directory::Identity, execute::done, wish::set};
use crate::{
    ids::{CommandName, Language},
    portal::{
        self, Cause, Patience, Portal,
        wire::{Command, Method, Reply, answer},
    },
    store,
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

/// Which command is meant.
#[derive(Debug, Clone)]
pub enum CommandTarget {
    /// By name.
    Name(CommandName),
    /// By the portal's id.
    Id(i64),
}

impl Bots {
    /// Makes sure a command exists.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], or whatever the portal or the store says.
    pub async fn register_command(
        &self,
        name: Name,
        wish: CommandWish,
        if_exists: IfExists,
        patience: &Patience,
    ) -> Result<(Command, Outcome, Vec<&'static str>), Error> {
        let portal = self.portal(&name.0)?.clone();
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = self.identity(&name.0, &name.1)?;
        let listed = self.commands_of(&portal, &bot, patience).await?;
        let existing = listed
            .into_iter()
            .find(|command| command.name() == Some(wish.command.as_str()));
        let Some(existing) = existing else {
            let call = bot
                .call(Method::CommandRegister)
                .with("fields", wish.fields());
            let reply = portal.call(call, patience).await?;
            let command = command(&portal, Method::CommandRegister, &reply)?;
            self.remember(&name, command.id, &wish.titles(), &wish.params)
                .await?;
            return Ok((command, Outcome::Created, Vec::new()));
        };
        let memory = self.remembered(&name, existing.id);
        let unapplied = wish.differences(&existing, memory.as_ref());
        if unapplied.is_empty() {
            return Ok((existing, Outcome::Unchanged, unapplied));
        }
        if if_exists == IfExists::Return {
            return Ok((existing, Outcome::Differs, unapplied));
        }
        // Languages that are no longer wished go, as far as we know of them.
        let mut title = wish.titles();
        for language in memory.iter().flat_map(|memory| memory.title.keys()) {
            title.entry(*language).or_insert(None);
        }
        let change = CommandChange {
            rename: None,
            title,
            params: wish.params,
            common: wish.common,
            hidden: wish.hidden,
            extranet_support: wish.extranet_support,
        };
        let command = self
            .change(&portal, &name, &bot, existing.id, change, patience)
            .await?;
        Ok((command, Outcome::Updated, Vec::new()))
    }

    /// Changes a command.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], [`Error::UnknownCommand`], [`Error::RenameNotApplied`], or whatever the
    /// portal or the store says.
    pub async fn update_command(
        &self,
        name: Name,
        target: CommandTarget,
        change: CommandChange,
        patience: &Patience,
    ) -> Result<Command, Error> {
        let portal = self.portal(&name.0)?.clone();
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = self.identity(&name.0, &name.1)?;
        let id = self.resolve(&portal, &bot, target, patience).await?;
        self.change(&portal, &name, &bot, id, change, patience)
            .await
    }

    /// The commands of a bot, in order of their ids.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], or whatever the portal says.
    pub async fn list_commands(
        &self,
        name: &Name,
        patience: &Patience,
    ) -> Result<Vec<Command>, Error> {
        let portal = self.portal(&name.0)?;
        let bot = self.identity(&name.0, &name.1)?;
        let mut commands = self.commands_of(portal, &bot, patience).await?;
        commands.sort_by_key(|command| command.id);
        Ok(commands)
    }

    /// Removes a command.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], or whatever the portal or the store says.
    pub async fn unregister_command(
        &self,
        name: Name,
        target: CommandTarget,
        patience: &Patience,
    ) -> Result<(), Error> {
        let portal = self.portal(&name.0)?.clone();
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = self.identity(&name.0, &name.1)?;
        let id = match self.resolve(&portal, &bot, target, patience).await {
            Ok(id) => id,
            Err(Error::UnknownCommand { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let call = bot.call(Method::CommandUnregister).with("commandId", id);
        match portal.call(call, patience).await {
            Ok(reply) => done(&portal, Method::CommandUnregister, &reply)?,
            Err(error) if matches!(error.cause(), Cause::CommandMissing) => {}
            Err(error) => return Err(error.into()),
        }
        self.forget_command(&name, id).await
    }

    async fn change(
        &self,
        portal: &Portal,
        name: &Name,
        bot: &Identity,
        id: i64,
        change: CommandChange,
        patience: &Patience,
    ) -> Result<Command, Error> {
        let call = bot
            .call(Method::CommandUpdate)
            .with("commandId", id)
            .with("fields", change.fields());
        let reply = portal.call(call, patience).await?;
        let mut command = command(portal, Method::CommandUpdate, &reply)?;
        self.remember(name, command.id, &change.title, &change.params)
            .await?;
        if let Some(rename) = change.rename {
            if command.name().is_none() {
                let listed = self.commands_of(portal, bot, patience).await?;
                command = listed
                    .into_iter()
                    .find(|command| command.id == id)
                    .unwrap_or(command);
            }
            // Some portals check a new name and drop it (C18.2).
            if command.name() != Some(rename.as_str()) {
                let kept = command.name().unwrap_or_default().to_owned();
                return Err(Error::RenameNotApplied { kept });
            }
        }
        Ok(command)
    }

    async fn resolve(
        &self,
        portal: &Portal,
        bot: &Identity,
        target: CommandTarget,
        patience: &Patience,
    ) -> Result<i64, Error> {
        let wanted = match target {
            CommandTarget::Id(id) => return Ok(id),
            CommandTarget::Name(wanted) => wanted,
        };
        let listed = self.commands_of(portal, bot, patience).await?;
        let found = listed
            .iter()
            .find(|command| command.name() == Some(wanted.as_str()));
        found
            .map(|command| command.id)
            .ok_or_else(|| Error::UnknownCommand {
                bot: bot.name.1.clone(),
                command: wanted.to_string(),
            })
    }

    async fn commands_of(
        &self,
        portal: &Portal,
        bot: &Identity,
        patience: &Patience,
    ) -> Result<Vec<Command>, Error> {
        let reply = portal.call(bot.call(Method::CommandList), patience).await?;
        answer::commands(&reply.result).map_err(|unreadable| {
            portal::Error::unreadable(Method::CommandList, unreadable)
                .at(portal.id())
                .into()
        })
    }

    fn remembered(&self, name: &Name, command_id: i64) -> Option<Wrote> {
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

    async fn remember(
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

    async fn forget_command(&self, name: &Name, command_id: i64) -> Result<(), Error> {
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

/// What we wrote of a command.
#[derive(Debug, Default)]
struct Wrote {
    title: BTreeMap<Language, String>,
    params: BTreeMap<Language, String>,
}

impl CommandWish {
    fn titles(&self) -> BTreeMap<Language, Option<String>> {
        self.title
            .iter()
            .map(|(language, text)| (*language, Some(text.clone())))
            .collect()
    }

    fn fields(&self) -> Value {
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
    fn differences(&self, command: &Command, memory: Option<&Wrote>) -> Vec<&'static str> {
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

    fn fields(&self) -> Value {
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

fn by_language(texts: BTreeMap<Language, String>) -> Value {
    texts
        .into_iter()
        .map(|(language, text)| (language.to_string(), text))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect()
}

fn command(portal: &Portal, method: Method, reply: &Reply) -> Result<Command, Error> {
    answer::command(&reply.result).map_err(|unreadable| {
        portal::Error::unreadable(method, unreadable)
            .at(portal.id())
            .into()
    })
}
