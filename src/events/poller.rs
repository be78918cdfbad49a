//! Asks a portal for the events of our bots.
//!
//! All bots that are due are asked for in one request, as far as the portal takes calls together, and
//! requests leave no more often than half of what it allows. Whoever is longest past its due time comes
//! first, so that no bot keeps another from being asked. A bot that people talk to is due soon again, a
//! quiet one later, and one whose portal fails later still ([`pace`]).
//!
//! What a request brings is judged, stored and paced for each bot by itself ([`fetch`]). While one
//! request is under way the next one leaves, so a fetch that hangs holds up nobody who is not in it.
//!
//! A bot of which nothing came for an hour is looked at, for its events might go elsewhere ([`watch`]).
//!
//! Rule: the offset sent is the one the store holds, or held before, never a computed one.

mod fetch;
mod pace;
mod watch;

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::{
    fetch::{Failure, Fetch, Fetched, Fetcher},
    pace::Pace,
};
use super::{Config, intake::Intake};
use crate::{
    bots::Bots,
    fault::{Chain, Fault as _},
    ids::BotCode,
    lifecycle::Pulse,
    portal::{Portal, wire::Method},
    store::{self, BotState, EventMode},
};

/// Most events of a bot asked for at once. Bitrix24 gives up to 1000, with a pause of two seconds between
/// pages (C5): this many end a backlog of an outage soon, and still come in one answer of moderate size.
const PAGE: usize = 500;

/// What an event takes up in an answer, on average and at most. The documented samples take up to 2 KiB;
/// one whose text has the allowed 20,000 characters may take 120 KiB (C5), and pages that are full of
/// those come in smaller portions after they failed.
const EVENT_BYTES: usize = 16 << 10;

/// Fewest events of a bot worth asking for.
const FEWEST: usize = 5;

/// What may be saved up of the pace that the operating time allows, so that a crowd need not wait.
const SAVED: Duration = Duration::from_secs(45);

/// A bot is looked at when nothing of it came, and it was not looked at, for so long.
const UNSEEN: Duration = Duration::from_secs(3600);

/// Pause between looks at two bots.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);

/// A poller that waits wakes so often to show that it could go on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Fetches for one portal.
#[derive(Debug)]
pub(super) struct Poller {
    fetcher: Arc<Fetcher>,
    config: Config,
    rotation: HashMap<BotCode, Member>,
    /// No request before this.
    next_request: Instant,
    /// When everything asked for would have left at the pace that the operating time allows, and
    /// [`SAVED`] later.
    paid_until: Instant,
    /// No look at a bot before this.
    next_look: Instant,
}

/// A bot in the rotation.
#[derive(Debug)]
struct Member {
    bot: store::Bot,
    bot_id: i64,
    pace: Pace,
    under_way: bool,
    /// When it was last certain that its events come to us.
    seen: Instant,
}

impl Poller {
    pub(super) fn new(portal: Portal, bots: Bots, intake: Intake, config: Config) -> Self {
        let now = Instant::now();
        Self {
            fetcher: Arc::new(Fetcher {
                portal,
                bots,
                intake,
                watch: Mutex::default(),
                pulse: Pulse::default(),
            }),
            config,
            rotation: HashMap::new(),
            next_request: now,
            paid_until: now + SAVED,
            next_look: now,
        }
    }

