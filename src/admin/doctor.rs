//! Why is my bot silent, as the command line asks.

use super::{Done, Error, Keeper, keeper::bot_coded, portals::portal_id};
use crate::diagnosis::{Report, of_store};

impl Keeper {
    pub(super) async fn doctor(
        &self,
        portal: Option<&str>,
        bot: Option<&str>,
    ) -> Result<Done, Error> {
        let portal = portal.map(portal_id).transpose()?;
        let code = bot.map(bot_coded).transpose()?;
        let report = match &self.live {
            Some(live) => {
                if let Some(id) = &portal {
                    live.knows(id)?;
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
