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
mod doctor;
mod keeper;
mod portals;
mod server;
mod subscriptions;

use std::{io, path::PathBuf};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

pub use self::{
    callers::describe,
    client::send,
    keeper::{Keeper, Live, Names},
    server::Server,
};
use crate::{callers::Written, diagnosis::Report, store};

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Call the portals of a restored store.
    StoreActivate {},
    /// Put a new sealing key in front.
    KeysRotate {},
    /// Take a sealing key away.
    KeysRetire {
        /// Its id.
        id: String,
    },
    /// Tell who may call.
    CallersList {},
    /// Let somebody call.
    CallersAdd {
        /// Its name.
        name: String,
        /// The SHA-256 of its token, in hexadecimal. The token itself stays with who made it.
        token_sha256: String,
        /// What it may do.
        may: Written,
    },
    /// Let a caller that was added call no more.
    CallersRevoke {
        /// Its name.
        name: String,
    },
    /// Tell which portals there are.
    PortalsList {},
    /// Call a portal by an incoming webhook.
    PortalsAdd {
        /// Its name.
        name: String,
        /// The URL of the webhook.
        webhook_url: Secret,
    },
    /// Call a portal that was added no more.
    PortalsRemove {
        /// Its name.
        name: String,
    },
    /// Make a link by which a person at a portal lets our application in.
    PortalsAuthorize {
        /// The portal: its host, or its `member_id`.
        portal: String,
        /// The person may be another one than before.
        #[serde(default)]
        replace_user: bool,
    },
    /// Let a caller use a portal that installed itself, or no more.
    PortalsGrant {
        /// The portal.
        portal: String,
        /// The caller.
        caller: String,
        /// No more.
        #[serde(default)]
        revoke: bool,
    },
    /// Tell which named subscriptions there are.
    SubscriptionsList {},
    /// Tell which events a subscription hands out no more.
    SubscriptionsAside {
        /// The caller it belongs to; empty where callers are not told apart.
        #[serde(default)]
        caller: String,
        /// Its name.
        name: String,
    },
    /// Hand out events again that were set aside.
    SubscriptionsRedrive {
        /// The caller it belongs to; empty where callers are not told apart.
        #[serde(default)]
        caller: String,
        /// Its name.
        name: String,
        /// Their ids; all where there are none.
        #[serde(default)]
        events: Vec<String>,
    },
    /// Forget events that were set aside.
    SubscriptionsDrop {
        /// The caller it belongs to; empty where callers are not told apart.
        #[serde(default)]
        caller: String,
        /// Its name.
        name: String,
        /// Their ids; all where there are none.
        #[serde(default)]
        events: Vec<String>,
    },
    /// Forget a subscription.
    SubscriptionsDelete {
        /// The caller it belongs to; empty where callers are not told apart.
        #[serde(default)]
        caller: String,
        /// Its name.
        name: String,
    },
    /// Ask portals how far one gets, and tell why a bot is silent.
    Doctor {
        /// This portal only.
        #[serde(default)]
        portal: Option<String>,
        /// The bot.
        #[serde(default)]
        bot: Option<String>,
    },
}

/// A secret on its way. Never shown by `Debug`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub SecretString);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Secret {}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

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

impl Command {
    /// Whether it changes something.
    #[must_use]
    pub fn changes(&self) -> bool {
        !matches!(
            self,
            Self::CallersList {}
                | Self::PortalsList {}
                | Self::SubscriptionsList {}
                | Self::SubscriptionsAside { .. }
                | Self::Doctor { .. }
        )
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::StoreActivate {} => "store activate",
            Self::KeysRotate {} => "keys rotate",
            Self::KeysRetire { .. } => "keys retire",
            Self::CallersList {} => "callers list",
            Self::CallersAdd { .. } => "callers add",
            Self::CallersRevoke { .. } => "callers revoke",
            Self::PortalsList {} => "portals list",
            Self::PortalsAdd { .. } => "portals add",
            Self::PortalsRemove { .. } => "portals remove",
            Self::PortalsAuthorize { .. } => "portals authorize",
            Self::PortalsGrant { revoke: false, .. } => "portals grant",
            Self::PortalsGrant { revoke: true, .. } => "portals grant --revoke",
            Self::SubscriptionsList {} => "subscriptions list",
            Self::SubscriptionsAside { .. } => "subscriptions aside",
            Self::SubscriptionsRedrive { .. } => "subscriptions redrive",
            Self::SubscriptionsDrop { .. } => "subscriptions drop",
            Self::SubscriptionsDelete { .. } => "subscriptions delete",
            Self::Doctor { .. } => "doctor",
        }
    }

    /// What it is about, without secrets.
    fn about(&self) -> About {
        let mut about = About::default();
        match self {
            Self::StoreActivate {}
            | Self::KeysRotate {}
            | Self::CallersList {}
            | Self::SubscriptionsList {}
            | Self::Doctor { .. }
            | Self::PortalsList {} => {}
            Self::SubscriptionsAside { caller, name }
            | Self::SubscriptionsRedrive { caller, name, .. }
            | Self::SubscriptionsDrop { caller, name, .. }
            | Self::SubscriptionsDelete { caller, name } => {
                about.caller.clone_from(caller);
                about.subscription.clone_from(name);
            }
            Self::KeysRetire { id } => about.key.clone_from(id),
            Self::CallersAdd { name, .. } | Self::CallersRevoke { name } => {
                about.caller.clone_from(name);
            }
            Self::PortalsAdd { name, .. } | Self::PortalsRemove { name } => {
                about.portal.clone_from(name);
            }
            Self::PortalsAuthorize { portal, .. } => about.portal.clone_from(portal),
            Self::PortalsGrant { portal, caller, .. } => {
                about.portal.clone_from(portal);
                about.caller.clone_from(caller);
            }
        }
        about
    }
}

/// What a command is about.
#[derive(Debug, Default)]
struct About {
    caller: String,
    portal: String,
    key: String,
    subscription: String,
}
