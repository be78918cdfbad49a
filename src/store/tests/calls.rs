//! Calls that carry a key.

use std::time::Duration;

use super::*;
use crate::store::ledger::KEPT;

const HASH: [u8; 32] = [7; 32];

#[tokio::test]
async fn key_tells_what_became_of_its_call_also_after_a_restart() {
    let place = Place::new();
    let store = place.open().await;
    for (key, outcome) in [("done", Some("hush-outcome")), ("crashed", None)] {
        let begun = store.begin_call(key, HASH, at(0)).await.unwrap();
        assert_eq!(begun, CallBegun::New);
        if let Some(outcome) = outcome {
            let settled = store.settle_call(key, HASH, outcome.as_bytes(), at(1));
            settled.await.unwrap();
        }
    }
    store.close().await;
    let store = place.open().await;
    for (key, hash, known) in [
        ("done", HASH, CallBegun::Settled(b"hush-outcome".to_vec())),
        ("done", [8; 32], CallBegun::OtherRequest),
        ("crashed", HASH, CallBegun::Unknown),
        ("crashed", [8; 32], CallBegun::OtherRequest),
    ] {
        let begun = store.begin_call(key, hash, at(2)).await.unwrap();
        assert_eq!(begun, known, "{key}");
    }
}

#[tokio::test]
async fn released_key_is_free_for_any_request() {
    let place = Place::new();
    let store = place.open().await;
    store.begin_call("key", HASH, at(0)).await.unwrap();
    store.release_call("key").await.unwrap();
    let begun = store.begin_call("key", [8; 32], at(1)).await.unwrap();
    assert_eq!(begun, CallBegun::New);
}

#[tokio::test]
async fn key_is_kept_for_a_day_after_its_outcome() {
    let place = Place::new();
    let store = place.open().await;
    let day = i64::try_from(KEPT.as_secs()).unwrap();
    for key in ["early", "late"] {
        store.begin_call(key, HASH, at(0)).await.unwrap();
    }
    store
        .settle_call("late", HASH, b"x", at(100))
        .await
        .unwrap();
    assert_eq!(store.expire_calls(at(day - 1)).await.unwrap(), 0);
    let begun = store.begin_call("early", HASH, at(day - 1)).await.unwrap();
    assert_eq!(begun, CallBegun::Unknown);
    assert_eq!(store.expire_calls(at(day)).await.unwrap(), 1);
    // Forgotten in time also where nothing was removed yet.
    let begun = store.begin_call("late", HASH, at(day + 99)).await.unwrap();
    assert_eq!(begun, CallBegun::Settled(b"x".to_vec()));
    let begun = store.begin_call("late", HASH, at(day + 100)).await.unwrap();
    assert_eq!(begun, CallBegun::New);
}

#[tokio::test]
async fn removal_takes_as_many_steps_as_it_needs() {
    let place = Place::new();
    let store = place.open().await;
    let keys: Vec<String> = (0..1001).map(|key| key.to_string()).collect();
    let begin = keys.iter().map(|key| store.begin_call(key, HASH, at(0)));
    futures_util::future::try_join_all(begin).await.unwrap();
    let later = at(0) + KEPT + Duration::from_secs(1);
    assert_eq!(store.expire_calls(later).await.unwrap(), 1001);
}

#[tokio::test]
async fn row_shows_nothing_and_opens_only_in_its_place() {
    let place = Place::new();
    let store = place.open().await;
    store.begin_call("key", HASH, at(0)).await.unwrap();
    store
        .settle_call("key", HASH, b"hush-outcome", at(0))
        .await
        .unwrap();
    store.close().await;
    let database = Connection::open(place.database()).unwrap();
    let body: Vec<u8> = database
        .query_row("SELECT body FROM ledger", [], |row| row.get(0))
        .unwrap();
    let shows = |secret: &[u8]| body.windows(secret.len()).any(|part| part == secret);
    assert!(!shows(b"hush") && !shows(&HASH));
    database
        .execute("UPDATE ledger SET key = 'other'", [])
        .unwrap();
    drop(database);
    let store = place.open().await;
    let refused = store.begin_call("other", HASH, at(0)).await;
    assert!(matches!(refused, Err(Error::Sealed { .. })), "{refused:?}");
}
