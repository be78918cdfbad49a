//! Makes sure a bot exists and is ours.
//!
//! Bitrix24 answers a repeated registration with the existing bot and ignores all fields, and a bot
//! whose token is lost is lost itself. So we look first, derive the token anew where the store does
//! not know it, and tell what differs.

use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::{
    Bots, Error, Name,
    locate::Found,
    mode::{MODE_CHANGED, WEBHOOKS_MISSED, mode},
    registration::{IfExists, Outcome, Registered, Registration, Told, told},
    wish::{Memory, Properties, Settings, differences, set},
};
use crate::{
    ids::{BotCode, PortalId},
    portal::{
        self, BotSecret, Call, Cause, Patience, Portal,
        wire::{Bot, Method, User},
    },
    store::{self, BotState, EventDelivery, EventMode},
};

impl Bots {
    /// Makes sure a bot exists.
    ///
    /// # Errors
    ///
    /// [`Error::NotYours`], [`Error::CodeTaken`], or whatever the portal or the store says.
    pub async fn register(
        &self,
        wish: Registration,
        patience: &Patience,
    ) -> Result<Registered, Error> {
        self.must_be_reachable(&wish.portal, wish.settings.event_mode)?;
        let portal = self.portal(&wish.portal)?;
        let name = (wish.portal.clone(), wish.code.clone());
        let _turn = self.0.changes.of(name.clone()).await;
        self.settle(&portal, &name, patience).await?;
        let known = self.known().get(&name).cloned();
        if known
            .as_ref()
            .is_some_and(|bot| !wish.owner.owns(&bot.owner))
        {
            return Err(Error::NotYours(wish.code));
        }
        let rotates = wish.adopt.as_ref().is_some_and(|adopt| adopt.rotate);
        if rotates {
            self.must_rotate(&portal, patience).await?;
        }
        let (record, found) = self.locate(&portal, &wish, known, patience).await?;
        let registered = match found {
            Found::Bot(told) => self.reuse(&portal, wish, record, *told, patience).await,
            Found::Nothing => self.create(&portal, wish, record, true, patience).await,
            Found::Unclear => self.create(&portal, wish, record, false, patience).await,
        }?;
        if rotates {
            let rotated = self.replace_foreign_token(&portal, &name, patience).await;
            rotated.map_err(Error::afterwards)?;
        }
        self.trust(&name).await.map_err(Error::afterwards)?;
        Ok(registered)
    }

    async fn create(
        &self,
        portal: &Portal,
        wish: Registration,
        record: store::Bot,
        absent: bool,
        patience: &Patience,
    ) -> Result<Registered, Error> {
        let known_id = record.bot_id;
        let event_mode = wish.settings.event_mode.unwrap_or(EventMode::Fetch);
        let name = (wish.portal.clone(), wish.code.clone());
        let posted = event_mode == EventMode::Webhook;
        let hook = self.hook_of(&name).filter(|_| posted);
        let pending = store::Bot {
            bot_id: None,
            next_token: None,
            event_mode,
            delivery: EventDelivery {
                address: self.hook_hash(&name).filter(|_| posted),
                since: posted.then(|| self.0.clock.now()),
                ..EventDelivery::default()
            },
            state: BotState::Pending,
            commands: Value::Null,
            ..record.clone()
        };
        // A bot that was active may still be there if the portal did not say otherwise: it goes on
        // being fetched, and its token is in the store already.
        if absent || known_id.is_none() {
            self.keep(pending.clone()).await?;
        }
        let mut fields = Map::new();
        set(&mut fields, "code", Some(wish.code.as_str()));
        set(
            &mut fields,
            "properties",
            Some(Value::Object(wish.properties.to_json())),
        );
        set(&mut fields, "type", Some(wish.kind.unwrap_or("bot")));
        let settings = Settings {
            event_mode: Some(event_mode),
            ..wish.settings
        };
        settings.add_to(&mut fields);
        let hook = hook.as_ref().map(ExposeSecret::expose_secret);
        set(&mut fields, "webhookUrl", hook);
        let call = Call::new(Method::BotRegister)
            .with("fields", fields)
            .as_bot(BotSecret::Fixed(pending.token.clone()));
        let reply = portal.call(call, patience).await?;
        let told = told(portal, Method::BotRegister, &reply)?;
        if known_id == Some(told.bot.id) {
            return self.reuse(portal, wish, record, told, patience).await;
        }
        let mut memory = Memory::of_new();
        memory.wrote(&wish.properties);
        self.keep(store::Bot {
            bot_id: Some(told.bot.id),
            event_mode: mode(&told.bot),
            properties: Value::Object(memory.0),
            state: BotState::Active,
            ..pending
        })
        .await
        .map_err(Error::afterwards)?;
        Ok(Registered {
            bot: told.bot,
            user: told.user,
            outcome: Outcome::Created,
            unapplied: Vec::new(),
        })
    }

