//! What is written stays, and stays apart.

use std::{fs, path::Path};

use futures_util::future::join_all;
use secrecy::ExposeSecret as _;

use tokio::time::advance;

use super::*;
use crate::lifecycle::{Health, STUCK};

#[tokio::test]
async fn bots_and_entries_come_back_as_they_were() {
    let place = Place::new();
    let opened = place.try_open().await.unwrap();
    assert!(opened.created_key_file.is_some());
    let store = opened.store;
    store.save_bot(&bot("ada")).await.unwrap();
    let entries = vec![event("e1", 0, true), gap(1), event("e2", 2, false)];
    store.append(append("ada", entries.clone())).await.unwrap();
    let log_id = store.log_id();
    store.close().await;

    let opened = place.try_open().await.unwrap();
    assert!(opened.created_key_file.is_none());
    let store = opened.store;
    assert_eq!((store.log_id(), store.head()), (log_id, 3));
    let page = store.read(0, ALL, Filter::default()).await.unwrap();
    let read: Vec<Entry> = page
        .entries
        .into_iter()
        .map(|stored| stored.entry)
        .collect();
    assert_eq!(read, entries);
    let bots = store.bots().await.unwrap();
    assert_eq!(bots.len(), 1);
    assert_eq!(bots[0].token.expose_secret(), "hush-token");
    assert_eq!(bots[0].properties, bot("ada").properties);
    assert_eq!(bots[0].commands, bot("ada").commands);
    assert_eq!(bots[0].skip, bot("ada").skip);
    store
        .forget_bot(&bots[0].portal, &bots[0].code)
        .await
        .unwrap();
    assert!(store.bots().await.unwrap().is_empty());
    assert_eq!(
        store.find(3).await.unwrap().map(|stored| stored.seq),
        Some(3)
    );
    assert_eq!(store.find(4).await.unwrap(), None);
}

#[tokio::test]
async fn acknowledged_writes_survive_a_power_cut() {
    let place = Place::new();
    let store = place.open().await;
    store.save_bot(&bot("ada")).await.unwrap();
    for index in 0..20 {
        let entry = event(&index.to_string(), index, false);
        store.append(append("ada", vec![entry])).await.unwrap();
    }
    let elsewhere = Config {
        dir: place.0.path().join("after"),
        ..place.config()
    };
    cut_power(&place.dir(), &elsewhere.dir);
    let after = Store::open(elsewhere, Clock::system()).await.unwrap().store;
    assert_eq!(after.head(), 20);
    assert_eq!(after.bots().await.unwrap().len(), 1);
}

#[test]
fn store_dropped_with_its_runtime_can_be_opened_again() {
    let place = Place::new();
    for round in 1..=3 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let store = runtime.block_on(place.open());
        let entry = event(&round.to_string(), 0, false);
        let done = runtime.block_on(store.append(append("ada", vec![entry])));
        assert_eq!(done.unwrap().head, round);
    }
}

#[tokio::test]
async fn many_appends_share_few_commits() {
    let place = Place::new();
    let store = place.open().await;
    let appends = (0..300).map(|index| {
        let entry = event(&index.to_string(), 0, false);
        store.append(append("ada", vec![entry]))
    });
    let done = join_all(appends).await;
    assert!(done.iter().all(Result::is_ok));
    assert_eq!(store.head(), 300);
    assert!(store.commits() <= 10, "{} commits", store.commits());
}

