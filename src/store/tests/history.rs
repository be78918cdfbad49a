//! The log: its numbers, its pages, its end.

use jiff::SignedDuration;

use super::*;

#[tokio::test]
async fn duplicates_are_skipped_and_counted() {
    let place = Place::new();
    let store = place.open().await;
    let first = vec![event("e1", 0, true), event("e2", 0, true)];
    store.append(append("ada", first)).await.unwrap();
    let again = vec![
        event("e2", 0, true),
        event("e3", 0, true),
        event("e3", 0, true),
    ];
    let done = store.append(append("ada", again)).await.unwrap();
    assert_eq!((done.appended, done.duplicates), (1, 2));
    assert_eq!((done.seqs, done.head), (Some((3, 3)), 3));
    let known = vec![event("e1", 0, true)];
    let done = store.append(append("ada", known.clone())).await.unwrap();
    assert_eq!((done.seqs, done.head), (None, 3));
    // The same key in another portal is another event.
    let elsewhere = Append {
        portal: "other".parse().unwrap(),
        ..append("ada", known)
    };
    assert_eq!(store.append(elsewhere).await.unwrap().appended, 1);
}

#[tokio::test]
async fn bell_rings_after_the_commit() {
    let place = Place::new();
    let store = place.open().await;
    let mut bell = store.head_changed();
    store
        .append(append("ada", vec![event("e1", 0, true)]))
        .await
        .unwrap();
    assert!(bell.has_changed().unwrap());
    assert_eq!(*bell.borrow_and_update(), 1);
    store
        .append(append("ada", vec![event("e1", 0, true)]))
        .await
        .unwrap();
    assert!(!bell.has_changed().unwrap());
}

#[tokio::test]
async fn page_says_how_far_it_looked() {
    let place = Place::new();
    let store = place.open().await;
    for index in 0..10 {
        let code = if index < 3 { "ada" } else { "bob" };
        let entry = event(&index.to_string(), index, index == 1);
        store.append(append(code, vec![entry])).await.unwrap();
    }
    store.append(append("ada", vec![gap(10)])).await.unwrap();
    let ada = Filter {
        portal: Some(PortalId::default_portal()),
        code: Some("ada".parse().unwrap()),
        commands_only: false,
    };
    let two = Limit { rows: 2, ..ALL };
    let page = store.read(0, two, ada.clone()).await.unwrap();
    assert_eq!((seqs(&page), page.next_after), (vec![1, 2], 2));
    let page = store.read(2, two, ada.clone()).await.unwrap();
    assert_eq!((seqs(&page), page.next_after), (vec![3, 11], 11));
    let commands = Filter {
        commands_only: true,
        ..ada
    };
    let page = store.read(0, ALL, commands).await.unwrap();
    assert_eq!(seqs(&page), [2, 11]);
    let nobody = Filter {
        portal: Some("other".parse().unwrap()),
        ..Filter::default()
    };
    let page = store.read(4, ALL, nobody).await.unwrap();
    assert_eq!((seqs(&page), page.next_after, page.head), (vec![], 11, 11));
    let narrow = Limit { bytes: 1, ..ALL };
    let page = store.read(4, narrow, Filter::default()).await.unwrap();
    assert_eq!((seqs(&page), page.next_after), (vec![5], 5));
}

#[tokio::test]
async fn newest_commands_and_times_are_found() {
    let place = Place::new();
    let store = place.open().await;
    let entries = (0..5).map(|index| event(&index.to_string(), index * 60, index != 3));
    store
        .append(append("ada", entries.collect()))
        .await
        .unwrap();
    let recent = store.recent_commands(2).await.unwrap();
    assert_eq!(
        recent.iter().map(|command| command.seq).collect::<Vec<_>>(),
        [5, 3]
    );
    assert_eq!(recent[1].happened_at, at(119));
    assert!(recent[1].command.typed);
    assert_eq!(recent[0].dialog.as_str(), "chat5");
    assert_eq!(store.seq_at(at(61)).await.unwrap(), Some(3));
    assert_eq!(store.seq_at(at(-9)).await.unwrap(), Some(1));
    assert_eq!(store.seq_at(at(999)).await.unwrap(), None);
}

#[tokio::test]
async fn numbers_are_never_given_twice_even_after_everything_expired() {
    let place = Place::new();
    let store = place.open().await;
    let entries = (0..1200).map(|index| event(&index.to_string(), index, false));
    store
        .append(append("ada", entries.collect()))
        .await
        .unwrap();
    let kept = store.expire(at(700), u64::MAX).await.unwrap();
    assert_eq!((kept.entries, kept.floor), (700, 700));
    assert_eq!(store.floor().await.unwrap(), 700);
    let page = store
        .read(0, Limit { rows: 1, ..ALL }, Filter::default())
        .await
        .unwrap();
    assert_eq!((seqs(&page), page.floor), (vec![701], 700));

    let none = SignedDuration::from_hours(1);
    let kept = store.expire(at(0) - none, 100_000).await.unwrap();
    assert!(kept.floor > 700 && kept.floor < 1200, "{kept:?}");
    let kept = store.expire(at(9999), u64::MAX).await.unwrap();
    assert_eq!((kept.floor, store.floor().await.unwrap()), (1200, 1200));
    store.close().await;

    let store = place.open().await;
    assert_eq!(store.head(), 1200);
    let done = store
        .append(append("ada", vec![event("new", 0, false)]))
        .await
        .unwrap();
    assert_eq!(done.seqs, Some((1201, 1201)));
}

fn seqs(page: &Page) -> Vec<u64> {
    page.entries.iter().map(|stored| stored.seq).collect()
}
