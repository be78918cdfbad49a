//! Killed while competing bots work through a named subscription.
//!
//! Every command is answered once, or stands set aside with the reason; none is answered twice, none
//! disappears, and none is handed out before the one that was typed before it in its dialog. Those
//! whose answers nobody knows about are the ones that were begun and not recorded when the gateway was
//! killed, and no others. `GATEWAY_KILLS` sets how often something is killed, `GATEWAY_SEED` repeats
//! the choices of a run.

mod place;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use bitrix24_gateway::proto::v1::SetAsideReason;
use bitrix24_sim::Fault;
use tokio::time::sleep;

use self::place::Place;
use crate::{lock, number, until};

const ANSWER: &str = "imbot.v2.Command.answer";

/// How often something is killed, unless the environment says otherwise.
const KILLS: usize = 10;

const DIALOGS: usize = 4;

/// Commands typed in each dialog between two kills.
const COMMANDS: usize = 3;

/// The next ones are typed only when no more than so many wait.
const WAITING: i64 = 24;

#[tokio::test(flavor = "multi_thread")]
async fn killed_gateway_and_bots_lose_no_command_and_answer_none_twice() {
    let kills = number("GATEWAY_KILLS").unwrap_or(KILLS);
    let random = || usize::try_from(RandomState::new().hash_one(()) >> 32).unwrap();
    let seed = number("GATEWAY_SEED").unwrap_or_else(random);
    println!("GATEWAY_SEED={seed}");
    let mut dice = Dice(u64::try_from(seed).unwrap());
    let (mut place, mut gateway) = Place::made(DIALOGS).await;
    // Long enough for a kill to fall between sending and recording.
    let latency = Duration::from_millis(20);
    place.portal.set_latency(Some(ANSWER), latency);
    let mut bots = [place.bot(), place.bot()];
    let mut unknown = BTreeSet::new();
    let mut killed = [0; 3];

    for round in 0..kills {
        for _ in 0..COMMANDS {
            for dialog in 0..DIALOGS {
                place.types(dialog);
            }
        }
        // Before the gateway is ready, or somewhere in the middle of the work.
        if round % 4 == 0 {
            while place.waiting().await > WAITING {
                sleep(Duration::from_millis(20)).await;
            }
        }
        sleep(Duration::from_millis(dice.below(700))).await;
        // Half of the time the gateway, else a bot; now and then all of them.
        let fate = dice.below(10);
        if fate < 5 || fate == 9 {
            gateway.kill();
            let begun = place.begun();
            assert!(begun.is_superset(&unknown), "what is unknown stays so");
            // Of a dialog one command at a time is handed out, so one answer at most was under way.
            assert!(begun.len() - unknown.len() <= DIALOGS, "{begun:?}");
            unknown = begun;
            killed[0] += 1;
        }
        for (which, bot) in bots.iter_mut().enumerate() {
            if fate == 9 || [5..7, 7..9][which].contains(&fate) {
                bot.kill();
                *bot = place.bot();
                killed[1 + which] += 1;
            }
        }
        if fate < 5 || fate == 9 {
            gateway = place.gateway();
        }
    }
    place.settles().await;
    let figures = judge(&place, &unknown).await;
    println!("gateway and bots killed: {killed:?}; {figures}");
    gateway.kill();
    assert_eq!(place.begun(), unknown, "no more answers are lost");
}

