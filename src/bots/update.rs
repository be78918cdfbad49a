//! Changes a bot without resetting what the caller left out.

use serde_json::{Map, Value};

use super::{
    Bots, Error, Name,
    directory::Identity,
    registration::{Told, told},
    wish::{Memory, Properties, Settings, set},
};
use crate::portal::{
    Patience, Portal,
    wire::{Bot, Method, User},
};

/// A bot after its change.
#[derive(Debug, Clone)]
pub struct Updated {
    /// The bot.
    pub bot: Bot,
    /// Its user record, if told.
    pub user: Option<User>,
}

impl Bots {
    /// Changes a bot.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], [`Error::IncompleteProperties`], or whatever the portal or the store
    /// says.
    pub async fn update(
        &self,
        name: Name,
        properties: Properties,
        settings: Settings,
        patience: &Patience,
    ) -> Result<Updated, Error> {
        let portal = self.portal(&name.0)?;
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = self.identity_in_turn(&portal, &name, patience).await?;
        let mut record = self.find(&name.0, &name.1)?;
        let mut memory = Memory::of_known(Some(&record.properties), None);
        let Told { bot, user } = self
            .write(&portal, &bot, &properties, &settings, &memory, patience)
            .await?;
        memory.wrote(&properties);
        record.properties = Value::Object(memory.0);
        self.keep(record).await.map_err(Error::afterwards)?;
        Ok(Updated { bot, user })
    }

    /// Sends an update; properties are completed from memory.
    pub(super) async fn write(
        &self,
        portal: &Portal,
        bot: &Identity,
        properties: &Properties,
        settings: &Settings,
        memory: &Memory,
        patience: &Patience,
    ) -> Result<Told, Error> {
        let mut fields = Map::new();
        if !properties.is_empty() {
            set(
                &mut fields,
                "properties",
                Some(Value::Object(properties.to_full_json(memory)?)),
            );
        }
        settings.add_to(&mut fields);
        let reply = portal
            .call(bot.call(Method::BotUpdate).with("fields", fields), patience)
            .await?;
        told(portal, Method::BotUpdate, &reply)
    }
}
