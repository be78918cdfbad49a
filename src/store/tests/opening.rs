//! What opens, what is refused, and what the files give away.

use std::fs;

use super::*;

#[tokio::test]
async fn secrets_are_nowhere_in_the_files() {
    let place = Place::new();
    let store = place.open().await;
    store.save_bot(&bot("ada")).await.unwrap();
    let entries = vec![event("e1", 0, true)];
    store.append(append("ada", entries)).await.unwrap();
    let aside = Unreadable {
        portal: PortalId::default_portal(),
        code: "ada".parse().unwrap(),
        dedupe_key: "x".to_owned(),
        why: "no type".to_owned(),
        body: Body(b"hush-aside".to_vec()),
        at: at(0),
    };
    store.set_aside(aside.clone()).await.unwrap();
    store.set_aside(aside.clone()).await.unwrap();
    let kept = store.unreadable(&aside.portal, 10).await.unwrap();
    assert_eq!(kept, [aside]);
    let look = || {
        for file in fs::read_dir(place.dir()).unwrap() {
            let path = file.unwrap().path();
            assert!(!contains(&fs::read(&path).unwrap(), "hush"), "{path:?}");
        }
    };
    look();
    store.close().await;
    look();
    assert!(contains(&fs::read(place.database()).unwrap(), "billing"));
}

#[tokio::test]
async fn second_process_is_told_who_holds_the_store() {
    let place = Place::new();
    let store = place.open().await;
    let error = place.refusal().await;
    let told = error.to_string();
    assert!(matches!(error, Error::Locked { .. }), "{told}");
    assert!(
        told.contains(&format!("process {} since 2", std::process::id())),
        "{told}"
    );
    assert!(
        told.contains(place.dir().join("lock").to_str().unwrap()),
        "{told}"
    );
    store.close().await;
    place.open().await;
}

#[tokio::test]
async fn closed_store_answers_that_it_is_closed() {
    let place = Place::new();
    let store = place.open().await;
    let ada = bot("ada");
    let ((), last) = tokio::join!(store.close(), store.save_bot(&ada));
    assert!(matches!(last, Err(Error::Closed) | Ok(())));
    assert!(matches!(
        store.save_bot(&bot("ada")).await,
        Err(Error::Closed)
    ));
    assert!(matches!(store.bots().await, Err(Error::Closed)));
    store.close().await;
}

#[tokio::test]
async fn keys_of_another_store_are_refused_by_name() {
    let (place, other) = (Place::new(), Place::new());
    let store = place.open().await;
    let needed = store.keys().bot_key_id();
    store.close().await;
    let given = other.open().await.keys().bot_key_id();
    fs::copy(other.0.path().join("keys"), place.0.path().join("keys")).unwrap();
    let told = place.refusal().await.to_string();
    assert!(told.contains(&needed) && told.contains(&given), "{told}");
    assert!(
        told.contains(place.0.path().join("keys").to_str().unwrap()),
        "{told}"
    );
}

#[tokio::test]
async fn sealing_keys_once_used_are_asked_for_at_every_start() {
    let place = Place::new();
    let store = place.open().await;
    store.save_bot(&bot("ada")).await.unwrap();
    store.close().await;
    let file = place.0.path().join("keys");
    let old = fs::read_to_string(&file).unwrap();
    let new_key = format!("seal:{}", "A".repeat(43));

    let without_old: String = old
        .lines()
        .map(|line| {
            if line.starts_with("seal:") {
                &new_key
            } else {
                line
            }
        })
        .collect::<Vec<_>>()
        .join("\n");
    fs::write(&file, &without_old).unwrap();
    let Error::WrongKeys { needed, .. } = place.refusal().await else {
        panic!("the old sealing key is needed");
    };
    assert!(needed.starts_with("seal-"));

    fs::write(&file, format!("{new_key}\n{old}")).unwrap();
    let store = place.open().await;
    assert_eq!(store.bots().await.unwrap().len(), 1);
    store.close().await;
    fs::write(&file, &old).unwrap();
    assert!(matches!(place.refusal().await, Error::WrongKeys { .. }));
}

