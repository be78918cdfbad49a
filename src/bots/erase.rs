//! Forgets the bots of a portal that our application was removed from with all its data.

use super::{Bots, Error};
use crate::ids::PortalId;

impl Bots {
    /// Forgets the bots of a portal of which the store was cleared. One that somebody changes meanwhile
    /// goes once that is done.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub async fn forget_portal(&self, portal: &PortalId) -> Result<(), Error> {
        for bot in self.list(portal) {
            let name = (bot.portal, bot.code);
            let _turn = self.0.changes.of(name.clone()).await;
            self.forget(&name).await?;
        }
        Ok(())
    }
}
