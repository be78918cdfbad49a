//! Changes a bot without resetting what the caller left out.

use serde_json::{Map, Value};

use super::{
    Bots, Error, Name,
    directory::Identity,
    mode::mode,
    registration::{Told, told},
    wish::{Memory, Properties, Settings, set},
};
use crate::{
    portal::{
        Patience, Portal,
        wire::{Bot, Method, User},
    },
    store::EventMode,
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
    /// [`Error::UnknownBot`], [`Error::IncompleteProperties`], [`Error::NoPublicUrl`],
    /// [`Error::NotDrained`], or whatever the portal or the store says.
    pub async fn update(
        &self,
        name: Name,
        properties: Properties,
        mut settings: Settings,
        patience: &Patience,
    ) -> Result<Updated, Error> {
        self.must_be_reachable(&name.0, settings.event_mode)?;
        let portal = self.portal(&name.0)?;
        let _turn = self.0.changes.of(name.clone()).await;
        let bot = self.identity_in_turn(&portal, &name, patience).await?;
        let mut changed = false;
        if !properties.is_empty() {
            // Before anything is changed.
            let record = self.find(&name.0, &name.1)?;
            properties.to_full_json(&Memory::of_known(Some(&record.properties), None))?;
        }
        if let Some(wanted) = settings.event_mode.take() {
            let mut told = self.look_at(&portal, &name, patience).await?;
            let known = self.find(&name.0, &name.1)?;
            let elsewhere =
                wanted == EventMode::Webhook && known.delivery.address != self.hook_hash(&name);
            let unsettled = known.delivery.next.is_some();
            let now_in = mode(&told.bot);
            if now_in != wanted || now_in != known.event_mode || elsewhere || unsettled {
                let change = self.change_mode(&portal, &name, now_in, wanted, patience);
                told = change.await?;
                changed = true;
            }
            if properties.is_empty() && settings.is_empty() {
                let Told { bot, user } = told;
                return Ok(Updated { bot, user });
            }
        }
        let mut record = self.find(&name.0, &name.1)?;
        let mut memory = Memory::of_known(Some(&record.properties), None);
        let written = self.write(&portal, &bot, &properties, &settings, &memory, patience);
        let Told { bot, user } = match written.await {
            Err(error) if changed => return Err(error.afterwards()),
            written => written?,
        };
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