/// Whether what people see, what the gateway says and what the bots noted fit together. Tells the figures.
async fn judge(place: &Place, unknown: &BTreeSet<u64>) -> String {
    let posted = place.posted();
    for (params, count) in &posted {
        assert!(*count == 1, "{params} was answered {count} times");
    }
    let aside = place.set_aside().await;
    let mut reasons: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for (params, _, reason) in &aside {
        let reason = reasons.entry(reason.as_str_name()).or_default();
        assert!(reason.insert(params), "{params} is set aside twice");
    }
    let is_aside: HashSet<_> = aside.iter().map(|(params, ..)| params.clone()).collect();
    let missing: Vec<_> = place
        .commands()
        .filter(|params| !posted.contains_key(params) && !is_aside.contains(params))
        .collect();
    assert!(
        missing.is_empty(),
        "neither answered nor set aside: {missing:?}"
    );

    // Those that nobody knows about are those that were begun when the gateway was killed.
    let lost = |reason: &SetAsideReason| *reason == SetAsideReason::AnswerOutcomeUnknown;
    let lost = aside.iter().filter(|(_, _, reason)| lost(reason));
    let (lost, seqs): (BTreeSet<_>, BTreeSet<_>) =
        lost.map(|(params, seq, _)| (params, *seq)).unzip();
    assert_eq!(seqs, *unknown, "{lost:?}");
    for (params, _, reason) in &aside {
        assert_ne!(*reason, SetAsideReason::Expired, "{params} is young");
        let known = lost.contains(params) || !posted.contains_key(params);
        assert!(
            known,
            "{params} was answered and is set aside as {reason:?}"
        );
    }
    // A bot that was told of an answer was told the truth.
    for params in place.noted("answered") {
        assert!(posted.contains_key(&params), "{params} was not answered");
        assert!(!is_aside.contains(&params), "{params} is done");
    }
    for params in place.noted("unknown") {
        assert!(lost.contains(&params), "{params} is known");
    }

    let handed = place.noted("handed");
    let mut seen = HashSet::new();
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for params in handed.iter().filter(|params| seen.insert(*params)) {
        let (dialog, number) = params.split_once('-').unwrap();
        let number: usize = number.parse().unwrap();
        let next = next.entry(dialog).or_default();
        assert!(number >= *next, "{params} was overtaken");
        *next = number + 1;
    }
    let again = handed.len() - seen.len();
    let reached = lost.iter().filter(|params| posted.contains_key(**params));
    let reasons = reasons.iter().map(|(reason, of)| (reason, of.len()));
    format!(
        "commands: {}, answered {}, handed out again {again}; unknown {}, of which {} were posted; set \
         aside: {:?}",
        place.commands().count(),
        posted.len(),
        lost.len(),
        reached.count(),
        reasons.collect::<Vec<_>>(),
    )
}

/// Where an answer is when the gateway is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The portal was asked and has done nothing.
    Asked,
    /// It has posted the answer, and did not say so yet.
    Posted,
    /// It has said so, and the store cannot be written.
    Told,
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_was_sent_and_not_recorded_is_set_aside_as_unknown_and_not_repeated() {
    let (mut place, mut gateway) = Place::made(1).await;
    let _bot = place.bot();
    let mut unknown = BTreeSet::new();
    for moment in [Moment::Asked, Moment::Posted, Moment::Told] {
        let before = place.types(0);
        until(|| place.posted().contains_key(&before)).await;
        place.settles().await;

        let faults = place.portal.faults();
        let journal = place.portal.journal();
        let calls = || journal.calls(ANSWER).len();
        let earlier = calls();
        faults.on(
            ANSWER,
            match moment {
                Moment::Asked => Fault::hang(),
                Moment::Posted => Fault::latency(Duration::from_secs(60)).after_effect(),
                // Long enough to lock the store between the effect and the answer.
                Moment::Told => Fault::latency(Duration::from_secs(1)).after_effect(),
            },
        );
        let params = place.types(0);
        let after = place.types(0);
        until(|| faults.waiting() == 0).await;
        let mut locked = None;
        if moment != Moment::Asked {
            until(|| place.posted().contains_key(&params)).await;
        }
        if moment == Moment::Told {
            locked = Some(lock(place.folder.path()));
            until(|| calls() > earlier).await;
        }
        gateway.kill();
        drop(locked);
        faults.clear();
        gateway = place.gateway();
        // The dialog goes on, and nothing of it is answered a second time.
        until(|| place.posted().contains_key(&after)).await;
        place.settles().await;
        let posted = place.posted();
        assert!(posted.values().all(|count| *count == 1), "{posted:?}");
        let is_posted = posted.contains_key(&params);
        assert_eq!(is_posted, moment != Moment::Asked, "{moment:?}");
        unknown.insert((params, SetAsideReason::AnswerOutcomeUnknown));
        let aside = place.set_aside().await;
        let aside: BTreeSet<_> = aside
            .into_iter()
            .map(|(params, _, why)| (params, why))
            .collect();
        assert_eq!(aside, unknown, "{moment:?}");
    }
}

/// SplitMix64: small, and good enough to choose moments by.
struct Dice(u64);

impl Dice {
    /// 0 and more, but less than `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