#[tokio::test]
async fn store_without_its_key_file_is_refused() {
    let place = Place::new();
    place.open().await.close().await;
    fs::remove_file(place.0.path().join("keys")).unwrap();
    let error = place.refusal().await;
    assert!(
        matches!(error, Error::Keys(keys::Error::Missing { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn keys_inside_the_folder_are_refused() {
    let place = Place::new();
    let config = Config {
        dir: place.dir(),
        keys: KeySource::File(place.dir().join("keys")),
    };
    let error = Store::open(config, Clock::system()).await.unwrap_err();
    assert!(
        matches!(error, Error::Keys(keys::Error::InsideStore { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn damaged_or_foreign_file_is_refused_naming_it() {
    let place = Place::new();
    let store = place.open().await;
    for index in 0..50 {
        let entry = event(&index.to_string(), 0, false);
        store.append(append("ada", vec![entry])).await.unwrap();
    }
    store.close().await;
    let whole = fs::read(place.database()).unwrap();
    let mut headless = whole.clone();
    headless[..16].fill(0);
    for damaged in [&headless, &whole[..whole.len() / 2], &whole[..0]] {
        fs::write(place.database(), damaged).unwrap();
        let error = place.refusal().await;
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        assert!(
            error
                .to_string()
                .contains(place.database().to_str().unwrap())
        );
    }
    fs::remove_file(place.database()).unwrap();
    fs::write(place.dir().join("store.db-wal"), "left over").unwrap();
    assert!(matches!(place.refusal().await, Error::Damaged { .. }));

    fs::remove_file(place.dir().join("store.db-wal")).unwrap();
    let foreign = Connection::open(place.database()).unwrap();
    foreign
        .execute_batch("CREATE TABLE recipes (name)")
        .unwrap();
    drop(foreign);
    assert!(matches!(place.refusal().await, Error::NotAStore { .. }));
}

#[tokio::test]
async fn store_of_a_newer_release_is_refused() {
    let place = Place::new();
    place.open().await.close().await;
    let later = Connection::open(place.database()).unwrap();
    later.pragma_update(None, "user_version", 999).unwrap();
    drop(later);
    let error = place.refusal().await;
    assert!(matches!(error, Error::Newer { found: 999, .. }), "{error}");
}

#[tokio::test]
async fn folder_that_cannot_be_made_is_told_by_its_path() {
    let place = Place::new();
    fs::write(place.dir(), "a file").unwrap();
    let error = place.refusal().await;
    assert!(matches!(error, Error::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains(place.dir().to_str().unwrap()));
}

#[tokio::test]
async fn address_of_a_moved_portal_is_kept_sealed_until_forgotten() {
    let place = Place::new();
    let portal = PortalId::default_portal();
    let address = |host: &str| Address {
        configured: [7; 32],
        origin: format!("https://{host}"),
    };
    let store = place.open().await;
    for host in ["first.example.com", "second.example.com"] {
        store.save_address(&portal, &address(host)).await.unwrap();
    }
    store.close().await;
    let bytes = fs::read(place.database()).unwrap();
    assert!(!contains(&bytes, "second.example.com"));
    let store = place.open().await;
    let kept = store.addresses().await.unwrap();
    assert_eq!(kept, [(portal.clone(), address("second.example.com"))]);
    store.forget_address(&portal).await.unwrap();
    assert!(store.addresses().await.unwrap().is_empty());
}

#[tokio::test]
async fn store_of_the_first_schema_takes_the_steps_it_lacks() {
    let place = Place::new();
    let store = place.open().await;
    store.save_bot(&bot("ada")).await.unwrap();
    store.close().await;
    let older = Connection::open(place.database()).unwrap();
    older
        .execute_batch(
            "DROP TABLE addresses; DROP TABLE pairs; DROP TABLE callers; DROP TABLE webhooks;
             DROP TABLE grants; ALTER TABLE bots DROP COLUMN delivery;
             DROP TRIGGER deliveries_missed; DROP TABLE deliveries;
             DROP TABLE subscriptions; DROP TRIGGER log_added; DROP TRIGGER log_removed;
             DROP TABLE log_bots; DROP TABLE erasing; DROP TABLE suspicions;
             DELETE FROM meta WHERE name IN ('steps', 'log_floors_from')",
        )
        .unwrap();
    older.pragma_update(None, "user_version", 1).unwrap();
    drop(older);
    let store = place.open().await;
    assert_eq!(store.bots().await.unwrap().len(), 1);
    assert!(store.addresses().await.unwrap().is_empty());
    assert!(store.pairs().await.unwrap().is_empty());
}

#[tokio::test]
async fn release_before_is_not_locked_out_of_the_store() {
    let place = Place::new();
    place.open().await.close().await;
    // What the release before looks at: it knows two steps.
    let needed: i64 = Connection::open(place.database())
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(needed, 2);
    place.open().await;
}

#[tokio::test]
async fn store_that_took_steps_we_do_not_know_and_need_not_know_is_opened() {
    let place = Place::new();
    place.open().await.close().await;
    let later = Connection::open(place.database()).unwrap();
    let steps = "UPDATE meta SET value = 999 WHERE name = 'steps'";
    assert_eq!(later.execute(steps, []).unwrap(), 1);
    drop(later);
    place.open().await.close().await;
    let later = Connection::open(place.database()).unwrap();
    let kept: i64 = later
        .query_row("SELECT value FROM meta WHERE name = 'steps'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(kept, 999);
}

/// What a crash at this moment would leave.
fn crashed(place: &Place) -> Place {
    let copy = Place::new();
    fs::create_dir(copy.dir()).unwrap();
    for file in fs::read_dir(place.dir()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.dir().join(file.file_name())).unwrap();
    }
    fs::copy(place.0.path().join("keys"), copy.0.path().join("keys")).unwrap();
    copy
}

#[tokio::test]
async fn store_that_was_not_closed_says_so_once() {
    let place = Place::new();
    let store = place.open().await;
    store.save_bot(&bot("ada")).await.unwrap();
    let copy = crashed(&place);
    store.close().await;
    assert!(!place.try_open().await.unwrap().unclean);

    let after = copy.try_open().await.unwrap();
    assert!(after.unclean);
    after.store.check().await.unwrap();
    after.store.close().await;
    assert!(!copy.try_open().await.unwrap().unclean);
}

#[tokio::test]
async fn damage_inside_is_found_when_looked_for() {
    let place = Place::new();
    let store = place.open().await;
    for index in 0..200 {
        let entry = event(&index.to_string(), 0, false);
        store.append(append("ada", vec![entry])).await.unwrap();
    }
    store.close().await;
    let mut file = fs::read(place.database()).unwrap();
    let end = file.len() - 4096;
    file[end..].fill(0xff);
    fs::write(place.database(), file).unwrap();
    let store = place.open().await;
    let error = store.check().await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn who_was_taken_over_writes_nothing_any_more() {
    let place = Place::new();
    let store = place.open().await;
    store.save_bot(&bot("ada")).await.unwrap();
    // As if the lock did not hold.
    fs::remove_file(place.dir().join("lock")).unwrap();
    let other = place.open().await;
    let error = store.save_bot(&bot("bob")).await.unwrap_err();
    assert!(matches!(error, Error::TakenOver { .. }), "{error:?}");
    assert!(!*store.writable().borrow());
    other.save_bot(&bot("cyd")).await.unwrap();
    let codes = |bots: Vec<Bot>| bots.into_iter().map(|bot| bot.code.to_string());
    let kept: Vec<_> = codes(other.bots().await.unwrap()).collect();
    assert_eq!(kept, ["ada", "cyd"]);
    // Its end is not that of the other.
    store.close().await;
    let copy = crashed(&place);
    assert!(copy.try_open().await.unwrap().unclean);
}

#[tokio::test]
async fn who_waits_gets_the_store_when_it_is_free() {
    let place = Place::new();
    let store = place.open().await;
    let waiting = tokio::spawn(Store::open_when_free(
        place.config(),
        Clock::system(),
        |_| {},
    ));
    sleep(RETRY * 2).await;
    assert!(!waiting.is_finished());
    store.close().await;
    assert!(waiting.await.unwrap().is_ok());
}
