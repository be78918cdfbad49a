//! Why is my bot silent?
//!
//! Between a person's command and the bot's answer there is a chain: the credential, the registration,
//! the last fetch, the last event, a subscription, a live stream, the last answer. [`Facts`] are what is
//! seen of all of it at one moment, gathered only when somebody asks; what they mean is decided by
//! functions of the facts alone. The first broken link is the answer; what is behind it follows from it.
//!
//! Beside it stands what a portal shows, when it is asked for that, of what is relied upon without a promise.
//!
//! Rule: names, numbers, times and published reasons; never texts, never secrets.

mod ask;
mod bot;
mod facts;
mod gather;
mod meaning;
mod portal;
mod probe;
mod problems;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    ask::{Asked, ask},
    facts::{BotFacts, Facts, PortalFacts, ProcessFacts, Reader},
    gather::{Diagnosis, of_store},
    portal::{asked, configured, credential},
    probe::{Finding, Probe, Verdict},
    problems::{Problem, problems},
    words::{ago, lasting},
};
pub use bot::{bot, unknown_bot};

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It holds, as far as can be seen.
    Fine,
    /// It does not.
    Broken,
    /// Nobody can tell.
    Unknown,
}

/// The links, of portals and of bots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The portal's host is found.
    Address,
    /// An encrypted connection to it is made.
    Connection,
    /// What answers is a portal's REST interface.
    Rest,
    /// The portal lets us in.
    Credential,
    /// We may use what bots need.
    Scope,
    /// The portal has the interface of bots.
    Revision,
    /// Its clock and ours agree.
    Clock,
    /// It takes further requests.
    Rate,
    /// The bot is registered, and ours.
    Registered,
    /// Its events reach us: by the last fetch, or by being posted.
    Poll,
    /// Something came for it.
    Event,
    /// Somebody asked for it.
    Subscription,
    /// Somebody takes it just now.
    Stream,
    /// It was answered.
    Answer,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Which.
    pub step: Step,
    /// How it is.
    pub standing: Standing,
    /// What is seen, as a sentence without its end.
    pub seen: String,
    /// What to do next, unless all is well.
    pub next: Option<String>,
}

/// The links of a portal or of a bot, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The portal.
    pub portal: String,
    /// The bot; none where it is about the portal.
    pub bot: Option<String>,
    /// The links.
    pub links: Vec<Link>,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When.
    pub at: Timestamp,
    /// What is wrong with the gateway itself, a line each.
    pub gateway: Vec<String>,
    /// Portals and bots, one after the other.
    pub chains: Vec<Chain>,
}

impl Link {
    fn fine(step: Step, seen: impl Into<String>) -> Self {
        Self {
            step,
            standing: Standing::Fine,
            seen: seen.into(),
            next: None,
        }
    }

    fn broken(step: Step, seen: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            step,
            standing: Standing::Broken,
            seen: seen.into(),
            next: Some(next.into()),
        }
    }

    fn unknown(step: Step, seen: impl Into<String>, next: Option<&str>) -> Self {
        Self {
            step,
            standing: Standing::Unknown,
            seen: seen.into(),
            next: next.map(str::to_owned),
        }
    }
}

impl Chain {
    /// The first broken link.
    #[must_use]
    pub fn broken(&self) -> Option<&Link> {
        let mut links = self.links.iter();
        links.find(|link| link.standing == Standing::Broken)
    }

    /// The portal, or the bot and its portal.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.bot {
            None => format!("portal {}", self.portal),
            Some(bot) => format!("bot {bot} of portal {}", self.portal),
        }
    }
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Address => "address",
            Self::Connection => "connection",
            Self::Rest => "REST",
            Self::Credential => "credential",
            Self::Scope => "scope",
            Self::Revision => "revision",
            Self::Clock => "clock",
            Self::Rate => "rate",
            Self::Registered => "registered",
            Self::Poll => "last poll",
            Self::Event => "last event",
            Self::Subscription => "subscription",
            Self::Stream => "live stream",
            Self::Answer => "last answer",
        })
    }
}
