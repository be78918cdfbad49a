//! Bots of which somebody else seems to read the events: a portal hands each event to one reader only
//! (C12), so what another program takes never reaches us.
//!
//! A sign is remembered for a day, over restarts, and until the bot is registered again.

use jiff::SignedDuration;
use tracing::{debug, warn};

use super::{Bots, Error, Name};
use crate::{
    fault::Chain,
    ids::{BotCode, PortalId},
    store::{self, EventMode, Gap, Suspicion},
};

/// A suspicion without further signs ends after this.
const LASTS: SignedDuration = SignedDuration::from_hours(24);

/// The reason of a gap, as published.
const FOREIGN_READER: &str = "FOREIGN_READER";

/// What makes us think so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Events we had been shown and had not acknowledged were not there any more.
    EventsVanished,
    /// The portal does not keep its events for fetching, though we never told it so.
    ModeChanged,
}

impl Bots {
    /// Whether somebody else seems to read the events of a bot.
    #[must_use]
    pub fn is_suspected(&self, portal: &PortalId, code: &BotCode) -> bool {
        let now = self.0.clock.now();
        let seen = self
            .suspected()
            .get(&(portal.clone(), code.clone()))
            .copied();
        seen.is_some_and(|seen| now.duration_since(seen) < LASTS)
    }

    /// Notes a sign. The first one puts a gap into the log. A store that cannot be written does not keep
    /// anybody from what they were at: there will be another sign.
    pub(crate) async fn suspect(&self, bot: &store::Bot, bot_id: i64, sign: Sign) {
        let now = self.0.clock.now();
        let suspicion = Suspicion {
            portal: bot.portal.clone(),
            code: bot.code.clone(),
            seen_at: now,
        };
        let gap = Gap {
            // When the other one began is anybody's guess.
            from: None,
            until: now,
            why: FOREIGN_READER.to_owned(),
        };
        let stale = now.checked_sub(LASTS).unwrap_or(now);
        let noted = self.0.store.suspect(suspicion, stale, bot_id, gap).await;
        match noted {
            Ok(new) => {
                let name = (bot.portal.clone(), bot.code.clone());
                self.suspected().insert(name, now);
                if new {
                    warn!(portal.id = %bot.portal, bot.code = %bot.code, ?sign, "another program seems to read the events of the bot: some may never reach us");
                }
            }
            Err(error) => {
                warn!(portal.id = %bot.portal, bot.code = %bot.code, ?sign, error = %Chain(&error), "another program seems to read the events of the bot, which cannot be stored");
            }
        }
    }

    /// The bot was registered again, or is gone.
    pub(super) async fn trust(&self, name: &Name) -> Result<(), Error> {
        if self.suspected().contains_key(name) {
            self.0.store.trust(&name.0, &name.1).await?;
            self.suspected().remove(name);
            debug!(portal.id = %name.0, bot.code = %name.1, "nobody else is suspected to read the events of the bot any more");
        }
        Ok(())
    }

    /// Compares how a portal says that it delivers events with what we know, before and after we asked.
    pub(super) async fn compare_mode(&self, before: &store::Bot, told: EventMode) {
        let name = (before.portal.clone(), before.code.clone());
        let after = self.known().get(&name).cloned();
        let same =
            |bot: &store::Bot| bot.bot_id == before.bot_id && bot.event_mode == EventMode::Fetch;
        // Nor while somebody changes it through us.
        let at_rest = self.0.changes.is_free(&name);
        if let (Some(bot), Some(bot_id)) = (after.filter(same), before.bot_id)
            && before.event_mode == EventMode::Fetch
            && told == EventMode::Webhook
            && at_rest
        {
            self.suspect(&bot, bot_id, Sign::ModeChanged).await;
        }
    }
}