    async fn reuse(
        &self,
        portal: &Portal,
        mut wish: Registration,
        record: store::Bot,
        mut told: Told,
        patience: &Patience,
    ) -> Result<Registered, Error> {
        let name = (record.portal.clone(), record.code.clone());
        let same_bot = record.bot_id == Some(told.bot.id);
        // What was asked for when it was made holds also where nobody heard the answer.
        let delivery = match same_bot || record.bot_id.is_none() {
            true => record.delivery,
            false => EventDelivery::default(),
        };
        // A bot that posts elsewhere differs from what is wished, whether or not the wish says it.
        let ours = record.event_mode == EventMode::Webhook && delivery.address.is_some();
        let wanted = match wish.settings.event_mode {
            None if ours => EventMode::Webhook,
            wanted => wanted.unwrap_or(EventMode::Fetch),
        };
        let address = self.hook_hash(&name);
        let elsewhere =
            wanted == EventMode::Webhook && address.is_some() && delivery.address != address;
        wish.settings.event_mode = Some(wanted);
        let known_mode =
            (record.state == BotState::Active && same_bot).then_some(record.event_mode);
        let stored = Some(&record.properties).filter(|_| same_bot);
        let mut memory = Memory::of_known(stored, told.user.as_ref());
        let differ = |told: &Told, memory: &Memory| {
            differences(
                &wish.properties,
                wish.kind,
                &wish.settings,
                &told.bot,
                told.user.as_ref(),
                memory,
            )
        };
        let mut before = differ(&told, &memory);
        if elsewhere && !before.contains(&"event_mode") {
            before.push("event_mode");
        }
        // What stood before the change is written down first: whatever happens to the update, the
        // bot is known.
        let mut record = store::Bot {
            bot_id: Some(told.bot.id),
            event_mode: mode(&told.bot),
            delivery,
            properties: Value::Object(memory.0.clone()),
            commands: if same_bot {
                record.commands.clone()
            } else {
                Value::Null
            },
            state: BotState::Active,
            ..record
        };
        self.note_what_was_missed(&record, known_mode).await?;
        self.keep(record.clone()).await?;
        let changeable = before.iter().any(|path| *path != "type");
        if wish.if_exists == IfExists::Return || !changeable {
            let outcome = if before.is_empty() {
                Outcome::Unchanged
            } else {
                Outcome::Differs
            };
            return Ok(Registered {
                bot: told.bot,
                user: told.user,
                outcome,
                unapplied: before,
            });
        }
        let touches_properties = before.iter().any(|path| path.starts_with("properties."));
        let properties = if touches_properties {
            wish.properties.clone()
        } else {
            Properties::default()
        };
        let changes_mode = before.contains(&"event_mode");
        if changes_mode {
            let now_in = mode(&told.bot);
            let changed = self.change_mode(portal, &name, now_in, wanted, patience);
            told = changed.await?;
            record = self.find(&name.0, &name.1)?;
        }
        if before
            .iter()
            .any(|path| !["type", "event_mode"].contains(path))
        {
            let bot = self.identity_in_turn(portal, &name, patience).await?;
            let settings = Settings {
                event_mode: None,
                ..wish.settings
            };
            let written = self.write(portal, &bot, &properties, &settings, &memory, patience);
            told = match written.await {
                Err(error) if changes_mode => return Err(error.afterwards()),
                written => written?,
            };
            memory.wrote(&properties);
            record.properties = Value::Object(memory.0.clone());
            self.keep(record).await.map_err(Error::afterwards)?;
        }
        let unapplied = differ(&told, &memory);
        Ok(Registered {
            bot: told.bot,
            user: told.user,
            outcome: Outcome::Updated,
            unapplied,
        })
    }

    /// A bot that posts its events, as we find out only now, may have posted some that nobody took; one
    /// that does so no more was not left unfetched meanwhile.
    async fn note_what_was_missed(
        &self,
        bot: &store::Bot,
        known_mode: Option<EventMode>,
    ) -> Result<(), Error> {
        if known_mode == Some(bot.event_mode) {
            return Ok(());
        }
        match (known_mode, bot.event_mode) {
            (_, EventMode::Webhook) => {
                let from = bot.delivery.since;
                self.note_gap(bot, EventMode::Webhook, from, WEBHOOKS_MISSED)
                    .await
            }
            (Some(EventMode::Webhook), EventMode::Fetch) => {
                self.note_gap(bot, EventMode::Fetch, None, MODE_CHANGED)
                    .await
            }
            (_, EventMode::Fetch) => Ok(()),
        }
    }

    /// Forgets a bot here and removes it from the portal.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], or whatever the portal or the store says.
    pub async fn unregister(&self, name: Name, patience: &Patience) -> Result<(), Error> {
        let portal = self.portal(&name.0)?;
        let _turn = self.0.changes.of(name.clone()).await;
        match self.identity_in_turn(&portal, &name, patience).await {
            Ok(bot) => match portal.call(bot.call(Method::BotUnregister), patience).await {
                Ok(_) => {}
                Err(error) if matches!(error.cause(), Cause::BotMissing) => {}
                Err(error) => return Err(error.into()),
            },
            // Known, but never confirmed by the portal: nothing to remove there.
            Err(error @ Error::UnknownBot(_)) => {
                self.find(&name.0, &name.1).map_err(|_| error)?;
            }
            Err(error) => return Err(error),
        }
        self.forget(&name).await.map_err(Error::afterwards)
    }

    /// Reads a bot from the portal.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBot`], or whatever the portal says.
    pub async fn read(
        &self,
        portal: &PortalId,
        code: &BotCode,
        patience: &Patience,
    ) -> Result<(Bot, Option<User>), Error> {
        let bot = self.identity(portal, code)?;
        let known = self.find(portal, code)?;
        let portal = self.portal(portal)?;
        let reply = portal.call(bot.call(Method::BotGet), patience).await?;
        let told = told(&portal, Method::BotGet, &reply)?;
        if !told.bot.is_owner_form() {
            // Strangers are shown a brief form, so our token is not the bot's any more (C17.3).
            let foreign = portal::Error::new(Method::BotGet, Cause::BotToken);
            return Err(foreign.at(portal.id()).into());
        }
        self.compare_mode(&known, mode(&told.bot)).await;
        Ok((told.bot, told.user))
    }
}
