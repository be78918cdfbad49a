//! What an operator does to a gateway, whether or not it runs.
//!
//! Only the process that holds the store changes it. So a command goes to the process that runs, over a
//! Unix socket that its user and root alone may use; where none runs, whoever types the command opens the
//! store and does the same.
//!
//! Over the socket a command is `POST /v1/commands` with a JSON object, and so is its answer:
//!
//! ```text
//! curl --unix-socket .../admin.sock http://gateway/v1/commands -d '{"command": "keys-rotate"}'
//! {"done":"keys-rotated","id":"seal-0a1b2c3d"}
//! ```
//!
//! A refusal is `{"error": "..."}` with status 409, or 400 where the command itself is wrong.

mod callers;
mod client;
mod command;
mod doctor;
mod keeper;
mod portals;
mod probe;
mod server;
mod subscriptions;

use std::{io, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    callers::describe,
    client::send,
    command::{Command, Secret},
    keeper::{Keeper, Live, Names},
    server::Server,
};
use crate::{
    callers::Written,
    diagnosis::{Probe, Report},
    store,
};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "kebab-case")]
pub enum Done {
    /// The portals of the store are called.
    Activated {
        /// Whether they were not before.
        was_held: bool,
    },
    /// There is a new sealing key.
    KeysRotated {
        /// Its id.
        id: String,
    },
    /// A sealing key is gone.
    KeyRetired {
        /// Its id.
        id: String,
    },
    /// Who may call.
    Callers {
        /// By name.
        callers: Vec<CallerLine>,
    },
    /// Somebody may call.
    CallerAdded {},
    /// A caller may call no more.
    CallerRevoked {},
    /// Which portals there are.
    Portals {
        /// By name.
        portals: Vec<PortalLine>,
    },
    /// A portal is called.
    PortalAdded {},
    /// A portal is called no more.
    PortalRemoved {},
    /// There is a link.
    AuthorizationLink {
        /// The link, which works once.
        url: Secret,
    },
    /// A caller may use a portal.
    PortalGranted {},
    /// A caller may use a portal no more.
    GrantRevoked {},
    /// Which named subscriptions there are.
    Subscriptions {
        /// By caller and name.
        subscriptions: Vec<SubscriptionLine>,
    },
    /// Which events are handed out no more.
    SetAside {
        /// The oldest first, at most 1000.
        events: Vec<AsideLine>,
    },
    /// Events are handed out again.
    EventsRedriven {
        /// How many.
        count: usize,
    },
    /// Events are forgotten.
    EventsDropped {
        /// How many.
        count: usize,
    },
    /// A subscription is gone.
    SubscriptionDeleted {},
    /// What was found out.
    Diagnosed {
        /// That.
        report: Report,
    },
    /// A portal was asked.
    Probed {
        /// What it showed.
        probe: Probe,
    },
}

/// Where a name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The configuration.
    Configured,
    /// A command.
    Added,
    /// A command that was taken back.
    Revoked,
    /// Our application was installed there.
    Installed,
}

/// Somebody who may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerLine {
    /// The name.
    pub name: String,
    /// Where it comes from.
    pub from: From,
    /// When it was added.
    pub added_at: Option<Timestamp>,
    /// What it may do; for configured ones the configuration says that.
    pub may: Option<Written>,
    /// Portals that installed themselves and were granted to it.
    pub granted: Vec<String>,
}

/// A portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalLine {
    /// The name.
    pub name: String,
    /// Where it comes from.
    pub from: From,
    /// How it is doing, where a gateway runs.
    pub state: Option<String>,
    /// Why, unless all is well.
    pub reason: Option<String>,
    /// Callers that it was granted to.
    pub granted_to: Vec<String>,
}

/// A named subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionLine {
    /// The caller it belongs to; empty where callers are not told apart.
    pub caller: String,
    /// Its name.
    pub name: String,
    /// Streams that are open, where a gateway runs.
    pub streams: Option<usize>,
    /// Events that are handed out, where a gateway runs.
    pub outstanding: Option<usize>,
    /// Events that wait or are handed out.
    pub unfinished: u64,
    /// When the oldest of them was received.
    pub oldest_received: Option<Timestamp>,
    /// Events that were set aside, but for their age.
    pub set_aside: u64,
    /// Commands that were set aside for their age.
    pub expired: u64,
    /// Entries of the log that it did not look at yet.
    pub unread: u64,
}

/// An event that is handed out no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsideLine {
    /// Its id.
    pub event_id: String,
    /// The portal; none when it was erased a moment ago, and so for the next two.
    pub portal: Option<String>,
    /// The bot.
    pub bot: Option<String>,
    /// The Bitrix24 type.
    pub kind: Option<String>,
    /// Why: a name of `SetAsideReason` without its prefix.
    pub why: String,
    /// How often it was handed out.
    pub attempts: u32,
    /// When it was set aside.
    pub at: Timestamp,
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot do it.
    #[error("store: {}", crate::fault::Chain(.0))]
    Store(#[from] store::Error),
    /// It is refused, and why.
    #[error("{0}")]
    Refused(String),
    /// A gateway runs that cannot be asked.
    #[error(
        "the store is held by another process ({holder}), which does not answer at {}: {cause}",
        path.display()
    )]
    NoAnswer {
        /// What the holder wrote about itself.
        holder: String,
        /// Its admin socket.
        path: PathBuf,
        /// Why it does not answer.
        #[source]
        cause: io::Error,
    },
    /// A gateway runs that has no socket to ask it by.
    #[error(
        "the store is held by another process ({holder}), and `admin.socket` is empty: stop it first, or give \
         it a socket"
    )]
    NoSocket {
        /// What the holder wrote about itself.
        holder: String,
    },
}