#[tokio::test]
async fn offset_and_entries_are_stored_both_or_neither() {
    let place = Place::new();
    let store = place.open().await;
    let poll = |key: &str, offset| Append {
        next_offset: Some(offset),
        polled_at: Some(at(5)),
        ..append("ada", vec![event(key, 0, true)])
    };
    let refused = store.append(poll("e1", 11)).await;
    assert!(matches!(refused, Err(Error::UnknownBot { .. })));
    let page = store.read(0, ALL, Filter::default()).await.unwrap();
    assert_eq!((store.head(), page.entries.len()), (0, 0));

    store.save_bot(&bot("ada")).await.unwrap();
    store.append(poll("e1", 11)).await.unwrap();
    // A copy of the bot that was read before the poll does not bring the old offset back.
    store.save_bot(&bot("ada")).await.unwrap();
    let known = &store.bots().await.unwrap()[0];
    assert_eq!(
        (known.next_offset, known.last_polled_at),
        (Some(11), Some(at(5)))
    );
    // A bot made anew begins anew.
    let anew = Bot {
        bot_id: Some(8),
        next_offset: None,
        ..bot("ada")
    };
    store.save_bot(&anew).await.unwrap();
    assert_eq!(store.bots().await.unwrap()[0].next_offset, None);
}

#[tokio::test]
async fn failing_write_does_not_fail_its_neighbours() {
    let place = Place::new();
    let store = place.open().await;
    let fails = Append {
        next_offset: Some(1),
        ..append("nobody", vec![event("lost", 0, false)])
    };
    let (before, failed, after) = tokio::join!(
        store.append(append("ada", vec![event("e1", 0, false)])),
        store.append(fails),
        store.append(append("ada", vec![event("e2", 0, false)])),
    );
    assert_eq!(store.commits(), 1);
    assert!(failed.is_err());
    assert_eq!((before.unwrap().head, after.unwrap().head), (1, 2));
    let page = store.read(0, ALL, Filter::default()).await.unwrap();
    assert_eq!(page.entries.len(), 2);
}

