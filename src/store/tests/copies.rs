//! Copies, and stores made of them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{
    backup::backup,
    examine::{Report, examine},
    restore::{Released, restore},
    sealed::COLUMNS,
    *,
};

/// A store with something in it, and a copy of it. The store is open still.
async fn copied() -> (Place, Store, PathBuf) {
    let place = Place::new();
    let store = place.open().await;
    store.save_bot(&bot("ada")).await.unwrap();
    let entries = vec![event("e1", 0, true), event("e2", 1, false), gap(2)];
    store.append(append("ada", entries)).await.unwrap();
    let file = place.0.path().join("copy.db");
    let holdings = backup(&place.dir(), &file, false, at(7)).unwrap();
    assert_eq!(holdings.copied_at, Some(at(7)));
    assert_eq!(holdings.log_id, store.log_id());
    let keys: Vec<_> = store.keys().all_ids().collect();
    assert_eq!(holdings.keys, keys);
    let rows = |table: &str| {
        let found = holdings.rows.iter().find(|(name, _)| name == table);
        found.map(|(_, rows)| *rows)
    };
    assert_eq!((rows("bots"), rows("log")), (Some(1), Some(3)));
    (place, store, file)
}

const ACTIVE: Released = Released {
    active: true,
    redeliver: false,
};

fn elsewhere(place: &Place) -> Config {
    Config {
        dir: place.0.path().join("elsewhere"),
        ..place.config()
    }
}

