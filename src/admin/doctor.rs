//! Why is my bot silent, as the command line asks.

use super::{Done, Error, Keeper, keeper::refused};
use crate::{
    diagnosis::{Report, of_store},
    ids::{BotCode, PortalId},
};

impl Keeper {
    pub(super) async fn doctor(
        &self,
        portal: Option<&str>,
        bot: Option<&str>,
    ) -> Result<Done, Error> {
        let portal: Option<PortalId> =
            match portal {
                Some(name) => Some(name.parse().map_err(|rule| {
                    refused(format!("a portal cannot be named \"{name}\": {rule}"))
                })?),
                None => None,
            };
        let code: Option<BotCode> = match bot {
            Some(name) => Some(name.parse().map_err(|rule| {
                refused(format!("a bot cannot have the code \"{name}\": {rule}"))
            })?),
            None => None,
        };
        let report = match &self.live {
            Some(live) => {
                if let Some(id) = &portal
                    && live.portals.get(id).is_none()
                {
                    let why = format!("there is no portal `{id}`; `portals list` names them");
                    return Err(refused(why));
                }
                live.diagnosis
                    .report(portal.as_ref(), code.as_ref())
                    .await?
            }
            None => Report {
                at: self.clock.now(),
                gateway: vec!["no gateway runs with this store: start it with `serve`".to_owned()],
                chains: match &code {
                    None => Vec::new(),
                    Some(code) => {
                        let names: Vec<_> = self.names.portals.iter().cloned().collect();
                        of_store(&self.store, self.clock, (portal.as_ref(), code), &names).await?
                    }
                },
            },
        };
        Ok(Done::Diagnosed { report })
    }
}
