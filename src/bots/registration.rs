//! What a registration asks for, and what it finds and does.

use std::sync::Arc;

use secrecy::SecretString;

use super::{
    Error,
    wish::{Properties, Settings},
};
use crate::{
    callers::Grant,
    ids::{BotCode, PortalId},
    portal::{
        self, Portal,
        wire::{Bot, Method, Reply, User, answer},
    },
};

/// A wish for a bot.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Where.
    pub portal: PortalId,
    /// Under which code.
    pub code: BotCode,
    /// Who asks, and will own it.
    pub owner: Arc<Grant>,
    /// What it looks like.
    pub properties: Properties,
    /// Bitrix24's name of the type; `None` for the default.
    pub kind: Option<&'static str>,
    /// How it behaves.
    pub settings: Settings,
    /// What to do with an existing bot.
    pub if_exists: IfExists,
    /// Takes over a bot made outside.
    pub adopt: Option<Adoption>,
}

/// A bot made outside the gateway.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// Its token.
    pub token: SecretString,
    /// Which of its waiting events are ours.
    pub start: AdoptionStart,
    /// Whether it gets a derived token right after.
    pub rotate: bool,
}

/// Where the events of an adopted bot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdoptionStart {
    /// With what happens from now on.
    Now,
    /// Behind this number of the portal.
    After(i64),
    /// With everything the portal still holds.
    EverythingHeld,
}

/// What to do with something that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Leave it, and tell what differs.
    Return,
    /// Change what differs.
    Converge,
}

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Created,
    /// It is as wished.
    Unchanged,
    /// It was changed.
    Updated,
    /// It differs.
    Differs,
}

/// A bot that exists.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The bot.
    pub bot: Bot,
    /// Its user record, if told.
    pub user: Option<User>,
    /// What was done.
    pub outcome: Outcome,
    /// Wished fields that differ.
    pub unapplied: Vec<&'static str>,
}

/// A bot as the portal tells it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) bot: Bot,
    pub(super) user: Option<User>,
}

/// `{bot, users}` of an answer.
pub(super) fn told(portal: &Portal, method: Method, reply: &Reply) -> Result<Told, Error> {
    let read = || {
        let bot = answer::bot(&reply.result)?;
        let mut users = answer::users(&reply.result)?;
        let own = users.iter().position(|user| user.id == bot.id);
        let user = own.map(|index| users.swap_remove(index));
        Ok(Told { bot, user })
    };
    read().map_err(|unreadable| {
        portal::Error::unreadable(method, unreadable)
            .at(portal.id())
            .into()
    })
}
