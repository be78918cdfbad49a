//! Finds a bot by its code, and the token that opens it.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    Bots, Error,
    registration::{AdoptionStart, Registration, Told, told},
    rotation::GENERATIONS,
};
use crate::{
    ids::BotCode,
    portal::{BotSecret, Call, Cause, Patience, Portal, wire::Method},
    store::{self, BotState, EventDelivery, EventMode, Skip},
};

/// What stands under a code, seen with a token.
enum Look {
    Absent,
    Ours(Box<Told>),
    Foreign,
    /// The portal refused in words we do not know.
    Unclear,
}

/// What was found with the token that fits best.
pub(super) enum Found {
    Nothing,
    Unclear,
    Bot(Box<Told>),
}

impl Bots {
    /// Finds the token that fits, and the bot if it exists.
    pub(super) async fn locate(
        &self,
        portal: &Portal,
        wish: &Registration,
        known: Option<store::Bot>,
        patience: &Patience,
    ) -> Result<(store::Bot, Found), Error> {
        let derive = |generation| {
            self.0
                .store
                .keys()
                .bot_token(&wish.portal, &wish.code, generation)
        };
        let mut record = known.clone().unwrap_or_else(|| store::Bot {
            portal: wish.portal.clone(),
            code: wish.code.clone(),
            bot_id: None,
            token: derive(0),
            generation: 0,
            owner: wish.owner.name().to_owned(),
            event_mode: EventMode::Fetch,
            delivery: EventDelivery::default(),
            properties: Value::Null,
            commands: Value::Null,
            skip: Skip::Nothing,
            state: BotState::Pending,
            next_token: None,
            next_offset: None,
            last_polled_at: None,
            created_at: self.0.clock.now(),
        });
        let skip = record.skip;
        let adopted = wish.adopt.as_ref().map(|adoption| store::Bot {
            token: adoption.token.clone(),
            next_token: None,
            skip: match adoption.start {
                // Events are dated to the second: better one too many than one lost.
                AdoptionStart::Now => Skip::Before(whole_second(portal.now())),
                AdoptionStart::After(handled) => Skip::UpTo(handled),
                AdoptionStart::EverythingHeld => Skip::Nothing,
            },
            ..record.clone()
        });
        // A bot that is here already was adopted before, if ever.
        let is_new = known.is_none_or(|bot| bot.bot_id.is_none());
        let candidates = match adopted {
            None => vec![record.clone()],
            Some(adopted) if is_new => {
                record = adopted.clone();
                vec![adopted]
            }
            Some(adopted) => vec![record.clone(), adopted],
        };
        for candidate in candidates {
            match self
                .look(portal, &wish.code, &candidate.token, patience)
                .await?
            {
                Look::Absent => return Ok((candidate, Found::Nothing)),
                Look::Unclear => return Ok((candidate, Found::Unclear)),
                Look::Ours(told) => return Ok((candidate, Found::Bot(told))),
                // Another token opens it no more than this one.
                Look::Foreign if !portal.wants_bot_tokens() => {
                    return Err(Error::CodeTaken(wish.code.clone()));
                }
                Look::Foreign => {}
            }
        }
        // A store that was lost or restored does not know which generation is in force.
        for generation in 0..GENERATIONS {
            let token = derive(generation);
            if token.expose_secret() == record.token.expose_secret() {
                continue;
            }
            if let Look::Ours(told) = self.look(portal, &wish.code, &token, patience).await? {
                let record = store::Bot {
                    token,
                    next_token: None,
                    generation,
                    skip,
                    ..record
                };
                return Ok((record, Found::Bot(told)));
            }
        }
        Err(Error::CodeTaken(wish.code.clone()))
    }

    async fn look(
        &self,
        portal: &Portal,
        code: &BotCode,
        token: &SecretString,
        patience: &Patience,
    ) -> Result<Look, Error> {
        let call = Call::new(Method::BotGet)
            .with("code", code.as_str())
            .as_bot(BotSecret::Fixed(token.clone()));
        match portal.call(call, patience).await {
            Ok(reply) => {
                let told = told(portal, Method::BotGet, &reply)?;
                // Anybody gets the brief form; only the owner the whole (C17.3).
                Ok(if told.bot.is_owner_form() {
                    Look::Ours(Box::new(told))
                } else {
                    Look::Foreign
                })
            }
            Err(error) if matches!(error.cause(), Cause::BotMissing) => Ok(Look::Absent),
            Err(error) if matches!(error.cause(), Cause::BotToken) => Ok(Look::Foreign),
            // Some codes say nothing. Registering tells more, and a repeat of it is harmless.
            Err(error) if matches!(error.cause(), Cause::Refused) => Ok(Look::Unclear),
            Err(error) => Err(error.into()),
        }
    }
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
