//! The operating time of each method, as far as the portal tells.
//!
//! An answer says how much this credential spent in its method over the last ten minutes, and when the
//! oldest part of that is forgiven. The portal checks before a call and lets the call that crosses the
//! line through, so we stop before the line: what is under way counts with what such a call usually
//! takes. After a ban the later of both published readings holds: the time told, and five minutes.
//!
//! Failures tell nothing, and nobody says whether they are charged. Where answers tell sums, what came
//! back without one is counted by our own clock until the next sum, which then covers it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::MethodBudget;
use crate::{
    clock::Clock,
    portal::wire::{Method, Time},
};

/// A ban lasts this long in the portal's code, whatever was told (C5).
const BAN: Duration = Duration::from_secs(300);

/// A sum that nobody renewed is forgiven after this.
const WINDOW: Duration = Duration::from_secs(600);

/// The part of a budget that calls at an even pace use. The rest is for the queue, which stops at nine
/// tenths, and for those who keep the pace only on average.
const EVEN: f64 = 0.8;

/// Whoever asks too early finds nothing forgiven and has spent more; whole seconds are told.
const MARGIN: Duration = Duration::from_secs(1);

/// What came within this time is forgiven together, with the last of it: too late by this at most.
const LOT: Duration = Duration::from_secs(10);

/// Calls of a method that was never seen are taken for this long.
const UNKNOWN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Operating {
    /// Seconds per method and ten minutes; 0 means no limit.
    budget: f64,
    /// Whether this portal counts at all: some answer told a sum.
    counts: bool,
    methods: HashMap<Method, Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    /// Seconds spent, as last told.
    seconds: f64,
    /// When the sum is looked at again: some or all of it is forgiven by then.
    until: Option<Instant>,
    /// Of what came since that sum the portal told nothing: see [`Untold`].
    untold: Untold,
    /// Not called before this.
    banned_until: Option<Instant>,
    /// When it was last banned.
    banned_at: Option<Instant>,
    under_way: u32,
    /// Seconds of one call, a running mean.
    usual: Option<f64>,
}

/// Seconds of which the portal told nothing, in lots that are forgiven together. Many failures make few
/// lots, so that adding them up costs little however many there were.
#[derive(Debug, Default)]
struct Untold(VecDeque<Lot>);

#[derive(Debug)]
struct Lot {
    began: Instant,
    /// When the last of it is forgiven.
    until: Instant,
    seconds: f64,
}

/// What a call cost that may have run.
#[derive(Debug, Clone, Copy)]
pub(in crate::portal) struct Cost<'a> {
    /// What the portal says.
    pub(in crate::portal) told: Option<&'a Time>,
    /// How long we waited for the answer; of calls that travelled together, each its share. `None` when
    /// no answer came, which says nothing of the call.
    pub(in crate::portal) measured: Option<Duration>,
}

/// What outlives a restart, by method. Times are milliseconds from when it was written.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept(BTreeMap<String, KeptMethod>);

#[derive(Debug, Serialize, Deserialize)]
struct KeptMethod {
    seconds: f64,
    forgiven_in: u64,
    banned_for: u64,
    usual: Option<f64>,
}

impl Untold {
    /// Adds what ended now.
    fn add(&mut self, seconds: f64, now: Instant) {
        let until = now + WINDOW;
        match self.0.back_mut().filter(|lot| now < lot.began + LOT) {
            Some(lot) => {
                lot.until = until;
                lot.seconds += seconds;
            }
            None => self.0.push_back(Lot {
                began: now,
                until,
                seconds,
            }),
        }
    }

    /// Seconds that are not forgiven.
    fn seconds(&self, now: Instant) -> f64 {
        let counting = self.0.iter().filter(|lot| lot.until > now);
        counting.map(|lot| lot.seconds).sum()
    }

    fn forgive(&mut self, now: Instant) {
        while self.0.front().is_some_and(|lot| lot.until <= now) {
            self.0.pop_front();
        }
    }

    /// When some of it is forgiven.
    fn first_until(&self) -> Option<Instant> {
        self.0.front().map(|lot| lot.until)
    }

