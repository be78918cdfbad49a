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
    /// Seconds since that sum of which the portal told nothing, and when each is forgiven.
    untold: VecDeque<(Instant, f64)>,
    /// Not called before this.
    banned_until: Option<Instant>,
    /// When it was last banned.
    banned_at: Option<Instant>,
    under_way: u32,
    /// Seconds of one call, a running mean.
    usual: Option<f64>,
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

impl Spent {
    /// Seconds of which the portal told nothing and that are not forgiven.
    fn untold(&self, now: Instant) -> f64 {
        let counting = self.untold.iter().filter(|(until, _)| *until > now);
        counting.map(|(_, seconds)| seconds).sum()
    }

    fn forgive(&mut self, now: Instant) {
        while self.untold.front().is_some_and(|(until, _)| *until <= now) {
            self.untold.pop_front();
        }
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
            let last = spent.untold.back().map(|(until, _)| *until);
            let kept = KeptMethod {
                seconds: spent.seconds + spent.untold(now),
                forgiven_in: millis(spent.until.max(last)),
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
        spent.forgive(now);
        let untold = spent.untold(now);
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
        let untold_until = spent.untold.front().map(|(until, _)| *until);
        let next = [told_until, untold_until].into_iter().flatten().min();
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
            spent.until = Some(now + reset.unwrap_or(WINDOW));
            spent.untold.clear();
            self.counts = true;
        } else if self.counts {
            let took = took.or(spent.usual).unwrap_or(UNKNOWN.as_secs_f64());
            spent.untold.push_back((now + WINDOW, took));
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
mod tests {
    use super::*;

    const METHOD: Method = Method::CommandAnswer;

    /// A reply that tells its cost.
    fn cost(time: &Time) -> Option<Cost<'_>> {
        Some(Cost {
            told: Some(time),
            measured: Some(Duration::from_secs(7)),
        })
    }

    fn told(operating: f64, duration: f64, reset_in: i64) -> Time {
        Time {
            finish: Some(1000.0),
            duration: Some(duration),
            operating: Some(operating),
            operating_reset_at: Some(1000 + reset_in),
            ..Time::default()
        }
    }

    fn budget() -> Operating {
        Operating::new(Duration::from_secs(420))
    }

    #[test]
    fn method_stops_before_the_line_until_some_is_forgiven() {
        let now = Instant::now();
        let mut operating = budget();
        operating.began(METHOD);
        operating.ended(METHOD, cost(&told(300.0, 30.0, 60)), 1000.0, now);
        assert!(operating.ready(METHOD, 0, now).is_ok());
        operating.began(METHOD);
        operating.began(METHOD);
        // 300 told, two calls of 30 under way, one more would reach 390.
        assert_eq!(
            operating.ready(METHOD, 0, now),
            Err(now + Duration::from_secs(60))
        );
        // Then one call goes and asks how much was forgiven.
        let later = now + Duration::from_secs(60);
        assert!(operating.ready(METHOD, 0, later).is_err());
        operating.ended(METHOD, None, 1060.0, later);
        operating.ended(METHOD, None, 1060.0, later);
        assert!(operating.ready(METHOD, 0, later).is_ok());
        assert!(operating.ready(Method::BotGet, 0, now).is_ok());
    }

    #[test]
    fn ban_lasts_the_later_of_both_readings() {
        let now = Instant::now();
        let mut operating = budget();
        assert_eq!(operating.banned(METHOD, now), now + BAN);
        operating.ended(METHOD, cost(&told(419.0, 1.0, 500)), 1000.0, now);
        let until = operating.banned(METHOD, now);
        assert_eq!(until, now + Duration::from_secs(500));
        assert_eq!(operating.ready(METHOD, 0, now), Err(until));
        assert!(operating.ready(METHOD, 0, until).is_ok());
    }

    #[test]
    fn sums_and_bans_outlive_a_restart_by_what_is_left_of_them() {
        let now = Instant::now();
        let mut operating = budget();
        operating.ended(METHOD, cost(&told(400.0, 30.0, 60)), 1000.0, now);
        operating.banned(Method::BotGet, now);
        let kept = serde_json::to_string(&operating.keep(now)).unwrap();
        let kept: Kept = serde_json::from_str(&kept).unwrap();
        let mut heir = budget();
        heir.resume(&kept, Duration::from_secs(20), now);
        assert_eq!(
            heir.ready(METHOD, 0, now),
            Err(now + Duration::from_secs(40))
        );
        let until = now + BAN - Duration::from_secs(20);
        assert_eq!(heir.ready(Method::BotGet, 0, now), Err(until));
        assert!(heir.ready(Method::BotList, 0, now).is_ok());
        let mut late = budget();
        late.resume(&kept, Duration::from_secs(3600), now);
        assert!(late.ready(METHOD, 0, now).is_ok());
        assert!(late.ready(Method::BotGet, 0, now).is_ok());
    }

    #[test]
    fn absurd_sums_say_nothing_and_absurd_durations_give_way_to_our_own_clock() {
        let now = Instant::now();
        for absurd in [f64::NAN, f64::INFINITY, -1.0, 86_401.0, 1e300] {
            let mut operating = budget();
            operating.ended(
                METHOD,
                cost(&told(absurd, absurd, i64::MIN / 2)),
                1000.0,
                now,
            );
            assert!(operating.ready(METHOD, 0, now).is_ok(), "{absurd}");
            let usual = operating.usual(METHOD);
            assert_eq!(usual, Some(Duration::from_secs(7)), "{absurd}");
        }
    }

    #[test]
    fn no_budget_means_no_pause() {
        let now = Instant::now();
        let mut operating = Operating::new(Duration::ZERO);
        operating.ended(METHOD, cost(&told(10_000.0, 1.0, 60)), 1000.0, now);
        assert!(operating.ready(METHOD, 0, now).is_ok());
    }

    #[test]
    fn portal_that_tells_no_times_is_measured() {
        let now = Instant::now();
        let mut operating = budget();
        assert_eq!(operating.usual(METHOD), None);
        operating.ended(METHOD, None, 1000.0, now);
        assert_eq!(operating.usual(METHOD), None, "a failure says nothing");
        let untold = Cost {
            told: None,
            measured: Some(Duration::from_millis(40)),
        };
        operating.ended(METHOD, Some(untold), 1000.0, now);
        assert_eq!(operating.usual(METHOD), Some(Duration::from_millis(40)));
        operating.ended(METHOD, cost(&told(1.0, 0.09, 60)), 1000.0, now);
        assert_eq!(operating.usual(METHOD), Some(Duration::from_millis(50)));
    }

    #[test]
    fn calls_that_leave_together_stop_before_the_line_together() {
        let now = Instant::now();
        let mut operating = budget();
        operating.ended(METHOD, cost(&told(370.0, 1.0, 60)), 1000.0, now);
        // 378 is the most, 370 are told.
        let ready: Vec<_> = (0..12)
            .map(|aboard| operating.ready(METHOD, aboard, now).is_ok())
            .collect();
        assert_eq!(ready.iter().filter(|ready| **ready).count(), 8);
        assert!(ready[..8].iter().all(|ready| *ready), "{ready:?}");
    }

    #[test]
    fn even_pace_never_meets_the_line() {
        let now = Instant::now();
        let mut operating = budget();
        let untold = Cost {
            told: None,
            measured: Some(Duration::from_millis(30)),
        };
        operating.ended(METHOD, Some(untold), 1000.0, now);
        let pace = operating.even_pace(METHOD, 50);
        let rounds = WINDOW.as_secs_f64() / pace.as_secs_f64();
        let spent = rounds * 50.0 * 0.03;
        assert!((330.0..340.0).contains(&spent), "{spent}");
        assert_eq!(
            Operating::new(Duration::ZERO).even_pace(METHOD, 50),
            Duration::ZERO
        );
    }

    #[test]
    fn failures_are_counted_by_our_clock_where_the_portal_counts() {
        let now = Instant::now();
        let failed = Some(Cost {
            told: None,
            measured: Some(Duration::from_secs(40)),
        });
        let mut operating = budget();
        for _ in 0..20 {
            operating.ended(METHOD, failed, 1000.0, now);
        }
        assert!(operating.ready(METHOD, 0, now).is_ok(), "it counts nothing");

        operating.ended(Method::BotGet, cost(&told(1.0, 1.0, 60)), 1000.0, now);
        let later = now + Duration::from_secs(60);
        for at in [now, now, now, now, later, later, later, later] {
            assert!(operating.ready(METHOD, 0, at).is_ok());
            operating.ended(METHOD, failed, 1000.0, at);
        }
        // 320 spent, 40 more would reach 360; two would be too much.
        assert!(operating.ready(METHOD, 0, later).is_ok());
        operating.began(METHOD);
        assert_eq!(operating.ready(METHOD, 0, later), Err(now + WINDOW));
        // The first four are forgiven then.
        assert!(operating.ready(METHOD, 0, now + WINDOW).is_ok());
        // A sum covers what came before it.
        operating.ended(METHOD, cost(&told(10.0, 40.0, 60)), 1000.0, now + WINDOW);
        assert!(operating.ready(METHOD, 5, now + WINDOW).is_ok());
    }
}
