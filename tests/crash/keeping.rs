//! Killed while a store is copied, restored, migrated, or sealed anew.
//!
//! Whatever the moment, what was there before opens as before, nothing half written is taken for whole,
//! and doing it again works. Moments are held from outside: a database is locked, or a file grows.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use bitrix24_gateway::{
    clock::Clock,
    ids::PortalId,
    store::{
        self, Append, Body, Entry, Event, Item, KeySource, Store,
        examine::{Report, examine},
    },
};
use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// Events in the store.
const EVENTS: i64 = 2000;

/// A folder with a store in it that has so much in it that nothing is done with it in no time.
struct Place(TempDir);

impl Place {
    async fn filled(event_bytes: usize) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let store = Store::open(place.config("store"), Clock::system()).await;
        let store = store.unwrap().store;
        for batch in 0..EVENTS / 100 {
            let entries = (0..100).map(|index| Entry {
                bot_id: 7,
                received_at: Clock::system().now(),
                item: Item::Event(Event {
                    dedupe_key: format!("{batch}-{index}"),
                    kind: "ONIMBOTV2COMMANDADD".to_owned(),
                    dialog: None,
                    happened_at: Timestamp::UNIX_EPOCH,
                    trace_context: None,
                    command: None,
                    body: Body(vec![7; event_bytes]),
                }),
            });
            let append = Append {
                portal: PortalId::default_portal(),
                code: "ada".parse().unwrap(),
                entries: entries.collect(),
                next_offset: None,
                polled_at: None,
            };
            store.append(append).await.unwrap();
        }
        store.close().await;
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self, dir: &str) -> store::Config {
        store::Config {
            dir: self.path(dir),
            keys: KeySource::File(self.path("keys")),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            // Nobody is there, and there are no bots to ask about.
            .env(
                "BITRIX24_GATEWAY__WEBHOOK_URL",
                "https://127.0.0.1:9/rest/1/abc123/",
            )
            .env("BITRIX24_GATEWAY__GRPC__LISTEN", "127.0.0.1:0")
            .env("BITRIX24_GATEWAY__ADMIN__LISTEN", "")
            .env("BITRIX24_GATEWAY__STORE__DIR", "store")
            .env("BITRIX24_GATEWAY__STORE__KEY_FILE", "keys")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self, arguments: &[&str]) -> Process {
        Process(self.command(arguments).spawn().unwrap())
    }

    /// Runs a command that must succeed.
    fn done(&self, arguments: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&stdout).into_owned();
        let complaint = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{arguments:?}: {said}{complaint}");
        said
    }

    fn report(&self, dir: &str) -> Report {
        let report = examine(&self.config(dir)).unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.sealed.opened["log"], EVENTS.unsigned_abs());
        report
    }

    /// How many keys have sealed something.
    fn sealers(&self) -> usize {
        self.report("store").sealed_by.len()
    }

    fn database(&self) -> Connection {
        let database = Connection::open(self.path("store/store.db")).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        database
    }

    /// Keeps everybody from writing until dropped.
    fn lock(&self) -> Connection {
        let lock = self.database();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        lock
    }

    fn size(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).map_or(0, |file| file.len())
    }
}

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

/// Killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Enough for what is being written to be far from its end: the store has sixty times as much.
const BEGUN: u64 = 1 << 20;
const LARGE: usize = 32 << 10;

#[tokio::test]
async fn backup_killed_half_way_leaves_no_copy_and_the_next_one_is_whole() {
    let place = Place::filled(LARGE).await;
    let backup = place.start(&["store", "backup", "copy.db"]);
    until(|| place.size("copy.db.part") > BEGUN).await;
    drop(backup);
    assert!(!place.path("copy.db").exists());
    place.report("store");
    place.done(&["store", "backup", "copy.db"]);
    assert!(!place.path("copy.db.part").exists());
    place.done(&["store", "restore", "copy.db", "--store", "other"]);
    place.report("other");
}

#[tokio::test]
async fn restore_killed_half_way_leaves_no_store_and_the_next_one_is_whole() {
    let place = Place::filled(LARGE).await;
    place.done(&["store", "backup", "copy.db"]);
    let restore = ["store", "restore", "copy.db", "--store", "other"];
    let process = place.start(&restore);
    until(|| place.size("other/store.db.new") > BEGUN).await;
    drop(process);
    assert!(!place.path("other/store.db").exists());
    place.done(&restore);
    assert!(!place.path("other/store.db.new").exists());
    assert!(place.report("other").restored);
}

