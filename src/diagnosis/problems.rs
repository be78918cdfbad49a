//! What is wrong, a line for each, the gravest first.

use jiff::SignedDuration;

use super::{
    Facts, Link, Standing, Step,
    bot::bot,
    facts::named,
    meaning, portal,
    words::{count, lasting},
};
use crate::{fault::Reason, portal::WAITING_CALLS};

/// How long before its end a webhook is spoken of.
const AHEAD: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Clocks that differ by more than this are worth a word.
const SKEW: SignedDuration = SignedDuration::from_secs(30);

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether bots are silent for it, or are about to be; else it is only worth knowing.
    pub grave: bool,
    /// What it is about.
    pub about: String,
    /// What is seen.
    pub seen: String,
    /// What to do next.
    pub next: String,
}

impl Problem {
    fn new(grave: bool, about: impl Into<String>, seen: impl Into<String>, next: &str) -> Self {
        Self {
            grave,
            about: about.into(),
            seen: seen.into(),
            next: next.to_owned(),
        }
    }
}

/// All of them: of the process, of portals, of bots, of readers.
#[must_use]
pub fn problems(facts: &Facts) -> Vec<Problem> {
    let mut all = of_process(facts);
    of_portals(facts, &mut all);
    of_bots(facts, &mut all);
    of_readers(facts, &mut all);
    // Stable: what comes first among the grave ones is what others follow from.
    all.sort_by_key(|problem| !problem.grave);
    all
}

/// What is wrong with the gateway itself, a line each.
pub(super) fn gateway(facts: &Facts) -> Vec<String> {
    let all = of_process(facts).into_iter();
    all.map(|it| format!("{}: {}; {}", it.about, it.seen, it.next))
        .collect()
}

fn of_process(facts: &Facts) -> Vec<Problem> {
    let failing = facts.process.failing.iter().map(|(part, why)| {
        let next = match part.as_str() {
            "store" => "see whether its disk is full or fails, and what the log says; the portals keep events for 24 hours",
            "stop" => "the gateway was asked to stop; start it again if that was not meant",
            _ => "wait, or see in the log what it waits for",
        };
        Problem::new(true, part.clone(), why.clone(), next)
    });
    let stuck = facts.process.stuck.iter().map(|(name, owed)| {
        let seen = format!("made no progress for {} s", owed.as_secs());
        Problem::new(
            true,
            name.clone(),
            seen,
            "restart the gateway, and report what the log says",
        )
    });
    let mut all: Vec<_> = failing.chain(stuck).collect();
    if facts
        .portals
        .iter()
        .any(|it| it.state.reason == Some(Reason::Restored))
    {
        let (seen, next) = meaning::of(Reason::Restored);
        all.push(Problem::new(
            true,
            "store",
            format!("{seen}{}", named(Some(Reason::Restored))),
            next,
        ));
    }
    all
}

fn of_portals(facts: &Facts, all: &mut Vec<Problem>) {
    for portal in &facts.portals {
        let about = format!("portal {}", portal.id);
        let Link {
            standing,
            seen,
            next,
            ..
        } = portal::credential(portal, facts.at);
        if standing == Standing::Broken && portal.state.reason != Some(Reason::Restored) {
            let silent = facts
                .bots
                .iter()
                .filter(|bot| bot.portal == portal.id)
                .count();
            let seen = match silent {
                0 => seen,
                1 => format!("{seen}; 1 bot of it is silent"),
                silent => format!("{seen}; {} of it are silent", count(silent as u64, "bot")),
            };
            all.push(Problem::new(
                true,
                about.clone(),
                seen,
                &next.unwrap_or_default(),
            ));
        }
        if let Some(ends) = portal.ends {
            let left = ends.duration_since(facts.at);
            if left.is_positive() && left <= AHEAD {
                let seen = format!("its webhook ends in {}", lasting(left));
                let next = "make another incoming webhook, and put its URL and its end into the configuration";
                all.push(Problem::new(false, about.clone(), seen, next));
            }
        }
        for (method, until) in &portal.banned {
            let (means, next) = meaning::of(Reason::PortalOperatingLimit);
            let wait = lasting(until.duration_since(facts.at));
            all.push(Problem::new(
                true,
                about.clone(),
                format!("{means}: `{method}`, for {wait} more"),
                next,
            ));
        }
        if let Some(skew) = portal.skew.filter(|skew| skew.abs() > SKEW) {
            let seen = format!("its clock and ours differ by {}", lasting(skew.abs()));
            let next =
                "set the clock of this machine by NTP; if it is right, the portal's is wrong";
            all.push(Problem::new(false, about.clone(), seen, next));
        }
        let waiting = portal.waiting.answers + portal.waiting.calls;
        if waiting >= WAITING_CALLS / 2 {
            let (means, next) = meaning::of(Reason::QueueFull);
            all.push(Problem::new(
                true,
                about,
                format!("{means}: {waiting}"),
                next,
            ));
        }
    }
}

fn of_bots(facts: &Facts, all: &mut Vec<Problem>) {
    for (index, one) in facts.bots.iter().enumerate() {
        let Some(chain) = bot(facts, index) else {
            continue;
        };
        let Some(link) = chain.broken() else { continue };
        if link.step == Step::Credential && facts.portal(&one.portal).is_some() {
            // Told of its portal.
            continue;
        }
        let seen = format!("{}: {}", link.step, link.seen);
        let next = link.next.clone().unwrap_or_default();
        all.push(Problem::new(true, chain.name(), seen, &next));
    }
    if facts.bots.is_empty() {
        let next = "start a bot's service: it calls `RegisterBot`";
        all.push(Problem::new(
            false,
            "bots",
            "no bot is registered yet",
            next,
        ));
    }
}

fn of_readers(facts: &Facts, all: &mut Vec<Problem>) {
    for reader in &facts.readers {
        let aside = reader.set_aside();
        if aside == 0 {
            continue;
        }
        let reasons: Vec<_> = reader.aside.keys().copied().collect();
        let seen = format!(
            "{} set aside ({})",
            count(aside, "event"),
            reasons.join(", ")
        );
        let next = "`subscriptions aside NAME` names them; `redrive` hands them out again, `drop` forgets them";
        all.push(Problem::new(false, reader.label(), seen, next));
    }
}