    /// When all of it is forgiven.
    fn last_until(&self) -> Option<Instant> {
        self.0.back().map(|lot| lot.until)
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

impl Operating {
    /// What is worth keeping.
    pub(super) fn keep(&self, now: Instant) -> Kept {
        let millis = |until: Option<Instant>| {
            let left = until.map(|until| until.saturating_duration_since(now));
            u64::try_from(left.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
        };
        let kept = self.methods.iter().map(|(method, spent)| {
            let kept = KeptMethod {
                seconds: spent.seconds + spent.untold.seconds(now),
                forgiven_in: millis(spent.until.max(spent.untold.last_until())),
                banned_for: millis(spent.banned_until),
                usual: spent.usual,
            };
            (method.as_str().to_owned(), kept)
        });
        Kept(kept.collect())
    }

    /// Goes on from what was kept this long ago.
    pub(super) fn resume(&mut self, kept: &Kept, ago: Duration, now: Instant) {
        // Nothing is kept for longer than a ban and a window, whatever the record says.
        let left = |millis: u64| {
            let left = Duration::from_millis(millis).saturating_sub(ago);
            (!left.is_zero()).then(|| now + left.min(WINDOW))
        };
        for method in Method::ALL {
            let Some(kept) = kept.0.get(method.as_str()) else {
                continue;
            };
            let until = left(kept.forgiven_in);
            let spent = self.methods.entry(*method).or_default();
            spent.seconds = if until.is_some() { kept.seconds } else { 0.0 };
            spent.until = until;
            self.counts |= spent.seconds > 0.0;
            spent.banned_until = left(kept.banned_for);
            spent.usual = kept.usual;
        }
    }

    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget: budget.as_secs_f64(),
            counts: false,
            methods: HashMap::new(),
        }
    }

    pub(super) fn ready(
        &mut self,
        method: Method,
        aboard: u32,
        now: Instant,
    ) -> Result<(), Instant> {
        let Some(spent) = self.methods.get_mut(&method) else {
            return Ok(());
        };
        if let Some(until) = spent.banned_until {
            if now < until {
                return Err(until);
            }
            spent.banned_until = None;
            spent.seconds = 0.0;
            spent.untold.clear();
        }
        if self.budget == 0.0 {
            return Ok(());
        }
        spent.untold.forgive(now);
        let untold = spent.untold.seconds(now);
        if spent.seconds + untold == 0.0 {
            return Ok(());
        }
        let usual = spent.usual.unwrap_or(UNKNOWN.as_secs_f64());
        let before = f64::from(spent.under_way) + f64::from(aboard);
        let expected = untold + usual * (before + 1.0);
        // A tenth stays in reserve: calls differ, and others may share the credential.
        let most = self.budget * 0.9;
        if spent.seconds + expected <= most {
            return Ok(());
        }
        let told_until = spent.until.filter(|until| *until > now);
        // Some of it is forgiven by now: one call goes and asks how much.
        if told_until.is_none() && before == 0.0 && expected <= most {
            return Ok(());
        }
        let next = [told_until, spent.untold.first_until()]
            .into_iter()
            .flatten()
            .min();
        Err(next.unwrap_or(now + Duration::from_secs(1)))
    }

    pub(super) fn began(&mut self, method: Method) {
        self.methods.entry(method).or_default().under_way += 1;
    }

    pub(super) fn ended(
        &mut self,
        method: Method,
        cost: Option<Cost<'_>>,
        unix: f64,
        now: Instant,
    ) {
        let spent = self.methods.entry(method).or_default();
        spent.under_way = spent.under_way.saturating_sub(1);
        let Some(Cost { told, measured }) = cost else {
            return;
        };
        let possible = |took: &f64| (0.0..=WINDOW.as_secs_f64()).contains(took);
        // Our own clock counts the way as well, so it errs on the safe side; without it calls of a portal
        // that tells nothing would travel alone for ever.
        let told_took = told.and_then(|time| time.duration).filter(possible);
        let measured = measured.map(|measured| measured.as_secs_f64());
        let took = told_took.or(measured);
        spent.usual = match (took, spent.usual) {
            (Some(took), Some(usual)) => Some(usual * 0.8 + took * 0.2),
            (took, usual) => took.or(usual),
        };
        // Absurd sums say nothing.
        let sum = told
            .and_then(|time| time.operating)
            .filter(|sum| sum.is_finite() && (0.0..=86_400.0).contains(sum));
        if let (Some(time), Some(sum)) = (told, sum) {
            spent.seconds = sum;
            let reset = time.operating_reset_at.map(|at| {
                #[expect(clippy::cast_precision_loss, reason = "a Unix time is far below 2^52")]
                let wait = at as f64 - time.finish.unwrap_or(unix);
                Duration::try_from_secs_f64(wait)
                    .unwrap_or_default()
                    .min(WINDOW)
            });
            spent.until = Some(now + reset.map_or(WINDOW, |reset| reset + MARGIN));
            spent.untold.clear();
            self.counts = true;
        } else if self.counts {
            let took = took.or(spent.usual).unwrap_or(UNKNOWN.as_secs_f64());
            spent.untold.add(took, now);
        }
    }

    pub(super) fn usual(&self, method: Method) -> Option<Duration> {
        let usual = self.methods.get(&method)?.usual?;
        Duration::try_from_secs_f64(usual).ok()
    }

    /// How long so many calls last at a pace that uses [`EVEN`] of the budget.
    pub(super) fn even_pace(&self, method: Method, calls: usize) -> Duration {
        if self.budget == 0.0 {
            return Duration::ZERO;
        }
        let usual = self.usual(method).unwrap_or(UNKNOWN);
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let seconds = usual.as_secs_f64() * f64::from(calls) * WINDOW.as_secs_f64();
        Duration::try_from_secs_f64(seconds / (self.budget * EVEN)).unwrap_or(WINDOW)
    }

    pub(super) fn banned(&mut self, method: Method, now: Instant) -> Instant {
        let spent = self.methods.entry(method).or_default();
        let told = spent.until.unwrap_or(now);
        let until = told.max(now + BAN);
        spent.banned_until = Some(until);
        spent.banned_at = Some(now);
        until
    }

    /// The ban that lasts longest: since when, and until when.
    pub(super) fn ban(&self, now: Instant) -> Option<(Instant, Instant)> {
        let bans = self.methods.values().filter_map(|spent| {
            let until = spent.banned_until.filter(|until| *until > now)?;
            Some((spent.banned_at.unwrap_or(now), until))
        });
        bans.max_by_key(|(_, until)| *until)
    }

    pub(super) fn budget(&self) -> Duration {
        Duration::try_from_secs_f64(self.budget).unwrap_or_default()
    }

    /// What is known of each method, by name.
    pub(super) fn methods(&self, now: Instant, clock: Clock) -> Vec<MethodBudget> {
        let later = |at: Option<Instant>| at.filter(|at| *at > now).map(|at| clock.at(at));
        let known = self.methods.iter().map(|(method, spent)| MethodBudget {
            method: *method,
            spent: Duration::try_from_secs_f64(spent.seconds).unwrap_or_default(),
            forgiven: later(spent.until),
            banned_until: later(spent.banned_until),
        });
        let mut known: Vec<_> = known.collect();
        known.sort_by_key(|budget| budget.method.as_str());
        known
    }
}

#[cfg(test)]
mod tests;
