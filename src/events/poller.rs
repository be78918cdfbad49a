//! Asks a portal for the events of our bots.
//!
//! One at a time, and never more often than half of what the portal allows. Whoever has waited
//! longest past its due time comes next, so that no bot keeps another from being asked. A bot that
//! people talk to is due soon again, a quiet one later, and one whose portal fails later still.
//!
//! Rule: the offset sent is the one the store holds, never a computed one.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::{Config, intake::Intake};
use crate::{
    bots::Bots,
    fault::{Chain, Fault as _},
    ids::BotCode,
    portal::{
        self, Cause, Patience, Portal,
        wire::{EventPage, Method},
    },
    store::{self, BotState, EventMode},
};

/// Events asked for at once.
const PAGE: i64 = 100;

/// Bitrix24 asks for at least this pause where more events wait (C5).
const MORE_PAUSE: Duration = Duration::from_secs(2);

/// Longest pause after failures.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Fetches for one portal.
#[derive(Debug)]
pub(super) struct Poller {
    portal: Portal,
    bots: Bots,
    intake: Intake,
    config: Config,
    paces: HashMap<BotCode, Pace>,
    /// No fetch of any bot before this.
    next_fetch: Instant,
}

/// How a bot is doing.
#[derive(Debug)]
struct Pace {
    bot_id: i64,
    due: Instant,
    busy_until: Instant,
    failures: u32,
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Portal(#[from] portal::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Poller {
    pub(super) fn new(portal: Portal, bots: Bots, intake: Intake, config: Config) -> Self {
        Self {
            portal,
            bots,
            intake,
            config,
            paces: HashMap::new(),
            next_fetch: Instant::now(),
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut changed = self.bots.changed();
        loop {
            changed.mark_unchanged();
            let bots = self.bots_to_poll();
            let next = bots.iter().min_by_key(|(bot, _)| self.due(&bot.code));
            let wait = async {
                match next {
                    Some((bot, _)) => {
                        sleep_until(self.due(&bot.code).max(self.next_fetch)).await;
                        // Nobody is asked while the portal is not called.
                        self.portal.opened().await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                // The sender lives in `bots`, which we hold.
                _ = changed.changed() => continue,
                () = wait => {}
            }
            if let Some((bot, bot_id)) = next {
                tokio::select! {
                    // A fetch can be left at any point: the portal keeps what was not acknowledged,
                    // and a write that began runs to its end.
                    () = stop.cancelled() => return,
                    () = self.poll(bot, *bot_id) => {}
                }
                self.next_fetch = Instant::now() + self.spacing();
            }
        }
    }

    /// Half of what the portal allows is for calls.
    fn spacing(&self) -> Duration {
        match self.portal.rate().per_second {
            0 => Duration::ZERO,
            per_second => Duration::from_secs(2) / per_second,
        }
    }

    fn due(&self, code: &BotCode) -> Instant {
        self.paces
            .get(code)
            .map_or_else(Instant::now, |pace| pace.due)
    }

    /// The bots in the rotation. New ones are due at once.
    fn bots_to_poll(&mut self) -> Vec<(store::Bot, i64)> {
        let mut bots = self.bots.list(self.portal.id());
        bots.retain(|bot| bot.state == BotState::Active && bot.event_mode == EventMode::Fetch);
        let bots: Vec<_> = bots
            .into_iter()
            .filter_map(|bot| bot.bot_id.map(|id| (bot, id)))
            .collect();
        self.paces.retain(|code, pace| {
            bots.iter()
                .any(|(bot, id)| bot.code == *code && *id == pace.bot_id)
        });
        let now = Instant::now();
        for (bot, bot_id) in &bots {
            self.paces.entry(bot.code.clone()).or_insert(Pace {
                bot_id: *bot_id,
                due: now,
                // Somebody who registers a bot is about to try it.
                busy_until: now + self.config.busy_for,
                failures: 0,
            });
        }
        bots
    }

    async fn poll(&mut self, bot: &store::Bot, bot_id: i64) {
        let outcome = self.fetch(bot, bot_id).await;
        let now = Instant::now();
        let Some(pace) = self.paces.get_mut(&bot.code) else {
            return;
        };
        match outcome {
            Ok(Progress { news, more }) => {
                pace.failures = 0;
                if news {
                    pace.busy_until = now + self.config.busy_for;
                }
                let pause = if more {
                    MORE_PAUSE
                } else if now < pace.busy_until {
                    self.config.busy_pause
                } else {
                    self.config.idle_pause
                };
                pace.due = now + pause;
            }
            Err(failure) => {
                pace.failures = pace.failures.saturating_add(1);
                // From the usual pause, doubled with each failure.
                let doubled = self
                    .config
                    .busy_pause
                    .saturating_mul(1 << pace.failures.min(10));
                let asked = match &failure {
                    Failure::Portal(error) => error.retry_after().unwrap_or_default(),
                    Failure::Store(_) => Duration::ZERO,
                };
                pace.due = now + doubled.max(asked).min(MAX_PAUSE);
                let failures = pace.failures;
                self.report(bot, failures, failure).await;
            }
        }
    }

    async fn fetch(&self, bot: &store::Bot, bot_id: i64) -> Result<Progress, Failure> {
        let identity = self.bots.identity(&bot.portal, &bot.code);
        let Ok(identity) = identity else {
            // Unregistered a moment ago.
            return Ok(Progress {
                news: false,
                more: false,
            });
        };
        let fetched = self.bots.fetched(&bot.portal, &bot.code).await?;
        let mut call = identity.call(Method::EventGet).with("limit", PAGE);
        if let Some(offset) = fetched.next_offset {
            call = call.with("offset", offset);
        }
        let reply = self.portal.call_once(call, &Patience::endless()).await?;
        let page = EventPage::from_result(reply.result).map_err(|unreadable| {
            portal::Error::unreadable(Method::EventGet, unreadable).at(self.portal.id())
        })?;
        let more = page.has_more;
        let news = self
            .intake
            .take(bot, bot_id, fetched.last_polled_at, page)
            .await?;
        debug!(portal.id = %bot.portal, bot.code = %bot.code, news, more, "events fetched");
        Ok(Progress { news, more })
    }

    async fn report(&self, bot: &store::Bot, failures: u32, failure: Failure) {
        let state = match &failure {
            Failure::Portal(error) => match error.cause() {
                Cause::BotMissing => BotState::Gone,
                Cause::BotToken => BotState::Foreign,
                _ => {
                    // An outage of hours is not to fill the log: the 1st, 2nd, 4th, 8th ... time.
                    if failures.is_power_of_two() {
                        warn!(
                            portal.id = %bot.portal,
                            bot.code = %bot.code,
                            failures,
                            reason = error.reason().as_str(),
                            portal.code = error.portal_code(),
                            error = %Chain(error),
                            "events cannot be fetched"
                        );
                    }
                    return;
                }
            },
            Failure::Store(error) => {
                error!(portal.id = %bot.portal, bot.code = %bot.code, error = %Chain(error), "events cannot be stored, the portal keeps them");
                return;
            }
        };
        warn!(portal.id = %bot.portal, bot.code = %bot.code, ?state, "bot leaves the rotation until it is registered again");
        if let Err(error) = self.bots.mark(&bot.portal, &bot.code, state).await {
            error!(portal.id = %bot.portal, bot.code = %bot.code, error = %Chain(&error), "state of the bot cannot be stored");
        }
    }
}

/// What a fetch brought.
struct Progress {
    news: bool,
    more: bool,
}