    /// Its progress. What waits for the portal owes none.
    pub(super) fn pulse(&self) -> Pulse {
        self.fetcher.pulse.clone()
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let fetcher = Arc::clone(&self.fetcher);
        let mut changed = fetcher.bots.changed();
        self.enrol();
        // A fetch can be left at any point: the portal keeps what was not acknowledged, and a write that
        // began runs to its end.
        let mut under_way = FuturesUnordered::new();
        let mut looks = FuturesUnordered::new();
        let mut signs = interval(SIGN_OF_LIFE);
        let mut _turn;
        loop {
            _turn = fetcher.pulse.owe();
            let next = self.next();
            let look = self.look().filter(|_| looks.is_empty());
            let due = async {
                match &look {
                    Some((_, due)) => {
                        sleep_until(*due).await;
                        fetcher.portal.opened().await;
                    }
                    None => std::future::pending().await,
                }
            };
            let turn = async {
                match next {
                    Some(next) => {
                        sleep_until(next).await;
                        // Nobody is asked while the portal is not called.
                        fetcher.portal.opened().await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = signs.tick() => {}
                // The sender lives in `bots`, which we hold.
                _ = changed.changed() => self.enrol(),
                Some(fetched) = under_way.next() => self.settle(fetched),
                Some(code) = looks.next() => self.looked(&code),
                () = due => looks.extend(look.map(|(code, _)| fetcher.look(code))),
                () = turn => {
                    let group = self.pick();
                    let fetches = tokio::select! {
                        () = stop.cancelled() => return,
                        fetches = fetcher.begin(group) => fetches,
                    };
                    under_way.extend(fetches);
                }
            }
        }
    }

    /// The bots in the rotation. New ones are due at once.
    fn enrol(&mut self) {
        let mut before = mem::take(&mut self.rotation);
        for bot in self.fetcher.bots.list(self.fetcher.portal.id()) {
            let fetched = bot.state == BotState::Active && bot.event_mode == EventMode::Fetch;
            let Some(bot_id) = bot.bot_id.filter(|_| fetched) else {
                continue;
            };
            let known = before.remove(&bot.code);
            let known = known.filter(|member| member.bot_id == bot_id);
            let (mut pace, under_way, seen) = known.map_or_else(
                || (Pace::new(&self.config), false, Instant::now()),
                |member| (member.pace, member.under_way, member.seen),
            );
            if self
                .fetcher
                .bots
                .is_drained(&(bot.portal.clone(), bot.code.clone()))
            {
                pace.due = Instant::now();
            }
            let member = Member {
                bot,
                bot_id,
                pace,
                under_way,
                seen,
            };
            self.rotation.insert(member.bot.code.clone(), member);
        }
        let rotation = &self.rotation;
        self.fetcher
            .watch()
            .keep(|code| rotation.contains_key(code));
    }

    /// When the next request leaves.
    fn next(&self) -> Option<Instant> {
        let waiting = self.rotation.values().filter(|member| !member.under_way);
        let due = waiting.map(|member| member.pace.due).min()?;
        Some(due.max(self.next_request))
    }

    /// Which bot is looked at next, and when.
    fn look(&self) -> Option<(BotCode, Instant)> {
        let unseen = self.rotation.values().min_by_key(|member| member.seen)?;
        let due = (unseen.seen + UNSEEN).max(self.next_look);
        Some((unseen.bot.code.clone(), due))
    }

    /// What there was to see is noted.
    fn looked(&mut self, code: &BotCode) {
        let now = Instant::now();
        self.next_look = now + BETWEEN_LOOKS;
        if let Some(member) = self.rotation.get_mut(code) {
            member.seen = now;
        }
    }

    /// Half of what the portal allows is for calls.
    fn spacing(&self) -> Duration {
        match self.fetcher.portal.rate().per_second {
            0 => Duration::ZERO,
            per_second => Duration::from_secs(2) / per_second,
        }
    }

    /// Whom to ask for now: all that are due before the next request could leave, the oldest first.
    fn pick(&mut self) -> Vec<Fetch> {
        let now = Instant::now();
        let (portal, bots) = (&self.fetcher.portal, &self.fetcher.bots);
        let soon = now + self.spacing();
        let mut due: Vec<_> = self
            .rotation
            .values_mut()
            .filter(|member| !member.under_way && member.pace.due <= soon)
            .collect();
        due.sort_by_key(|member| member.pace.due);
        let events = portal.answer_limit() / EVENT_BYTES;
        let mut most = portal.most_together(Method::EventGet);
        most = most.min(events / FEWEST).max(1);
        let mut group = Vec::new();
        for member in due {
            let company = most.min(member.pace.company());
            if group.len() < company {
                most = company;
                group.push(member);
            }
        }
        let backlogs = group.iter().filter(|member| member.pace.more).count();
        let all = group.len();
        let fetch = |member: &mut Member| {
            member.under_way = true;
            // Half of the answer is for those of whom more waits, the other half for all others.
            let peers = match member.pace.more {
                _ if backlogs == 0 || backlogs == all => all,
                true => backlogs * 2,
                false => (all - backlogs) * 2,
            };
            let limit = (events / peers).clamp(1, PAGE) >> member.pace.doubts();
            let name = (member.bot.portal.clone(), member.bot.code.clone());
            Fetch {
                bot: member.bot.clone(),
                bot_id: member.bot_id,
                known: bots.known_now(&name),
                limit: limit.max(1),
                alone: member.pace.company() == 1,
            }
        };
        let group: Vec<_> = group.into_iter().map(fetch).collect();
        self.paid_until = self.paid_until.max(now) + portal.even_pace(Method::EventGet, all);
        self.next_request = soon.max(self.paid_until - SAVED);
        group
    }

    fn settle(&mut self, fetched: Fetched) {
        let Some(member) = self.rotation.get_mut(&fetched.code) else {
            return;
        };
        // Another bot may have its name by now.
        if member.bot_id != fetched.bot_id {
            return;
        }
        member.under_way = false;
        match fetched.outcome {
            Ok(progress) => {
                if progress.news {
                    member.seen = Instant::now();
                }
                member.pace.succeeded(&progress, &self.config);
            }
            Err(failure) => {
                let another_way = self.fetcher.knows_another_way(&failure);
                if member.pace.failed(&failure, another_way, &self.config) {
                    let untold = || self.fetcher.intake.may_tell_of_loss();
                    report(&member.bot, member.pace.failures(), &failure, untold);
                }
            }
        }
    }
}

fn report(
    bot: &store::Bot,
    failures: u32,
    failure: &Failure,
    untold: impl FnOnce() -> Option<u64>,
) {
    match failure {
        // Told where it is marked.
        Failure::Portal(error) if fetch::farewell(error).is_some() => {}
        // An outage of hours is not to fill the log: the 1st, 2nd, 4th, 8th ... time.
        Failure::Portal(error) if failures.is_power_of_two() => warn!(
            portal.id = %bot.portal,
            bot.code = %bot.code,
            failures,
            reason = error.reason().as_str(),
            portal.code = error.portal_code(),
            error = %Chain(error),
            "events cannot be fetched"
        ),
        Failure::Portal(_) => {}
        Failure::Store(error) => {
            if let Some(untold) = untold() {
                error!(portal.id = %bot.portal, bot.code = %bot.code, error = %Chain(error), untold, "events cannot be stored, the portal keeps them");
            }
        }
    }
}
