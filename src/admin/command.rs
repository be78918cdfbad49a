//! What can be commanded.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use super::Done;
use crate::callers::Written;

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
    /// Ask a portal, in the name of a bot, for what is relied upon without a promise.
    Probe {
        /// The portal; the only one with the bot where none is named.
        #[serde(default)]
        portal: Option<String>,
        /// The bot.
        bot: String,
        /// Where a message may be sent twice; nowhere without.
        #[serde(default)]
        dialog: Option<String>,
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
            Self::Probe { .. } => "doctor --probe",
        }
    }

    /// What it is about, without secrets.
    pub(super) fn about(&self) -> About {
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
            Self::Probe {
                portal,
                bot,
                dialog,
            } => {
                about.portal = portal.clone().unwrap_or_default();
                about.bot.clone_from(bot);
                about.dialog = dialog.clone().unwrap_or_default();
            }
        }
        about
    }
}

/// What a command is about.
#[derive(Debug, Default)]
pub(super) struct About {
    pub(super) caller: String,
    pub(super) portal: String,
    pub(super) bot: String,
    pub(super) dialog: String,
    pub(super) key: String,
    pub(super) subscription: String,
}

impl About {
    /// The same, with what only doing it told.
    pub(super) fn told_by(mut self, done: &Done) -> Self {
        if let Done::Probed { probe } = done {
            self.portal.clone_from(&probe.portal);
        }
        self
    }
}
