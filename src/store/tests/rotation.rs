//! Keys exchanged while the store works.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{rotate::list, sealed::Counts, *};

impl Place {
    fn keys(&self) -> PathBuf {
        self.0.path().join("keys")
    }
}

fn sealing(store: &Store) -> Vec<String> {
    store.keys().all_ids().skip(1).collect()
}

async fn counts(store: &Store) -> Counts {
    let count = |connection: &Connection, _: &Arc<Keys>| sealed::count(connection);
    store.query(count).await.unwrap()
}

/// A store with more in it than fits into one batch.
async fn filled(place: &Place) -> Store {
    let store = place.open().await;
    store.save_bot(&bot("ada")).await.unwrap();
    let entries = (0..300).map(|index| event(&index.to_string(), index, false));
    store
        .append(append("ada", entries.collect()))
        .await
        .unwrap();
    store
}

async fn all_opens(store: &Store) {
    let page = store.read(0, ALL, Filter::default()).await.unwrap();
    assert_eq!(page.entries.len(), 300);
    assert_eq!(store.bots().await.unwrap().len(), 1);
}

#[tokio::test]
async fn rotated_key_seals_at_once_and_the_rest_is_sealed_anew() {
    let place = Place::new();
    let store = filled(&place).await;
    let old = sealing(&store).remove(0);
    assert!(!store.wants_resealing().await.unwrap());

    let new = store.rotate().await.unwrap();
    assert_eq!(sealing(&store), [new.clone(), old.clone()]);
    assert!(store.wants_resealing().await.unwrap());
    all_opens(&store).await;
    store.save_bot(&bot("ada")).await.unwrap();
    assert_eq!(
        counts(&store).await,
        [(new.clone(), 1), (old.clone(), 300)].into()
    );

    assert_eq!(
        store.reseal().await.unwrap(),
        rotate::Resealed {
            resealed: 300,
            unopened: 0
        }
    );
    assert_eq!(counts(&store).await, [(new.clone(), 301)].into());
    assert!(!store.wants_resealing().await.unwrap());
    all_opens(&store).await;
    assert_eq!(store.reseal().await.unwrap(), rotate::Resealed::default());

    store.retire(&old).await.unwrap();
    assert_eq!(sealing(&store), [new]);
    store.close().await;
    all_opens(&place.open().await).await;
}

#[tokio::test]
async fn key_is_not_retired_while_it_seals_or_has_sealed_something() {
    let place = Place::new();
    let store = filled(&place).await;
    let old = sealing(&store).remove(0);
    let refusal = store.retire(&old).await.unwrap_err().to_string();
    assert!(refusal.contains("rotate"), "{refusal}");
    store.rotate().await.unwrap();
    let refusal = store.retire(&old).await.unwrap_err().to_string();
    assert!(refusal.contains("301 values"), "{refusal}");
    let bot_key = store.keys().bot_key_id();
    for unknown in ["seal-00000000", "", bot_key.as_str()] {
        let error = store.retire(unknown).await.unwrap_err();
        assert!(matches!(error, Error::UnknownKey { .. }), "{error}");
    }
    all_opens(&store).await;
}