#[tokio::test]
async fn gateway_killed_when_the_new_key_is_in_the_file_and_the_store_does_not_know_goes_on_with_it()
 {
    let place = Place::filled(100).await;
    let before = fs::read_to_string(place.path("keys")).unwrap();
    let gateway = place.start(&["serve"]);
    until(|| place.path("store/admin.sock").exists()).await;
    let lock = place.lock();
    let rotate = place.start(&["keys", "rotate"]);
    let changed = || fs::read_to_string(place.path("keys")).unwrap() != before;
    until(changed).await;
    drop(gateway);
    drop(rotate);
    drop(lock);
    let text = fs::read_to_string(place.path("keys")).unwrap();
    assert!(
        text.contains(before.lines().last().unwrap()),
        "the old key is there"
    );
    let known = place.done(&["keys", "list"]);
    assert!(known.contains("not in use"), "{known}");
    assert_eq!(place.sealers(), 1);

    let gateway = place.start(&["serve"]);
    until(|| {
        place
            .done(&["keys", "list"])
            .contains("has sealed 0 values")
    })
    .await;
    assert_eq!(place.sealers(), 1);
    drop(gateway);
    place.report("store");
}

#[tokio::test]
async fn gateway_killed_when_half_is_sealed_anew_goes_on_where_it_was() {
    let place = Place::filled(LARGE).await;
    let gateway = place.start(&["serve"]);
    until(|| place.path("store/admin.sock").exists()).await;
    place.done(&["keys", "rotate"]);
    let lock = place.database();
    lock.busy_timeout(Duration::ZERO).unwrap();
    let key = |seq: i64| -> Vec<u8> {
        let key = "SELECT substr(body, 2, 4) FROM log WHERE seq = ?1";
        lock.query_row(key, [seq], |row| row.get(0)).unwrap()
    };
    until(|| key(1) != key(EVENTS)).await;
    // Nothing more is written from the moment on at which this is ours: between two steps, of which there
    // are many more.
    until(|| lock.execute_batch("BEGIN IMMEDIATE").is_ok()).await;
    let left = place.report("store").sealed_by;
    assert_eq!(left.len(), 2, "{left:?}");
    drop(gateway);
    drop(lock);
    place.report("store");

    let gateway = place.start(&["serve"]);
    until(|| {
        place
            .done(&["keys", "list"])
            .contains("has sealed 0 values")
    })
    .await;
    drop(gateway);
    assert_eq!(place.sealers(), 1);
    let old = place.done(&["keys", "list"]);
    let old = old
        .lines()
        .find(|line| line.contains("has sealed 0 values"));
    place.done(&["keys", "retire", old.unwrap().split(' ').next().unwrap()]);
    place.report("store");
    assert_eq!(place.done(&["keys", "list"]).lines().count(), 2);
}

#[tokio::test]
async fn gateway_killed_when_it_is_about_to_migrate_leaves_the_store_as_it_was() {
    let place = Place::filled(100).await;
    let older = place.database();
    older
        .execute_batch(
            "DROP TABLE callers; DROP TABLE webhooks; DROP TABLE grants;
             DROP TRIGGER deliveries_missed; DROP TABLE deliveries; DROP TABLE subscriptions;
             DROP TRIGGER log_added; DROP TRIGGER log_removed; DROP TABLE log_bots;
             DROP TABLE erasing; DROP TABLE suspicions;
             DELETE FROM meta WHERE name = 'log_floors_from';
             ALTER TABLE bots DROP COLUMN delivery;
             UPDATE meta SET value = 3 WHERE name = 'steps'",
        )
        .unwrap();
    drop(older);
    let lock = place.lock();
    let gateway = place.start(&["serve"]);
    // It holds the folder, so it waits for the database.
    until(|| place.size("store/lock") > 0).await;
    sleep(Duration::from_millis(500)).await;
    drop(gateway);
    drop(lock);
    assert_eq!(place.report("store").holdings.schema, 3);
    place.done(&["keys", "rotate"]);
    let report = place.report("store");
    assert!(report.holdings.schema > 3);
    assert_eq!(report.sealed_by.len(), 1);
}