fn files(place: &Place) -> Vec<String> {
    let files = fs::read_dir(place.0.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn report(config: &Config) -> Report {
    examine(config).unwrap()
}

#[tokio::test]
async fn copy_made_while_the_store_works_holds_everything_and_no_secret() {
    let (place, store, file) = copied().await;
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let bytes = fs::read(&file).unwrap();
    assert!(!contains(&bytes, "hush") && contains(&bytes, "billing"));
    assert_eq!(files(&place), ["copy.db", "keys", "store"]);
    store.save_bot(&bot("bob")).await.unwrap();
    store.close().await;

    let config = elsewhere(&place);
    restore(&config, &file, Released::default(), &Clock::system()).unwrap();
    let opened = Store::open(config, Clock::system()).await.unwrap();
    assert!(opened.restored && !opened.unclean);
    let bots = opened.store.bots().await.unwrap();
    assert_eq!(bots.len(), 1);
    assert_eq!(opened.store.head(), 3);
    assert!(opened.store.find(2).await.unwrap().is_some());
}

#[tokio::test]
async fn copy_never_replaces_a_file_unless_told_to() {
    let (place, _store, file) = copied().await;
    let before = fs::read(&file).unwrap();
    let error = backup(&place.dir(), &file, false, at(8)).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
    backup(&place.dir(), &file, true, at(8)).unwrap();
    assert_ne!(fs::read(&file).unwrap(), before);
    assert_eq!(files(&place), ["copy.db", "keys", "store"]);
}

#[tokio::test]
async fn copy_that_cannot_be_written_leaves_nothing_behind() {
    let (place, _store, _file) = copied().await;
    let nowhere = place.0.path().join("nowhere/copy.db");
    let error = backup(&place.dir(), &nowhere, false, at(8)).unwrap_err();
    assert!(matches!(error, Error::NotWritable { .. }), "{error}");
    // A folder cannot be replaced, which shows only when the copy is whole.
    let folder = place.0.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("precious"), "data").unwrap();
    let error = backup(&place.dir(), &folder, true, at(8)).unwrap_err();
    assert!(matches!(error, Error::NotWritable { .. }), "{error}");
    assert_eq!(files(&place), ["copy.db", "folder", "keys", "store"]);
    let error = backup(&place.0.path().join("other"), &nowhere, false, at(8)).unwrap_err();
    assert!(matches!(error, Error::NoStore { .. }), "{error}");
}

#[tokio::test]
async fn what_a_killed_copy_left_behind_is_replaced() {
    let (place, _store, _file) = copied().await;
    fs::write(place.0.path().join("again.db.part"), vec![7; 100_000]).unwrap();
    backup(&place.dir(), &place.0.path().join("again.db"), false, at(8)).unwrap();
    assert_eq!(files(&place), ["again.db", "copy.db", "keys", "store"]);
}

#[tokio::test]
async fn restored_store_is_held_back_until_activated_and_has_another_log() {
    let (place, store, file) = copied().await;
    let config = elsewhere(&place);
    let restored = restore(&config, &file, Released::default(), &Clock::system()).unwrap();
    assert_eq!(restored.copied_at, Some(at(7)));
    assert_ne!(restored.log_id, store.log_id());
    let open = || Store::open(config.clone(), Clock::system());
    for _ in 0..2 {
        let opened = open().await.unwrap();
        assert!(opened.restored);
        assert_eq!(opened.store.log_id(), restored.log_id);
        opened.store.close().await;
    }
    let opened = open().await.unwrap();
    assert!(opened.store.activate().await.unwrap());
    assert!(!opened.store.activate().await.unwrap());
    opened.store.close().await;
    assert!(!open().await.unwrap().restored);
}

#[tokio::test]
async fn release_that_knows_nothing_of_holding_back_does_not_open_a_restored_store() {
    let (place, _store, file) = copied().await;
    let config = elsewhere(&place);
    restore(&config, &file, Released::default(), &Clock::system()).unwrap();
    let needed = || -> i64 {
        let database = Connection::open(config.dir.join("store.db")).unwrap();
        database
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    };
    assert!(needed() > 3);
    let opened = Store::open(config.clone(), Clock::system()).await.unwrap();
    assert!(needed() > 3);
    opened.store.activate().await.unwrap();
    assert_eq!(needed(), 2);
}

#[tokio::test]
async fn copy_put_in_place_by_hand_is_held_back_as_well() {
    let (place, store, file) = copied().await;
    let config = elsewhere(&place);
    fs::create_dir(&config.dir).unwrap();
    fs::copy(&file, config.dir.join("store.db")).unwrap();
    let opened = Store::open(config, Clock::system()).await.unwrap();
    assert!(opened.restored);
    assert_ne!(opened.store.log_id(), store.log_id());
}

#[tokio::test]
async fn store_restored_active_is_not_held_back() {
    let (place, _store, file) = copied().await;
    let config = elsewhere(&place);
    restore(&config, &file, ACTIVE, &Clock::system()).unwrap();
    assert!(!Store::open(config, Clock::system()).await.unwrap().restored);
}

#[tokio::test]
async fn store_is_restored_into_an_empty_folder_only() {
    let (place, store, file) = copied().await;
    let restore = |config: &Config| {
        restore(config, &file, Released::default(), &Clock::system()).unwrap_err()
    };
    let error = restore(&place.config());
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    store.close().await;
    let error = restore(&place.config());
    assert!(matches!(error, Error::StoreExists { .. }), "{error}");
    assert!(!place.open().await.bots().await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_that_do_not_open_a_copy_are_named_and_nothing_is_made() {
    let (place, store, file) = copied().await;
    let needed: Vec<_> = store.keys().all_ids().collect();
    let other = Place::new();
    let foreign = Config {
        dir: other.dir(),
        keys: other.config().keys,
    };
    let refusal = || restore(&foreign, &file, Released::default(), &Clock::system()).unwrap_err();
    let told = refusal().to_string();
    assert!(needed.iter().all(|id| told.contains(id)), "{told}");
    assert!(told.contains(file.to_str().unwrap()), "{told}");
    assert!(!other.0.path().join("keys").exists());

    other.open().await.close().await;
    fs::remove_file(other.database()).unwrap();
    let told = refusal().to_string();
    assert!(needed.iter().all(|id| told.contains(id)), "{told}");
    assert!(!other.database().exists());
    assert!(!other.dir().join("store.db.new").exists());
    drop(place);
}

#[tokio::test]
async fn damaged_foreign_or_unfinished_copy_is_refused_naming_it() {
    let (place, _store, file) = copied().await;
    let config = elsewhere(&place);
    let whole = fs::read(&file).unwrap();
    let mut spoilt = whole.clone();
    let end = spoilt.len() - 4096;
    spoilt[end..].fill(0xff);
    for damaged in [&spoilt, &whole[..whole.len() / 2].to_vec(), &Vec::new()] {
        fs::write(&file, damaged).unwrap();
        let error = restore(&config, &file, Released::default(), &Clock::system()).unwrap_err();
        let told = error.to_string();
        assert!(told.contains(file.to_str().unwrap()), "{told}");
        assert!(!config.dir.join("store.db").exists());
    }
    fs::write(&file, &whole).unwrap();
    fs::write(place.0.path().join("copy.db-wal"), "more").unwrap();
    let error = restore(&config, &file, Released::default(), &Clock::system()).unwrap_err();
    assert!(matches!(error, Error::NotWhole { .. }), "{error}");
    fs::remove_file(place.0.path().join("copy.db-wal")).unwrap();
    restore(&config, &file, Released::default(), &Clock::system()).unwrap();
}

#[tokio::test]
async fn check_opens_every_value_while_the_store_works_and_finds_the_one_that_was_changed() {
    let (place, store, _file) = copied().await;
    let sound = report(&place.config());
    assert!(sound.is_sound(), "{sound:?}");
    assert_eq!(sound.sealed.opened["bots"], 1);
    assert_eq!(sound.sealed.opened["log"], 2);
    let sealing = store.keys().all_ids().nth(1).unwrap();
    assert_eq!(sound.sealed_by, [(sealing, 3)].into());

    store
        .write(|connection| {
            connection.execute("UPDATE bots SET code = 'eve'", [])?;
            connection.execute("DROP INDEX log_received", [])?;
            Ok(())
        })
        .await
        .unwrap();
    let found = report(&place.config());
    assert!(!found.is_sound());
    assert_eq!(found.sealed.closed, [("bots", 1)].into());
    assert_eq!(found.differs.as_deref(), Some("log_received"));
}

#[tokio::test]
async fn every_column_that_holds_bytes_is_known_to_be_sealed() {
    let place = Place::new();
    place.open().await.close().await;
    let database = Connection::open(place.database()).unwrap();
    let mut select = database
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND c.type = 'BLOB' AND t.name <> 'seal_keys'",
        )
        .unwrap();
    let found = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let mut found: Vec<(String, String)> = found.unwrap().map(Result::unwrap).collect();
    let mut known: Vec<_> = COLUMNS
        .iter()
        .map(|column| (column.table.to_owned(), column.name.to_owned()))
        .collect();
    found.sort();
    known.sort();
    assert_eq!(found, known);
}
