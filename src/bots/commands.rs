//! Slash commands of a bot.
//!
//! Bitrix24 tells titles and hints only in the portal's own language. So what we wrote is remembered,
//! and a wish is compared with that; where we do not remember, with the little that is told.

mod memory;
mod wish;

use super::{Bots, Error, IfExists, Name, Outcome, directory::Identity, execute::done};
use crate::{
    ids::CommandName,
    portal::{
        self, Cause, Patience, Portal,
        wire::{Command, Method, Reply, answer},
    },
};

pub use wish::{CommandChange, CommandWish};

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
        let portal = self.portal(&name.0)?;
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = self.identity_in_turn(&portal, &name, patience).await?;
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
                .await
                .map_err(Error::afterwards)?;
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
        let portal = self.portal(&name.0)?;
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = self.identity_in_turn(&portal, &name, patience).await?;
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
        let mut commands = self.commands_of(&portal, &bot, patience).await?;
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
        let portal = self.portal(&name.0)?;
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = self.identity_in_turn(&portal, &name, patience).await?;
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
        let forgotten = self.forget_command(&name, id).await;
        forgotten.map_err(Error::afterwards)
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
            .await
            .map_err(Error::afterwards)?;
        if let Some(rename) = change.rename {
            if command.name().is_none() {
                let listed = self.commands_of(portal, bot, patience).await;
                let listed = listed.map_err(Error::afterwards)?;
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
}

fn command(portal: &Portal, method: Method, reply: &Reply) -> Result<Command, Error> {
    answer::command(&reply.result).map_err(|unreadable| {
        portal::Error::unreadable(method, unreadable)
            .at(portal.id())
            .into()
    })
}
