//! What is stopped before the line, and for how long.

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
        Err(now + Duration::from_secs(60) + MARGIN)
    );
    // Then one call goes and asks how much was forgiven.
    let later = now + Duration::from_secs(60) + MARGIN;
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
    assert_eq!(until, now + Duration::from_secs(500) + MARGIN);
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
        Err(now + Duration::from_secs(40) + MARGIN)
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

#[test]
fn who_asks_too_early_does_not_ask_again_at_once() {
    let now = Instant::now();
    let mut operating = budget();
    // By the time the answer tells, the oldest part is due already, and yet nothing was forgiven.
    operating.ended(METHOD, cost(&told(400.0, 2.0, -1)), 1000.0, now);
    assert_eq!(operating.ready(METHOD, 0, now), Err(now + MARGIN));
    assert!(operating.ready(METHOD, 0, now + MARGIN).is_ok());
}
