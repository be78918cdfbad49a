//! Does what an operator commands.

use std::collections::BTreeSet;

use tokio::sync::Mutex;

use super::{Command, Done, Error};
use crate::{
    callers::{Callers, Roster},
    clock::Clock,
    diagnosis::Diagnosis,
    events::Subscriptions,
    http::Authorizations,
    ids::{BotCode, PortalId},
    portal::Portals,
    store::Store,
};

/// Does commands, one after the other.
#[derive(Debug)]
pub struct Keeper {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) names: Names,
    pub(super) live: Option<Live>,
    one_at_a_time: Mutex<()>,
}

/// Names that the configuration gives.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Of callers; where a gateway runs it knows better.
    pub callers: BTreeSet<String>,
    /// Of portals.
    pub portals: BTreeSet<PortalId>,
}

/// What runs, and has to learn of what was done.
#[derive(Debug)]
pub struct Live {
    /// The portals.
    pub portals: Portals,
    /// Who may call.
    pub callers: Callers,
    /// The named subscriptions.
    pub subscriptions: Subscriptions,
    /// Why bots are silent.
    pub diagnosis: Diagnosis,
    /// Where links are made; nowhere while nothing is received over HTTP.
    pub authorizations: Option<Authorizations>,
}

impl Keeper {
    /// For this store; `live` where a gateway works with it.
    #[must_use]
    pub fn new(store: Store, clock: Clock, names: Names, live: Option<Live>) -> Self {
        Self {
            store,
            clock,
            names,
            live,
            one_at_a_time: Mutex::default(),
        }
    }

    /// Does a command: durably, then it counts.
    ///
    /// # Errors
    ///
    /// When it cannot be done; then nothing changed.
    pub async fn run(&self, command: Command) -> Result<Done, Error> {
        let _alone = match command {
            // They change nothing of ours, and portals may keep them waiting.
            Command::Doctor { .. } | Command::Probe { .. } => None,
            _ => Some(self.one_at_a_time.lock().await),
        };
        match command {
            Command::StoreActivate {} => self.activate().await,
            Command::KeysRotate {} => {
                let id = self.store.rotate().await?;
                if self.live.is_none() {
                    // A gateway that runs does so by itself.
                    self.store.reseal().await?;
                }
                Ok(Done::KeysRotated { id })
            }
            Command::KeysRetire { id } => {
                self.store.retire(&id).await?;
                Ok(Done::KeyRetired { id })
            }
            Command::CallersList {} => self.list_callers().await,
            Command::CallersAdd {
                name,
                token_sha256,
                may,
            } => self.add_caller(name, &token_sha256, may).await,
            Command::CallersRevoke { name } => self.revoke_caller(&name).await,
            Command::PortalsList {} => self.list_portals().await,
            Command::PortalsAdd { name, webhook_url } => {
                self.add_portal(&name, &webhook_url.0).await
            }
            Command::PortalsRemove { name } => self.remove_portal(&name).await,
            Command::PortalsAuthorize {
                portal,
                replace_user,
            } => self.authorize(&portal, replace_user),
            Command::PortalsGrant {
                portal,
                caller,
                revoke,
            } => self.grant(&portal, &caller, revoke).await,
            Command::SubscriptionsList {} => self.list_subscriptions().await,
            Command::SubscriptionsAside { caller, name } => self.list_aside(&caller, &name).await,
            Command::SubscriptionsRedrive {
                caller,
                name,
                events,
            } => self.redrive(&caller, &name, &events).await,
            Command::SubscriptionsDrop {
                caller,
                name,
                events,
            } => self.drop_events(&caller, &name, &events).await,
            Command::SubscriptionsDelete { caller, name } => {
                self.delete_subscription(&caller, &name).await
            }
            Command::Doctor { portal, bot } => {
                Box::pin(self.doctor(portal.as_deref(), bot.as_deref())).await
            }
            Command::Probe {
                portal,
                bot,
                dialog,
            } => Box::pin(self.probe(portal.as_deref(), &bot, dialog.as_deref())).await,
        }
    }

    async fn activate(&self) -> Result<Done, Error> {
        let mut was_held = self.store.activate().await?;
        if let Some(live) = &self.live {
            was_held |= live.portals.release();
        }
        Ok(Done::Activated { was_held })
    }

    /// Names of callers that the configuration gives.
    pub(super) fn configured_callers(&self) -> BTreeSet<String> {
        match &self.live {
            Some(live) => live.callers.roster().configured.into_keys().collect(),
            None => self.names.callers.clone(),
        }
    }

    /// Sees that callers could be told apart after a change.
    pub(super) fn would_be_clear(&self, change: impl FnOnce(&mut Roster)) -> Result<(), Error> {
        let Some(live) = &self.live else {
            return Ok(());
        };
        let mut roster = live.callers.roster();
        change(&mut roster);
        roster.policy().map(drop).map_err(refused)
    }

    /// Puts a change of who may call what in force.
    pub(super) fn in_force(&self, change: impl FnOnce(&mut Roster)) -> Result<(), Error> {
        match &self.live {
            Some(live) => live.callers.change(change).map(drop).map_err(refused),
            None => Ok(()),
        }
    }
}

/// A bot as it is named on the command line.
pub(super) fn bot_coded(code: &str) -> Result<BotCode, Error> {
    code.parse()
        .map_err(|rule| refused(format!("a bot cannot have the code \"{code}\": {rule}")))
}

impl Live {
    /// Refuses a portal that is not there.
    pub(super) fn knows(&self, id: &PortalId) -> Result<(), Error> {
        let why = || {
            refused(format!(
                "there is no portal `{id}`; `portals list` names them"
            ))
        };
        self.portals.get(id).map(drop).ok_or_else(why)
    }
}

pub(super) fn refused(why: impl ToString) -> Error {
    Error::Refused(why.to_string())
}
