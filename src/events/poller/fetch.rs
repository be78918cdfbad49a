//! One fetch, from the stored offset to the stored events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, join_all, ready};
use jiff::Timestamp;
use tracing::{debug, error, warn};

use super::{Intake, watch::Watch};
use crate::{
    bots::{Bots, Known, Sign},
    fault::Chain,
    ids::BotCode,
    lifecycle::Pulse,
    portal::{
        self, Call, Cause, Patience, Portal,
        wire::{EventPage, Method, Reply},
    },
    store::{self, BotState},
};

/// What all fetches need.
#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) portal: Portal,
    pub(super) bots: Bots,
    pub(super) intake: Intake,
    pub(super) watch: Mutex<Watch>,
    pub(super) pulse: Pulse,
}

/// What to ask for.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) bot: store::Bot,
    pub(super) bot_id: i64,
    /// What was known of the bot when it was chosen.
    pub(super) known: Known,
    /// Events at most.
    pub(super) limit: usize,
    /// In a request of its own, whoever else waits.
    pub(super) alone: bool,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) code: BotCode,
    pub(super) bot_id: i64,
    pub(super) outcome: Result<Progress, Failure>,
}

/// What it brought.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Something new.
    pub(super) news: bool,
    /// More waits in the portal.
    pub(super) more: bool,
    /// Seconds that the portal worked on it, if it says so.
    pub(super) took: Option<f64>,
}

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Portal(#[from] portal::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Fetch {
    fn ended(self, outcome: Result<Progress, Failure>) -> Fetched {
        Fetched {
            code: self.bot.code,
            bot_id: self.bot_id,
            outcome,
        }
    }
}

impl Fetcher {
    /// Puts fetches in line together. Each ends by itself.
    pub(super) async fn begin(
        self: &Arc<Self>,
        group: Vec<Fetch>,
    ) -> Vec<impl Future<Output = Fetched> + use<>> {
        let span = Arc::new(self.intake.polls(group.len()));
        let known = join_all(
            group
                .iter()
                .map(|fetch| self.bots.fetched(&fetch.bot.portal, &fetch.bot.code)),
        )
        .await;
        let (mut ended, mut asked, mut calls) = (Vec::new(), Vec::new(), Vec::new());
        for (fetch, known) in group.into_iter().zip(known) {
            let known = known.map(|known| {
                let stored = known.next_offset;
                let offset = self.watch().offset(&fetch.bot.code, fetch.bot_id, stored);
                (self.call(&fetch, offset), known.last_polled_at, offset)
            });
            match known {
                Ok((Some(call), last_poll, offset)) => {
                    calls.push(call);
                    asked.push((fetch, last_poll, offset));
                }
                // Unregistered a moment ago.
                Ok((None, ..)) => ended.push(fetch.ended(Ok(Progress::default()))),
                Err(error) => ended.push(fetch.ended(Err(error.into()))),
            }
        }
        let together = || self.portal.call_together(calls, &Patience::endless());
        let replies = span.place().enter(together);
        let ended = ended
            .into_iter()
            .map(|fetched| Either::Left(ready(fetched)));
        let asked = asked.into_iter().zip(replies);
        let asked = asked.map(|((fetch, last_poll, offset), reply)| {
            let fetcher = Arc::clone(self);
            // The last one to end ends it.
            let span = Arc::clone(&span);
            Either::Right(async move {
                let taking = async {
                    let reply = reply.await;
                    fetcher.take(&fetch, last_poll, offset, reply).await
                };
                let outcome = span.run(taking).await;
                fetch.ended(outcome)
            })
        });
        ended.chain(asked).collect()
    }

    /// The call for a bot, unless it is gone.
    fn call(&self, fetch: &Fetch, offset: Option<i64>) -> Option<Call> {
        let identity = self.bots.identity(&fetch.bot.portal, &fetch.bot.code);
        let call = identity.ok()?.call(Method::EventGet);
        let mut call = call.with("limit", fetch.limit);
        call.alone = fetch.alone;
        Some(match offset {
            Some(offset) => call.with("offset", offset),
            None => call,
        })
    }

    /// Stores what came for a bot.
    async fn take(
        &self,
        fetch: &Fetch,
        last_poll: Option<Timestamp>,
        offset: Option<i64>,
        reply: Result<Reply, portal::Error>,
    ) -> Result<Progress, Failure> {
        let _owed = self.pulse.owe();
        let Fetch { bot, bot_id, .. } = fetch;
        if reply.is_err() {
            self.watch().failed(&bot.code);
        }
        let reply = match reply {
            Ok(reply) => reply,
            // Not asked, and soon asked again.
            Err(error) if matches!(error.cause(), Cause::BotTokenChanging) => {
                return Ok(Progress::default());
            }
            Err(error) => {
                if let Some(state) = farewell(&error) {
                    self.dismiss(fetch, state).await;
                }
                return Err(error.into());
            }
        };
        let took = reply.time.and_then(|time| time.duration);
        let page = EventPage::from_result(reply.result).map_err(|unreadable| {
            portal::Error::unreadable(Method::EventGet, unreadable).at(self.portal.id())
        })?;
        let more = page.has_more;
        let now = self.intake.now();
        if self.watch().came(&bot.code, *bot_id, offset, &page, now) {
            self.bots.suspect(bot, *bot_id, Sign::EventsVanished).await;
        }
        let empty = page.events.is_empty();
        let news = self.intake.take(bot, *bot_id, last_poll, page).await?;
        self.watch().stored(&bot.code, more);
        debug!(portal.id = %bot.portal, bot.code = %bot.code, news, more, "events fetched");
        if empty {
            self.bots.drained(&(bot.portal.clone(), bot.code.clone()));
        }
        Ok(Progress { news, more, took })
    }

    pub(super) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks how the portal delivers the events of a bot, which says whether it still does so to us.
    pub(super) async fn look(&self, code: BotCode) -> BotCode {
        let patience = Patience::endless();
        let looked = self.bots.read(self.portal.id(), &code, &patience);
        if let Err(error) = looked.await {
            debug!(portal.id = %self.portal.id(), bot.code = %code, error = %Chain(&error), "bot cannot be looked at");
        }
        code
    }

    async fn dismiss(&self, fetch: &Fetch, state: BotState) {
        let bot = &fetch.bot;
        warn!(portal.id = %bot.portal, bot.code = %bot.code, ?state, "bot leaves the rotation until it is registered again");
        let name = (bot.portal.clone(), bot.code.clone());
        if let Err(error) = self.bots.mark(name, fetch.known, state).await {
            error!(portal.id = %bot.portal, bot.code = %bot.code, error = %Chain(&error), "state of the bot cannot be stored");
        }
    }

    /// Whether a fetch that failed so surely goes another way now.
    pub(super) fn knows_another_way(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Portal(error) => self.portal.knows_another_way(error),
            Failure::Store(_) => false,
        }
    }
}

/// What a bot has become that is not asked for any more.
pub(super) fn farewell(error: &portal::Error) -> Option<BotState> {
    match error.cause() {
        Cause::BotMissing => Some(BotState::Gone),
        Cause::BotToken => Some(BotState::Foreign),
        _ => None,
    }
}
