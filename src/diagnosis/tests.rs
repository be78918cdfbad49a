//! Each state of a silent bot has its first broken link, and says what to do.

mod portals;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    facts::{BotFacts, Facts, PortalFacts, ProcessFacts, Reader},
    *,
};
use crate::{
    bots::LastSaid,
    fault::{Executed, Reason},
    ids::PortalId,
    portal::{Health, State, Waiting, state::LastFailure, wire::Method},
    store::{BotState, EventMode, look::LastCommand},
};

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn before(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// A bot that was spoken to and answered a moment ago, and everything around it is well.
fn well() -> Facts {
    let portal = PortalId::default_portal();
    let state = State {
        health: Health::Ok,
        reason: None,
        since: before(3600),
        until: None,
        last_success: Some(before(1)),
        last_failure: None,
    };
    let waiting = Waiting {
        answers: 0,
        calls: 0,
        polls: 0,
    };
    Facts {
        at: now(),
        process: ProcessFacts {
            started: before(3600),
            failing: Vec::new(),
            stuck: Vec::new(),
            late: SignedDuration::from_secs(120),
            runs: true,
        },
        portals: vec![PortalFacts {
            id: portal.clone(),
            state,
            address: "https://acme.bitrix24.com".to_owned(),
            by_webhook: true,
            ends: None,
            skew: Some(SignedDuration::ZERO),
            permits: Some((50, 50)),
            banned: Vec::new(),
            waiting,
            callers: Vec::new(),
        }],
        bots: vec![BotFacts {
            portal,
            code: "helper".parse().unwrap(),
            id: Some(7),
            owner: "weather".to_owned(),
            created_at: before(3600),
            state: BotState::Active,
            mode: EventMode::Fetch,
            next_mode: None,
            posted_since: None,
            reachable: true,
            suspected: false,
            commands: 1,
            last_poll: Some(before(2)),
            last_event: Some(before(20)),
            last_command: Some(LastCommand {
                received_at: before(20),
                answered: Some(true),
            }),
            said: Some(LastSaid {
                answer: true,
                at: before(19),
                failed: None,
            }),
        }],
        readers: vec![Reader {
            caller: "weather".to_owned(),
            name: Some("work".to_owned()),
            streams: 1,
            gets: vec![0],
            ..Reader::default()
        }],
        failures: Vec::new(),
    }
}

fn parked(facts: &mut Facts, health: Health, reason: Reason) {
    let state = &mut facts.portals[0].state;
    (state.health, state.reason) = (health, Some(reason));
}

fn said(facts: &mut Facts, reason: Reason, executed: Executed) {
    facts.bots[0].said = Some(LastSaid {
        answer: true,
        at: before(5),
        failed: Some((reason, executed)),
    });
}

#[test]
fn bot_that_answers_has_no_broken_link_and_nothing_is_a_problem() {
    let facts = well();
    let chain = bot(&facts, 0).unwrap();
    assert!(
        chain.links.iter().all(|it| it.standing == Standing::Fine),
        "{chain:?}"
    );
    assert_eq!(chain.broken(), None);
    let problems = problems(&facts);
    assert!(problems.is_empty(), "{problems:?}");
}

/// What is changed of what is well, the link that is not fine then, and words that it has.
type Change<T> = (fn(&mut T), Step, &'static str);

/// The same, with words of what to do next.
type Broken = (fn(&mut Facts), Step, &'static str, &'static str);

#[test]
fn first_broken_link_names_what_is_wrong_and_what_to_do() {
    let states: &[Broken] = &[
        (
            |it| {
                parked(
                    it,
                    Health::ReauthorizationRequired,
                    Reason::ReauthorizationRequired,
                )
            },
            Step::Credential,
            "REAUTHORIZATION_REQUIRED",
            "incoming webhook",
        ),
        (
            |it| parked(it, Health::Parked, Reason::PortalPlanWithoutRest),
            Step::Credential,
            "licence",
            "owner",
        ),
        (
            |it| parked(it, Health::Unreachable, Reason::PortalUnreachable),
            Step::Credential,
            "does not answer",
            "doctor --portal",
        ),
        (
            |it| parked(it, Health::Parked, Reason::Restored),
            Step::Credential,
            "restored",
            "store activate",
        ),
        (
            |it| it.portals.clear(),
            Step::Credential,
            "there is no portal",
            "UnregisterBot",
        ),
        (
            |it| it.bots[0].state = BotState::Pending,
            Step::Registered,
            "did not confirm",
            "RegisterBot",
        ),
        (
            |it| it.bots[0].state = BotState::Gone,
            Step::Registered,
            "deleted",
            "RegisterBot",
        ),
        (
            |it| it.bots[0].state = BotState::Foreign,
            Step::Registered,
            "another program",
            "adopt",
        ),
        (
            |it| it.bots[0].last_poll = Some(before(300)),
            Step::Poll,
            "5 min ago",
            "limits",
        ),
        (
            |it| it.bots[0].last_poll = None,
            Step::Poll,
            "never fetched",
            "log",
        ),
        (
            |it| {
                it.bots[0].last_poll = Some(before(300));
                it.portals[0].state.last_failure = Some(LastFailure {
                    at: before(9),
                    method: Method::EventGet,
                    reason: Reason::PortalRefused,
                    portal_code: None,
                });
            },
            Step::Poll,
            "a fetch failed 9 s ago (PORTAL_REFUSED)",
            "log",
        ),
        (
            |it| (it.bots[0].mode, it.bots[0].reachable) = (EventMode::Webhook, false),
            Step::Poll,
            "nobody listens",
            "http.listen",
        ),
        (
            |it| it.process.runs = false,
            Step::Poll,
            "no gateway runs",
            "start",
        ),
        (
            |it| it.bots[0].suspected = true,
            Step::Event,
            "another program",
            "second gateway",
        ),
        (
            |it| it.readers.clear(),
            Step::Subscription,
            "nobody asks",
            "SubscribeCommandEvents",
        ),
        (
            |it| (it.readers[0].gets, it.readers[0].denied) = (vec![], vec![0]),
            Step::Subscription,
            "may not see",
            "`weather`",
        ),
        (
            |it| it.readers[0].streams = 0,
            Step::Stream,
            "no open stream",
            "start",
        ),
        (
            |it| (it.readers[0].unfinished, it.readers[0].oldest) = (3, Some(before(240))),
            Step::Stream,
            "subscription `work` of caller `weather` has about 3 events not done",
            "hangs",
        ),
        (
            |it| said(it, Reason::AnswerWindowClosed, Executed::No),
            Step::Answer,
            "ANSWER_WINDOW_CLOSED",
            "if_window_closed",
        ),
        (
            |it| said(it, Reason::OutcomeUnknown, Executed::Unknown),
            Step::Answer,
            "may have failed",
            "redrive",
        ),
        (
            |it| {
                it.bots[0].said = None;
                it.bots[0].last_command = Some(LastCommand {
                    received_at: before(300),
                    answered: Some(false),
                });
            },
            Step::Answer,
            "nobody knows",
            "redrive",
        ),
    ];
    for (change, step, seen, next) in states {
        let mut facts = well();
        change(&mut facts);
        let chain = bot(&facts, 0).unwrap();
        let broken = chain
            .broken()
            .unwrap_or_else(|| panic!("{seen}: {chain:?}"));
        assert_eq!(broken.step, *step, "{seen}: {chain:?}");
        assert!(broken.seen.contains(seen), "{seen}: {}", broken.seen);
        let told = broken.next.as_deref().unwrap();
        assert!(told.contains(next), "{next}: {told}");
        // Whoever sees the first screen is told the same.
        let problems = problems(&facts);
        if facts.process.runs {
            assert!(
                problems.first().is_some_and(|it| it.grave),
                "{seen}: {problems:?}"
            );
        }
    }
}

#[test]
fn what_nobody_can_tell_breaks_nothing() {
    let states: &[Change<Facts>] = &[
        (
            |it| {
                (it.portals[0].state.health, it.portals[0].state.last_success) =
                    (Health::Unknown, None)
            },
            Step::Credential,
            "not called yet",
        ),
        (
            |it| (it.bots[0].created_at, it.bots[0].last_poll) = (before(5), None),
            Step::Poll,
            "not fetched yet",
        ),
        (
            |it| it.bots[0].next_mode = Some(EventMode::Webhook),
            Step::Poll,
            "being changed",
        ),
        (
            |it| (it.bots[0].last_event, it.bots[0].last_command) = (None, None),
            Step::Event,
            "nothing ever came",
        ),
        (
            |it| it.bots[0].last_command = None,
            Step::Event,
            "no command lately",
        ),
        (
            |it| {
                it.bots[0].said = None;
                it.bots[0].last_command = Some(LastCommand {
                    received_at: before(10),
                    answered: None,
                });
            },
            Step::Answer,
            "not answered yet",
        ),
        (
            |it| {
                it.bots[0].said = None;
                it.bots[0].last_command = Some(LastCommand {
                    received_at: before(100),
                    answered: None,
                });
            },
            Step::Answer,
            "not answered with `AnswerCommand`",
        ),
    ];
    for (change, step, seen) in states {
        let mut facts = well();
        change(&mut facts);
        let chain = bot(&facts, 0).unwrap();
        assert_eq!(chain.broken(), None, "{seen}: {chain:?}");
        let link = chain.links.iter().find(|link| link.step == *step).unwrap();
        assert_eq!(link.standing, Standing::Unknown, "{seen}: {link:?}");
        assert!(link.seen.contains(seen), "{}", link.seen);
        assert!(!problems(&facts).iter().any(|it| it.grave), "{seen}");
    }
}

#[test]
fn answer_by_an_ordinary_message_counts_as_one() {
    let mut facts = well();
    facts.bots[0].last_command = Some(LastCommand {
        received_at: before(100),
        answered: None,
    });
    facts.bots[0].said = Some(LastSaid {
        answer: false,
        at: before(99),
        failed: None,
    });
    let chain = bot(&facts, 0).unwrap();
    let answer = chain.links.last().unwrap();
    assert_eq!(answer.standing, Standing::Fine, "{answer:?}");
}

#[test]
fn portal_that_refuses_all_its_bots_is_one_problem() {
    let mut facts = well();
    parked(&mut facts, Health::Parked, Reason::PortalGone);
    let one = &problems(&facts)[0].seen;
    assert!(one.contains("1 bot of it is silent"), "{one}");
    let mut facts = well();
    for number in 0..20 {
        let mut bot = facts.bots[0].clone();
        bot.code = format!("bot{number}").parse().unwrap();
        facts.bots.push(bot);
    }
    facts.readers[0].gets = (0..21).collect();
    parked(&mut facts, Health::Parked, Reason::PortalGone);
    let problems = problems(&facts);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].seen.contains("21 bots of it are silent"),
        "{problems:?}"
    );
}

