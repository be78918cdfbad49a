//! Who loses what when there is too much, and that it is told.

use std::sync::mpsc;

use tokio::sync::oneshot;

use super::*;

/// Weight and floor of each bot as the log keeps them, and what its entries really weigh.
async fn books(store: &Store) -> Vec<(String, i64, i64, i64)> {
    let books = store.query(|connection, _| {
        let mut select = connection.prepare(
            "SELECT portal || '/' || code, bytes, floor,
                 (SELECT ifnull(sum(size), 0) FROM log
                  WHERE log.portal = log_bots.portal AND log.code = log_bots.code)
             FROM log_bots ORDER BY 1",
        )?;
        let rows = select.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    });
    books.await.unwrap()
}

async fn booked_right(store: &Store) {
    for (bot, booked, _, real) in books(store).await {
        assert_eq!(booked, real, "{bot}");
    }
    let totals = store.query(|connection, _| {
        let sum = "SELECT (SELECT ifnull(sum(size), 0) FROM log), value FROM meta WHERE name = 'log_bytes'";
        let totals: (i64, i64) = connection.query_row(sum, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(totals)
    });
    let (real, booked) = totals.await.unwrap();
    assert_eq!(booked, real);
}

async fn add(store: &Store, code: &str, from: i64, count: i64) {
    let entries = (from..from + count).map(|index| event(&format!("{code}/{index}"), index, true));
    store.append(append(code, entries.collect())).await.unwrap();
}

async fn kept(store: &Store, code: &str) -> usize {
    let mut after = 0;
    let mut kept = 0;
    loop {
        let page = store.read(after, ALL, Filter::default()).await.unwrap();
        let of_bot = |stored: &&Stored| stored.code.as_str() == code;
        kept += page.entries.iter().filter(of_bot).count();
        after = page.next_after;
        if after == page.head {
            return kept;
        }
    }
}

#[tokio::test]
async fn chatty_bot_pushes_out_its_own_history_and_nobody_elses() {
    let place = Place::new();
    let store = place.open().await;
    add(&store, "quiet", 0, 5).await;
    add(&store, "chatty", 10, 3000).await;
    add(&store, "quiet", 4000, 5).await;
    add(&store, "calm", 4100, 100).await;
    let total: u64 = store
        .log_totals()
        .await
        .unwrap()
        .iter()
        .map(|it| it.bytes)
        .sum();
    let expired = store.expire(at(-1), total / 2).await.unwrap();
    assert!(expired.entries > 1500, "{expired:?}");
    assert_eq!(expired.floor, 0, "the oldest is still there");
    assert_eq!(kept(&store, "quiet").await, 10);
    assert_eq!(kept(&store, "calm").await, 100);
    let chatty = kept(&store, "chatty").await;
    assert!((1200..1500).contains(&chatty), "{chatty}");
    booked_right(&store).await;

    let page = store.read(5, ALL, Filter::default()).await.unwrap();
    let [removed] = &page.removed[..] else {
        panic!("{:?}", page.removed);
    };
    assert_eq!(removed.code.as_str(), "chatty");
    assert_eq!(removed.floor, 5 + expired.entries);
    assert_eq!(removed.from, Some(at(4)));
    assert_eq!(
        removed.until,
        at(9 + i64::try_from(expired.entries).unwrap())
    );
    let behind = store.read(removed.floor, ALL, Filter::default()).await;
    assert_eq!(behind.unwrap().removed, []);
    let of_quiet = Filter {
        portal: Some(PortalId::default_portal()),
        code: Some("quiet".parse().unwrap()),
        commands_only: true,
    };
    assert_eq!(store.removed(0, of_quiet).await.unwrap(), []);
}

#[tokio::test]
async fn bots_that_weigh_alike_lose_alike_and_age_spares_nobody() {
    let place = Place::new();
    let store = place.open().await;
    for code in ["a", "b", "c"] {
        add(&store, code, 0, 1300).await;
    }
    let weight = store.log_totals().await.unwrap()[0].bytes;
    store.expire(at(-1), weight).await.unwrap();
    for bot in store.log_totals().await.unwrap() {
        assert!(
            bot.bytes <= weight / 3 && bot.bytes > weight / 4,
            "{}",
            bot.bytes
        );
    }
    booked_right(&store).await;
    // A bot that was unregistered keeps its history as long as any other.
    let code = "a".parse().unwrap();
    store
        .forget_bot(&PortalId::default_portal(), &code)
        .await
        .unwrap();
    let expired = store.expire(at(1400), u64::MAX).await.unwrap();
    assert_eq!(expired.floor, store.head());
    assert_eq!(store.log_totals().await.unwrap(), []);
    booked_right(&store).await;
}

#[tokio::test]
async fn store_of_an_older_release_gets_its_books_and_an_older_release_keeps_them() {
    let place = Place::new();
    let store = place.open().await;
    add(&store, "ada", 0, 20).await;
    add(&store, "bob", 20, 20).await;
    store.expire(at(5), u64::MAX).await.unwrap();
    store.close().await;
    {
        let connection = Connection::open(place.database()).unwrap();
        connection
            .execute_batch(
                "DROP TRIGGER log_added; DROP TRIGGER log_removed; DROP TABLE log_bots;
                 DROP TABLE erasing; DROP TABLE suspicions; DELETE FROM meta WHERE name = 'log_floors_from';
                 DROP TRIGGER deliveries_missed; DROP TABLE deliveries; DROP TABLE subscriptions;
                 ALTER TABLE bots DROP COLUMN delivery;
                 UPDATE meta SET value = 4 WHERE name = 'steps';",
            )
            .unwrap();
    }
    let store = place.open().await;
    booked_right(&store).await;
    assert_eq!(books(&store).await.len(), 2);
    assert_eq!(store.removed_of_anybody().await.unwrap(), 5);
    store.close().await;
    {
        // As such a release adds and removes.
        let connection = Connection::open(place.database()).unwrap();
        connection
            .execute_batch(
                "INSERT INTO log (portal, code, bot_id, received_at, for_commands, size)
                     VALUES ('default', 'new', 7, 1, 0, 300);
                 DELETE FROM log WHERE seq <= 7;
                 UPDATE meta SET value = 7 WHERE name = 'log_floor';
                 UPDATE meta SET value = (SELECT sum(size) FROM log) WHERE name = 'log_bytes';",
            )
            .unwrap();
    }
    let store = place.open().await;
    booked_right(&store).await;
    assert_eq!(books(&store).await.len(), 3);
    let removed = store.removed(5, Filter::default()).await.unwrap();
    assert_eq!((removed.len(), removed[0].floor), (1, 7));
}

#[tokio::test]
async fn reader_that_takes_its_time_keeps_no_writer_waiting() {
    let place = Place::new();
    let store = place.open().await;
    add(&store, "ada", 0, 1000).await;
    let (began, begins) = oneshot::channel();
    let (end, ended) = mpsc::channel::<()>();
    let reader = {
        let store = store.clone();
        tokio::spawn(async move {
            let read = store.query(move |connection, _| {
                let moment = connection.unchecked_transaction()?;
                let count = || moment.query_row("SELECT count(*) FROM log", [], |row| row.get(0));
                let before: i64 = count()?;
                began.send(()).unwrap();
                ended.recv().unwrap();
                let after: i64 = count()?;
                Ok((before, after))
            });
            read.await
        })
    };
    begins.await.unwrap();
    for round in 0..50 {
        add(&store, "bob", 1000 + round * 10, 10).await;
    }
    store.expire(at(500), u64::MAX).await.unwrap();
    assert_eq!(kept(&store, "ada").await, 500);
    assert_eq!(kept(&store, "bob").await, 500);
    end.send(()).unwrap();
    assert_eq!(reader.await.unwrap().unwrap(), (1000, 1000));
}

#[tokio::test]
async fn erasure_that_was_broken_off_is_finished_and_spares_what_came_after() {
    let place = Place::new();
    let store = place.open().await;
    add(&store, "ada", 0, 1200).await;
    let broken_off = store.write(|connection| {
        connection.execute("INSERT INTO erasing VALUES ('default', 1200)", [])?;
        connection.execute("DELETE FROM log_bots WHERE portal = 'default'", [])?;
        Ok(())
    });
    broken_off.await.unwrap();
    add(&store, "ada", 1200, 7).await;
    store.close().await;
    let store = place.open().await;
    store.finish_erasing().await.unwrap();
    assert_eq!(kept(&store, "ada").await, 7);
    booked_right(&store).await;
    // Nobody is told that retention took it.
    assert_eq!(store.removed(0, Filter::default()).await.unwrap(), []);
    store.expire(at(1203), u64::MAX).await.unwrap();
    assert_eq!(kept(&store, "ada").await, 4);
    let removed = store.removed(0, Filter::default()).await.unwrap();
    assert_eq!(removed.len(), 1);
}