#[tokio::test]
async fn writer_outlives_a_failed_commit_and_a_panic() {
    let place = Place::new();
    let store = place.open().await;
    // A reference that is looked at only when the transaction ends.
    let broken = store.write(|connection| {
        connection.execute_batch(
            "CREATE TABLE a (id INTEGER PRIMARY KEY);
             CREATE TABLE b (a REFERENCES a DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO b VALUES (1)",
        )?;
        Ok(())
    });
    let innocent = store.append(append("ada", vec![event("e1", 0, false)]));
    let (broken, innocent) = tokio::join!(broken, innocent);
    assert!(matches!(broken, Err(Error::Sqlite { .. })), "{broken:?}");
    assert!(matches!(innocent, Err(Error::Sqlite { .. })));

    let panicked = store.write::<()>(|_| panic!("on purpose")).await;
    assert!(matches!(panicked, Err(Error::BrokeOff)));
    assert_eq!((store.head(), store.commits()), (0, 0));
    let entry = event("e1", 0, false);
    assert_eq!(
        store.append(append("ada", vec![entry])).await.unwrap().head,
        1
    );
}

#[tokio::test]
async fn full_disk_is_told_as_such_and_passes() {
    let place = Place::new();
    let store = place.open().await;
    let pages = |most: i64| {
        store.write(move |connection| {
            connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()))?;
            Ok(())
        })
    };
    pages(1).await.unwrap();
    let mut large = event("large", 0, false);
    if let Item::Event(event) = &mut large.item {
        event.body = Body(vec![0; 1 << 20]);
    }
    let (small, failed) = tokio::join!(
        store.append(append("ada", vec![event("small", 0, false)])),
        store.append(append("ada", vec![large.clone()])),
    );
    let failed = failed.unwrap_err();
    assert!(matches!(failed, Error::DiskFull { .. }), "{failed:?}");
    assert!(failed.to_string().contains("store.db"));
    let kept = store.read(0, ALL, Filter::default()).await.unwrap();
    assert_eq!(kept.entries.len(), usize::from(small.is_ok()));

    pages(1_000_000).await.unwrap();
    store.append(append("ada", vec![large])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn paused_clock_stands_still_while_the_store_works() {
    let place = Place::new();
    let clock = Clock::driven(at(0));
    let store = Store::open(place.config(), clock).await.unwrap().store;
    let work = async {
        for index in 0..20 {
            let entry = event(&index.to_string(), 0, false);
            store.append(append("ada", vec![entry])).await.unwrap();
            store.read(0, ALL, Filter::default()).await.unwrap();
        }
    };
    tokio::select! {
        () = work => {}
        () = sleep(Duration::from_secs(1)) => panic!("time went by"),
    }
    assert_eq!(clock.now(), at(0));
}

/// What a power cut would leave: the files as they are, without a word to the store.
fn cut_power(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["store.db", "store.db-wal"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[tokio::test]
async fn answer_without_an_outcome_is_unknown_to_whoever_asks_later() {
    let place = Place::new();
    let store = place.open().await;
    let entries = vec![
        event("e1", 0, true),
        event("e2", 0, true),
        event("e3", 0, true),
    ];
    store.append(append("ada", entries)).await.unwrap();
    for seq in 1..=3 {
        assert_eq!(store.begin_answer(seq).await.unwrap(), AnswerBegun::New);
    }
    store.finish_answer(1, Vec::new()).await.unwrap();
    store.release_answer(2).await.unwrap();
    store.close().await;
    let store = place.open().await;
    let mut found = Vec::new();
    for seq in 1..=3 {
        found.push(store.begin_answer(seq).await.unwrap());
    }
    assert_eq!(
        found,
        [
            AnswerBegun::Answered,
            AnswerBegun::New,
            AnswerBegun::Unknown
        ]
    );
    // An event that is not kept cannot be answered.
    assert!(store.begin_answer(4).await.is_err());
}

#[tokio::test]
async fn how_a_bot_is_delivered_and_until_when_we_listened_is_kept() {
    let place = Place::new();
    let store = place.open().await;
    assert_eq!(store.heard_until().await.unwrap(), None);
    let deliveries = [
        EventDelivery::default(),
        EventDelivery {
            next: Some(NextMode {
                mode: EventMode::Webhook,
                from: Some(at(3)),
            }),
            address: Some([7; 32]),
            since: Some(at(1)),
            taken_until: Some(at(9)),
        },
    ];
    for delivery in deliveries {
        let posted = Bot {
            delivery,
            event_mode: EventMode::Webhook,
            ..bot("ada")
        };
        store.save_bot(&posted).await.unwrap();
        let kept = store.bots().await.unwrap();
        assert_eq!(kept[0].delivery, delivery);
    }
    for seconds in [5, 4] {
        store.note_heard(at(seconds)).await.unwrap();
        assert_eq!(store.heard_until().await.unwrap(), Some(at(seconds)));
    }
    store.close().await;
    let store = place.open().await;
    assert_eq!(store.heard_until().await.unwrap(), Some(at(4)));
    assert_eq!(store.bots().await.unwrap()[0].delivery, deliveries[1]);
}

#[tokio::test(start_paused = true)]
async fn writer_that_is_blocked_for_a_minute_is_told_and_an_idle_one_is_not() {
    let place = Place::new();
    let store = place.open().await;
    let health = Health::default();
    let _watched = health.watch("store writer", store.pulse());
    advance(STUCK * 2).await;
    assert_eq!(health.stuck(), []);
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let (begun, began) = tokio::sync::oneshot::channel();
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            let blocked = store.write(move |_| {
                let _told = begun.send(());
                let _ended = held.recv();
                Ok(())
            });
            blocked.await
        }
    });
    began.await.unwrap();
    advance(STUCK - Duration::from_secs(1)).await;
    assert_eq!(health.stuck(), []);
    advance(Duration::from_secs(1)).await;
    let stuck = health.stuck();
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    drop(go_on);
    writing.await.unwrap().unwrap();
    store
        .append(append("ada", vec![event("e1", 0, false)]))
        .await
        .unwrap();
    assert_eq!(health.stuck(), []);
}