#[test]
fn what_is_only_worth_knowing_comes_last() {
    let mut facts = well();
    let ahead = now() + SignedDuration::from_hours(48);
    facts.portals[0].ends = Some(ahead);
    facts.portals[0].skew = Some(SignedDuration::from_secs(-90));
    facts.readers[0].aside = [("EXPIRED", 2)].into();
    facts.process.stuck = vec![("store writer".to_owned(), Duration::from_secs(61))];
    facts.portals[0].banned = vec![(Method::EventGet, now() + SignedDuration::from_secs(60))];
    let problems = problems(&facts);
    let grave: Vec<_> = problems.iter().map(|it| it.grave).collect();
    assert_eq!(grave, [true, true, false, false, false], "{problems:?}");
    for words in [
        "webhook ends in 2 days",
        "differ by 90 s",
        "2 events set aside (EXPIRED)",
    ] {
        assert!(
            problems.iter().any(|it| it.seen.contains(words)),
            "{words}: {problems:?}"
        );
    }
}

#[test]
fn unknown_bot_is_told_with_those_that_there_are() {
    let facts = well();
    let code = "helpr".parse().unwrap();
    let chain = unknown_bot(&facts, &PortalId::default_portal(), &code);
    let broken = chain.broken().unwrap();
    assert_eq!(broken.step, Step::Registered);
    assert!(
        broken.seen.contains("registered there: helper"),
        "{}",
        broken.seen
    );
}
