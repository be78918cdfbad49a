//! The operating time of each method, as far as the portal tells.
//!
//! An answer says how much this credential spent in its method over the last ten minutes, and when the
//! oldest part of that is forgiven. The portal checks before a call and lets the call that crosses the
//! line through, so we stop before the line: what is under way counts with what such a call usually
//! takes. After a ban the later of both published readings holds: the time told, and five minutes.

use std::{
    collections::{BTreeMap, HashMap},
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

/// Calls of a method that was never seen are taken for this long.
const UNKNOWN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Operating {
    /// Seconds per method and ten minutes; 0 means no limit.
    budget: f64,
    methods: HashMap<Method, Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    /// Seconds spent, as last told.
    seconds: f64,
    /// When the sum is looked at again: some or all of it is forgiven by then.
    until: Option<Instant>,
    /// Not called before this.
    banned_until: Option<Instant>,
    /// When it was last banned.
    banned_at: Option<Instant>,
    under_way: u32,
    /// Seconds of one call, a running mean.
    usual: Option<f64>,
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

impl Operating {
    /// What is worth keeping.
    pub(super) fn keep(&self, now: Instant) -> Kept {
        let millis = |until: Option<Instant>| {
            let left = until.map(|until| until.saturating_duration_since(now));
            u64::try_from(left.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
        };
        let kept = self.methods.iter().map(|(method, spent)| {
            let kept = KeptMethod {
                seconds: spent.seconds,
                forgiven_in: millis(spent.until),
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
            spent.banned_until = left(kept.banned_for);
            spent.usual = kept.usual;
        }
    }

    pub(super) fn new(budget: Duration) -> Self {
        Self {
            budget: budget.as_secs_f64(),
            methods: HashMap::new(),
        }
    }

    pub(super) fn ready(&mut self, method: Method, now: Instant) -> Result<(), Instant> {
        let Some(spent) = self.methods.get_mut(&method) else {
            return Ok(());
        };
        if let Some(until) = spent.banned_until {
            if now < until {
                return Err(until);
            }
            spent.banned_until = None;
            spent.seconds = 0.0;
        }
        if self.budget == 0.0 {
            return Ok(());
        }
        let usual = spent.usual.unwrap_or(UNKNOWN.as_secs_f64());
        let expected = spent.seconds + usual * f64::from(spent.under_way + 1);
        // A tenth stays in reserve: calls differ, and others may share the credential.
        if spent.seconds == 0.0 || expected <= self.budget * 0.9 {
            return Ok(());
        }
        match spent.until {
            Some(until) if until > now => Err(until),
            // Some of it is forgiven by now: one call goes and asks how much.
            _ if spent.under_way == 0 => Ok(()),
            _ => Err(now + Duration::from_secs(1)),
        }
    }

    pub(super) fn began(&mut self, method: Method) {
        self.methods.entry(method).or_default().under_way += 1;
    }

    pub(super) fn ended(&mut self, method: Method, time: Option<&Time>, unix: f64, now: Instant) {
        let spent = self.methods.entry(method).or_default();
        spent.under_way = spent.under_way.saturating_sub(1);
        let Some(time) = time else {
            return;
        };
        let took = time
            .duration
            .filter(|took| (0.0..=WINDOW.as_secs_f64()).contains(took));
        if let Some(took) = took {
            spent.usual = Some(spent.usual.map_or(took, |usual| usual * 0.8 + took * 0.2));
        }
        // Absurd sums say nothing.
        let told = time
            .operating
            .filter(|sum| sum.is_finite() && (0.0..=86_400.0).contains(sum));
        if let Some(sum) = told {
            spent.seconds = sum;
            let reset = time.operating_reset_at.map(|at| {
                #[expect(clippy::cast_precision_loss, reason = "a Unix time is far below 2^52")]
                let wait = at as f64 - time.finish.unwrap_or(unix);
                Duration::try_from_secs_f64(wait)
                    .unwrap_or_default()
                    .min(WINDOW)
            });
            spent.until = Some(now + reset.unwrap_or(WINDOW));
        }
    }

    pub(super) fn usual(&self, method: Method) -> Option<Duration> {
        let usual = self.methods.get(&method)?.usual?;
        Duration::try_from_secs_f64(usual).ok()
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
        operating.ended(METHOD, Some(&told(300.0, 30.0, 60)), 1000.0, now);
        assert!(operating.ready(METHOD, now).is_ok());
        operating.began(METHOD);
        operating.began(METHOD);
        // 300 told, two calls of 30 under way, one more would reach 390.
        assert_eq!(
            operating.ready(METHOD, now),
            Err(now + Duration::from_secs(60))
        );
        // Then one call goes and asks how much was forgiven.
        let later = now + Duration::from_secs(60);
        assert!(operating.ready(METHOD, later).is_err());
        operating.ended(METHOD, None, 1060.0, later);
        operating.ended(METHOD, None, 1060.0, later);
        assert!(operating.ready(METHOD, later).is_ok());
        assert!(operating.ready(Method::BotGet, now).is_ok());
    }

    #[test]
    fn ban_lasts_the_later_of_both_readings() {
        let now = Instant::now();
        let mut operating = budget();
        assert_eq!(operating.banned(METHOD, now), now + BAN);
        operating.ended(METHOD, Some(&told(419.0, 1.0, 500)), 1000.0, now);
        let until = operating.banned(METHOD, now);
        assert_eq!(until, now + Duration::from_secs(500));
        assert_eq!(operating.ready(METHOD, now), Err(until));
        assert!(operating.ready(METHOD, until).is_ok());
    }

    #[test]
    fn sums_and_bans_outlive_a_restart_by_what_is_left_of_them() {
        let now = Instant::now();
        let mut operating = budget();
        operating.ended(METHOD, Some(&told(400.0, 30.0, 60)), 1000.0, now);
        operating.banned(Method::BotGet, now);
        let kept = serde_json::to_string(&operating.keep(now)).unwrap();
        let kept: Kept = serde_json::from_str(&kept).unwrap();
        let mut heir = budget();
        heir.resume(&kept, Duration::from_secs(20), now);
        assert_eq!(heir.ready(METHOD, now), Err(now + Duration::from_secs(40)));
        let until = now + BAN - Duration::from_secs(20);
        assert_eq!(heir.ready(Method::BotGet, now), Err(until));
        assert!(heir.ready(Method::BotList, now).is_ok());
        let mut late = budget();
        late.resume(&kept, Duration::from_secs(3600), now);
        assert!(late.ready(METHOD, now).is_ok());
        assert!(late.ready(Method::BotGet, now).is_ok());
    }

    #[test]
    fn absurd_sums_and_durations_are_ignored() {
        let now = Instant::now();
        for absurd in [f64::NAN, f64::INFINITY, -1.0, 86_401.0, 1e300] {
            let mut operating = budget();
            operating.ended(
                METHOD,
                Some(&told(absurd, absurd, i64::MIN / 2)),
                1000.0,
                now,
            );
            assert!(operating.ready(METHOD, now).is_ok(), "{absurd}");
            assert_eq!(operating.usual(METHOD), None, "{absurd}");
        }
    }

    #[test]
    fn no_budget_means_no_pause() {
        let now = Instant::now();
        let mut operating = Operating::new(Duration::ZERO);
        operating.ended(METHOD, Some(&told(10_000.0, 1.0, 60)), 1000.0, now);
        assert!(operating.ready(METHOD, now).is_ok());
    }
}
