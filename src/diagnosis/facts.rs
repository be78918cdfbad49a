//! What is seen at one moment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    bots::LastSaid,
    fault::Reason,
    ids::{BotCode, PortalId},
    portal::{Lane, State, Waiting, wire::Method},
    store::{BotState, EventMode, look::LastCommand},
    telemetry::Failed,
};

/// All of it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When.
    pub at: Timestamp,
    /// The process itself.
    pub process: ProcessFacts,
    /// The portals, by name.
    pub portals: Vec<PortalFacts>,
    /// Our bots, by portal and code.
    pub bots: Vec<BotFacts>,
    /// Who reads, by caller and name; those without a name at the end.
    pub readers: Vec<Reader>,
    /// Calls that failed since the start, the latest first.
    pub failures: Vec<Failed>,
}

/// The process.
#[derive(Debug, Clone)]
pub struct ProcessFacts {
    /// When it began.
    pub started: Timestamp,
    /// Parts that fail, and why.
    pub failing: Vec<(String, String)>,
    /// What hangs, and for how long.
    pub stuck: Vec<(String, Duration)>,
    /// How long a bot may go unfetched before something is wrong.
    pub late: SignedDuration,
    /// Whether it runs. Else what only a gateway that runs knows is not known.
    pub runs: bool,
}

/// A portal.
#[derive(Debug, Clone)]
pub struct PortalFacts {
    /// Its name.
    pub id: PortalId,
    /// How it is doing.
    pub state: State,
    /// Where it is, without the credential; empty while that is not known.
    pub address: String,
    /// Whether it lets us in by an incoming webhook; else by the tokens of our application.
    pub by_webhook: bool,
    /// When that webhook ends by the configuration.
    pub ends: Option<Timestamp>,
    /// Its clock less ours; `None` until it told.
    pub skew: Option<SignedDuration>,
    /// Requests that could leave at once, and how many at most; `None` without a limit.
    pub permits: Option<(u32, u32)>,
    /// Methods that it bans, and until when.
    pub banned: Vec<(Method, Timestamp)>,
    /// Calls that wait.
    pub waiting: Waiting,
    /// The same by lane and caller; an empty name for ourselves.
    pub callers: Vec<(Lane, Arc<str>, usize)>,
}

/// A bot.
#[derive(Debug, Clone)]
pub struct BotFacts {
    /// Its portal.
    pub portal: PortalId,
    /// Its code.
    pub code: BotCode,
    /// Its id in the portal, if it has one.
    pub id: Option<i64>,
    /// Who registered it.
    pub owner: String,
    /// When it was first written down.
    pub created_at: Timestamp,
    /// Where it stands.
    pub state: BotState,
    /// How its events reach us.
    pub mode: EventMode,
    /// How they are to, if that changes just now.
    pub next_mode: Option<EventMode>,
    /// Since when the portal posts them.
    pub posted_since: Option<Timestamp>,
    /// Whether the portal can reach us to post them.
    pub reachable: bool,
    /// Whether somebody else seems to read its events.
    pub suspected: bool,
    /// Commands that were registered for it.
    pub commands: usize,
    /// When a fetch last succeeded.
    pub last_poll: Option<Timestamp>,
    /// When its newest event was received.
    pub last_event: Option<Timestamp>,
    /// Its newest command.
    pub last_command: Option<LastCommand>,
    /// What it said last.
    pub said: Option<LastSaid>,
}

/// Somebody who reads events: a named subscription, or a stream without a name.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// The caller; empty where callers are not told apart.
    pub caller: String,
    /// The name of the subscription; `None` for streams without.
    pub name: Option<String>,
    /// Streams that are open.
    pub streams: usize,
    /// Events that are handed out.
    pub outstanding: usize,
    /// Events that wait or are handed out.
    pub unfinished: u64,
    /// Entries of the log that it did not look at, about.
    pub unread: u64,
    /// When the oldest event was received that is not done.
    pub oldest: Option<Timestamp>,
    /// Events that were set aside, by their reason.
    pub aside: BTreeMap<&'static str, u64>,
    /// The bots whose commands it gets, by their places in [`Facts::bots`].
    pub gets: Vec<usize>,
    /// The bots whose commands it asks for, and may not see.
    pub denied: Vec<usize>,
}

impl Facts {
    /// A portal by name.
    #[must_use]
    pub fn portal(&self, id: &PortalId) -> Option<&PortalFacts> {
        self.portals.iter().find(|portal| portal.id == *id)
    }
}

impl Reader {
    /// What people call it.
    #[must_use]
    pub fn label(&self) -> String {
        let whose = match self.caller.as_str() {
            "" => String::new(),
            caller => format!(" of caller `{caller}`"),
        };
        match &self.name {
            Some(name) => format!("subscription `{name}`{whose}"),
            None => format!("a stream without a name{whose}"),
        }
    }

    /// Events set aside, but for their age.
    #[must_use]
    pub fn set_aside(&self) -> u64 {
        self.aside.values().sum()
    }
}

impl BotFacts {
    /// The reason that its state has, if it is none to be content with.
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self.state {
            BotState::Active if self.suspected => "FOREIGN_READER_SUSPECTED",
            BotState::Active => "ACTIVE",
            BotState::Pending => "PENDING",
            BotState::Gone => "GONE",
            BotState::Foreign => "TOKEN_REJECTED",
        }
    }
}

/// A reason in the words of a link.
pub(super) fn named(reason: Option<Reason>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({})", reason.as_str()))
}
