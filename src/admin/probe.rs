//! What a portal shows of what is relied upon without a promise, as the command line asks.

use super::{
    Done, Error, Keeper,
    keeper::{bot_coded, refused},
    portals::portal_id,
};
use crate::ids::{DialogId, PortalId};

impl Keeper {
    /// Only a gateway that runs has the tokens and the pace of a portal, and something that learns.
    pub(super) async fn probe(
        &self,
        portal: Option<&str>,
        bot: &str,
        dialog: Option<&str>,
    ) -> Result<Done, Error> {
        let Some(live) = &self.live else {
            return Err(refused(
                "no gateway runs with this store, and only one that runs can probe: start it with `serve`",
            ));
        };
        let code = bot_coded(bot)?;
        let portal = portal.map(portal_id).transpose()?;
        let dialog: Option<DialogId> = dialog
            .map(str::parse)
            .transpose()
            .map_err(|rule| refused(format!("--dialog {rule}")))?;
        if let Some(id) = &portal {
            live.knows(id)?;
        }
        let found = live.diagnosis.portals_of(&code, portal.as_ref());
        let [portal] = &found[..] else {
            return Err(refused(match &found[..] {
                [] => format!(
                    "no bot `{code}` was registered {}: `RegisterBot` does it",
                    portal.map_or_else(
                        || "in any portal".to_owned(),
                        |id| format!("in portal `{id}`")
                    )
                ),
                several => {
                    let names: Vec<_> = several.iter().map(PortalId::as_str).collect();
                    let names = names.join(", ");
                    format!(
                        "several portals have a bot `{code}`: say with --portal which of {names}"
                    )
                }
            }));
        };
        let settings = self.switches_of(portal);
        let asking = live
            .diagnosis
            .probe((portal, &code), dialog.as_ref(), &settings);
        let probe = asking.await.map_err(refused)?;
        Ok(Done::Probed { probe })
    }

    /// Where the switches of a portal stand in the configuration: those of all where it has no place of its own.
    fn switches_of(&self, portal: &PortalId) -> String {
        let named = self.names.portals.contains(portal) && *portal != PortalId::default_portal();
        match named {
            // In TOML a dot would part the name.
            true if portal.as_str().contains('.') => format!("portals.\"{portal}\".assume"),
            true => format!("portals.{portal}.assume"),
            false => "assume".to_owned(),
        }
    }
}
