//! The store's promises, tried by force.

mod arrivals;
mod calls;
mod copies;
mod erase;
mod history;
mod kept;
mod measured;
mod opening;
mod pairs;
pub(super) mod plans;
mod retention;
mod rotation;
mod writing;

use std::path::PathBuf;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::ids::PortalId;

const BASE: i64 = 1_700_000_000;
const ALL: Limit = Limit {
    rows: 1000,
    bytes: usize::MAX,
};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn database(&self) -> PathBuf {
        self.dir().join("store.db")
    }

    fn config(&self) -> Config {
        Config {
            dir: self.dir(),
            keys: KeySource::File(self.0.path().join("keys")),
        }
    }

    async fn open(&self) -> Store {
        self.try_open().await.unwrap().store
    }

    async fn try_open(&self) -> Result<Opened, Error> {
        Store::open(self.config(), Clock::system()).await
    }

    async fn refusal(&self) -> Error {
        self.try_open().await.unwrap_err()
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(BASE + seconds).unwrap()
}

fn bot(code: &str) -> Bot {
    Bot {
        portal: PortalId::default_portal(),
        code: code.parse().unwrap(),
        bot_id: Some(7),
        token: "hush-token".into(),
        next_token: None,
        generation: 3,
        owner: "billing".to_owned(),
        event_mode: EventMode::Fetch,
        delivery: EventDelivery::default(),
        properties: serde_json::json!({"name": "Ada"}),
        commands: serde_json::json!({"42": {"title": {"en": "Help"}}}),
        skip: Skip::Before(at(-5)),
        state: BotState::Active,
        next_offset: Some(10),
        last_polled_at: None,
        created_at: at(0),
    }
}

fn event(key: &str, seconds: i64, command: bool) -> Entry {
    Entry {
        bot_id: 7,
        received_at: at(seconds),
        item: Item::Event(Event {
            dedupe_key: key.to_owned(),
            kind: "ONIMBOTV2COMMANDADD".to_owned(),
            dialog: Some("chat5".parse().unwrap()),
            happened_at: at(seconds - 1),
            trace_context: Some("00-1-2-01".to_owned()),
            command: command.then_some(CommandRef {
                command_id: 1,
                message_id: 2,
                user_id: 3,
                typed: true,
            }),
            body: Body(b"hush-body".to_vec()),
        }),
    }
}

fn gap(seconds: i64) -> Entry {
    Entry {
        bot_id: 7,
        received_at: at(seconds),
        item: Item::Gap(Gap {
            from: None,
            until: at(seconds),
            why: "AWAY_TOO_LONG".to_owned(),
        }),
    }
}

fn unreadable(code: &str) -> Unreadable {
    Unreadable {
        portal: PortalId::default_portal(),
        code: code.parse().unwrap(),
        dedupe_key: "odd".to_owned(),
        why: "odd".to_owned(),
        body: Body(b"hush-odd".to_vec()),
        at: at(4),
    }
}

fn append(code: &str, entries: Vec<Entry>) -> Append {
    Append {
        portal: PortalId::default_portal(),
        code: code.parse().unwrap(),
        entries,
        next_offset: None,
        polled_at: None,
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
