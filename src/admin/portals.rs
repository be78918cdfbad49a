//! Portals that are added and removed, and who may use those that installed themselves.

use secrecy::SecretString;

use super::{Done, Error, From, Keeper, PortalLine, Secret, keeper::refused};
use crate::{
    ids::PortalId,
    portal::{Expected, WebhookUrl},
};

impl Keeper {
    pub(super) async fn list_portals(&self) -> Result<Done, Error> {
        let added = self.added().await?;
        let grants = self.store.grants().await?;
        let live = self.live.as_ref();
        let mut names: Vec<PortalId> = match live {
            Some(live) => live
                .portals
                .list()
                .iter()
                .map(|portal| portal.id().clone())
                .collect(),
            None => {
                let pairs = self.store.pairs().await?.into_iter();
                let pairs = pairs.map(|(id, _)| id);
                self.names
                    .portals
                    .iter()
                    .cloned()
                    .chain(added.iter().cloned())
                    .chain(pairs)
                    .collect()
            }
        };
        names.sort();
        names.dedup();
        let line = |id: PortalId| {
            let state = live.and_then(|live| Some(live.portals.get(&id)?.state()));
            let granted = grants.iter().filter(|(portal, _)| *portal == id);
            PortalLine {
                from: match () {
                    () if self.names.portals.contains(&id) => From::Configured,
                    () if added.contains(&id) => From::Added,
                    () => From::Installed,
                },
                state: state.as_ref().map(|state| format!("{:?}", state.health)),
                reason: state
                    .and_then(|state| state.reason)
                    .map(|reason| reason.as_str().to_owned()),
                granted_to: granted.map(|(_, caller)| caller.clone()).collect(),
                name: id.to_string(),
            }
        };
        Ok(Done::Portals {
            portals: names.into_iter().map(line).collect(),
        })
    }

    pub(super) async fn add_portal(&self, name: &str, url: &SecretString) -> Result<Done, Error> {
        let id = portal_id(name)?;
        // The rule, never the text, which is a secret.
        let webhook = WebhookUrl::parse(url).map_err(|rule| {
            refused(format!(
                "that is not the URL of an incoming webhook: {rule}"
            ))
        })?;
        if self.names.portals.contains(&id) {
            return Err(refused(format!("the portal `{id}` is configured")));
        }
        if self.added().await?.contains(&id) {
            let why = format!("the portal `{id}` exists; `portals remove` ends it");
            return Err(refused(why));
        }
        if self.is_installed(&id).await? {
            return Err(refused(format!("the portal `{id}` installed itself")));
        }
        self.store.save_webhook(&id, url).await?;
        if let Some(live) = &self.live {
            let added = live.portals.add_webhook(id.clone(), webhook).await;
            if let Err(error) = added {
                // It was installed in this moment.
                self.store.erase_webhook(&id).await?;
                return Err(refused(error));
            }
        }
        self.in_force(|roster| {
            roster.named.insert(id);
        })?;
        Ok(Done::PortalAdded {})
    }

    pub(super) async fn remove_portal(&self, name: &str) -> Result<Done, Error> {
        let id = portal_id(name)?;
        let configured = self.names.portals.contains(&id);
        if !self.store.erase_webhook(&id).await? {
            let why = if configured {
                format!("the portal `{id}` is configured: take it out of the configuration")
            } else if self.is_installed(&id).await? {
                format!("the portal `{id}` installed itself: remove the application there")
            } else {
                format!("there is no portal `{id}`; `portals list` names them")
            };
            return Err(refused(why));
        }
        if configured {
            // What was stored beside it was not in use.
            return Ok(Done::PortalRemoved {});
        }
        self.in_force(|roster| {
            roster.named.remove(&id);
        })?;
        if let Some(live) = &self.live {
            live.portals.remove_webhook(&id).await;
        }
        Ok(Done::PortalRemoved {})
    }

    pub(super) fn authorize(&self, portal: &str, replace_user: bool) -> Result<Done, Error> {
        let live = self.live.as_ref().ok_or_else(|| {
            refused("no gateway runs with this store: only the one that makes a link knows it")
        })?;
        let authorizations = live.authorizations.as_ref().ok_or_else(|| {
            refused(
                "the gateway receives nothing over HTTP: set `http.listen` and `http.public_url`",
            )
        })?;
        // Every host has a dot, no `member_id` of Bitrix24 has one.
        let expected = if portal.contains('.') {
            Expected::Host(portal.to_ascii_lowercase())
        } else {
            Expected::Member(portal.to_ascii_lowercase())
        };
        let url = authorizations
            .new_link(expected, replace_user)
            .map_err(refused)?;
        Ok(Done::AuthorizationLink { url: Secret(url) })
    }

    pub(super) async fn grant(
        &self,
        portal: &str,
        caller: &str,
        revoke: bool,
    ) -> Result<Done, Error> {
        let id = portal_id(portal)?;
        let granted = (id.clone(), caller.to_owned());
        if revoke {
            if !self.store.withdraw(&id, caller).await? {
                let why = format!("the portal `{id}` was not granted to `{caller}`");
                return Err(refused(why));
            }
            self.in_force(|roster| {
                roster.grants.remove(&granted);
            })?;
            return Ok(Done::GrantRevoked {});
        }
        if self.names.portals.contains(&id) || self.added().await?.contains(&id) {
            let why = format!(
                "the portal `{id}` did not install itself: name it in the caller's `portals`"
            );
            return Err(refused(why));
        }
        if !self.is_installed(&id).await? {
            return Err(refused(format!(
                "there is no portal `{id}`; `portals list` names them"
            )));
        }
        let kept = self.kept_caller(caller).await?;
        let known = self.configured_callers().contains(caller)
            || kept.is_some_and(|kept| kept.token.is_some());
        if !known {
            let why = format!("there is no caller `{caller}`; `callers list` names them");
            return Err(refused(why));
        }
        self.store.grant(&id, caller).await?;
        self.in_force(|roster| {
            roster.grants.insert(granted);
        })?;
        Ok(Done::PortalGranted {})
    }

    async fn added(&self) -> Result<Vec<PortalId>, Error> {
        let webhooks = self.store.webhooks().await?.into_iter();
        Ok(webhooks.map(|(id, _)| id).collect())
    }

    async fn is_installed(&self, id: &PortalId) -> Result<bool, Error> {
        Ok(self.store.pair(id).await?.is_some())
    }
}

/// A portal as it is named on the command line.
pub(super) fn portal_id(name: &str) -> Result<PortalId, Error> {
    name.parse()
        .map_err(|rule| refused(format!("a portal cannot be named \"{name}\": {rule}")))
}