#[tokio::test]
async fn resealing_that_broke_off_anywhere_is_taken_up_by_the_next_process() {
    let place = Place::new();
    let store = filled(&place).await;
    store.rotate().await.unwrap();
    for _ in 0..3 {
        // Stopped in the middle of it.
        let before = store.commits();
        let until = async {
            while store.commits() == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            done = store.reseal() => panic!("it came to its end: {done:?}"),
            () = until => {}
        }
    }
    store.close().await;
    let store = place.open().await;
    let left = counts(&store).await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left.values().sum::<u64>(), 301);
    assert!(store.wants_resealing().await.unwrap());
    all_opens(&store).await;
    store.reseal().await.unwrap();
    assert_eq!(counts(&store).await.len(), 1);
    all_opens(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_while_everything_is_sealed_anew_is_never_lost() {
    let place = Place::new();
    let store = filled(&place).await;
    let over = AtomicBool::new(false);
    let writing = async {
        let mut written = 0;
        while !over.load(Ordering::Relaxed) {
            written += 1;
            let changed = Bot {
                token: format!("token-{written}").into(),
                ..bot("ada")
            };
            store.save_bot(&changed).await.unwrap();
            let kept = store.bots().await.unwrap().remove(0).token;
            let kept = secrecy::ExposeSecret::expose_secret(&kept).to_owned();
            assert_eq!(kept, format!("token-{written}"));
        }
        written
    };
    let rotating = async {
        for _ in 0..5 {
            store.rotate().await.unwrap();
            store.reseal().await.unwrap();
        }
        over.store(true, Ordering::Relaxed);
    };
    let (written, ()) = tokio::join!(writing, rotating);
    assert!(written > 5);
    assert_eq!(sealing(&store).len(), 6);
    store.reseal().await.unwrap();
    assert_eq!(counts(&store).await.len(), 1);
}

#[tokio::test]
async fn file_with_other_keys_never_takes_the_place_of_working_ones() {
    let place = Place::new();
    let other = Place::new();
    other.open().await.close().await;
    let store = filled(&place).await;
    let good = fs::read_to_string(place.keys()).unwrap();
    let ids = store.keys().ids();
    for wrong in [
        String::new(),
        "nonsense".to_owned(),
        fs::read_to_string(other.keys()).unwrap(),
        good.replace("seal:", "# seal:") + &format!("seal:{}\n", "A".repeat(43)),
    ] {
        fs::write(place.keys(), wrong).unwrap();
        store.reread_keys().await.unwrap_err();
        assert_eq!(store.keys().ids(), ids);
        all_opens(&store).await;
    }
    fs::remove_file(place.keys()).unwrap();
    store.reread_keys().await.unwrap_err();
    fs::write(place.keys(), &good).unwrap();
    store.reread_keys().await.unwrap_err();
    fs::set_permissions(place.keys(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(store.reread_keys().await.unwrap(), None);
}

#[tokio::test]
async fn key_that_somebody_puts_in_front_by_hand_is_taken_up() {
    let place = Place::new();
    let store = filled(&place).await;
    let text = fs::read_to_string(place.keys()).unwrap();
    fs::write(place.keys(), format!("seal:{}\n{text}", "A".repeat(43))).unwrap();
    let ids = store.reread_keys().await.unwrap().unwrap();
    assert_eq!(store.keys().ids(), ids);
    assert_eq!(sealing(&store).len(), 2);
    store.save_bot(&bot("ada")).await.unwrap();
    assert_eq!(counts(&store).await[&sealing(&store)[0]], 1);
    store.close().await;
    // Without a further word the old file would not do.
    fs::write(place.keys(), &text).unwrap();
    assert!(matches!(place.refusal().await, Error::WrongKeys { .. }));
}

#[tokio::test]
async fn keys_given_as_text_are_rotated_by_their_owner_alone() {
    let place = Place::new();
    filled(&place).await.close().await;
    let text = fs::read_to_string(place.keys()).unwrap();
    let config = |text: &str| Config {
        dir: place.dir(),
        keys: KeySource::Text(text.into()),
    };
    let store = Store::open(config(&text), Clock::system())
        .await
        .unwrap()
        .store;
    let told = store.rotate().await.unwrap_err().to_string();
    assert!(
        told.contains("store.keys") && told.contains("in front"),
        "{told}"
    );
    store.close().await;
    let both = format!("seal:{} {text}", "A".repeat(43));
    let store = Store::open(config(&both), Clock::system())
        .await
        .unwrap()
        .store;
    assert!(store.wants_resealing().await.unwrap());
    store.reseal().await.unwrap();
    let old = sealing(&store).remove(1);
    store.retire(&old).await.unwrap();
    store.close().await;
    let new = both.replace(&text[text.find("seal:").unwrap()..], "");
    let store = Store::open(config(&new), Clock::system())
        .await
        .unwrap()
        .store;
    all_opens(&store).await;
}

#[tokio::test]
async fn value_that_does_not_open_stays_and_keeps_its_key() {
    let place = Place::new();
    let store = filled(&place).await;
    let old = sealing(&store).remove(0);
    store
        .write(|connection| {
            connection.execute("UPDATE log SET dedupe_key = 'moved' WHERE seq = 7", [])?;
            Ok(())
        })
        .await
        .unwrap();
    store.rotate().await.unwrap();
    let done = store.reseal().await.unwrap();
    assert_eq!((done.resealed, done.unopened), (300, 1));
    assert!(store.wants_resealing().await.unwrap());
    assert!(matches!(
        store.retire(&old).await,
        Err(Error::KeyInUse { values: 1, .. })
    ));
}

#[tokio::test]
async fn list_tells_what_each_key_is_for() {
    let place = Place::new();
    let store = filled(&place).await;
    let old = sealing(&store).remove(0);
    let new = store.rotate().await.unwrap();
    let keys = list(&place.config()).unwrap();
    let said: Vec<_> = keys
        .iter()
        .map(|key| {
            (
                key.id.clone(),
                key.at_hand,
                key.seals,
                key.needed,
                key.values,
            )
        })
        .collect();
    let bot_key = store.keys().bot_key_id();
    assert_eq!(
        said,
        [
            (bot_key, true, false, true, 0),
            (new, true, true, true, 0),
            (old, true, false, true, 301),
        ]
    );
}
