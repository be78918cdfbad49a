//! Everything one portal knows, and how it changes.
//!
//! All changes are synchronous and take the present moment as a value: the same steps at the same
//! times give the same portal. Ids of different kinds start in different ranges, so that a client
//! which mixes them up does not get away with it.

mod apps;
mod callbacks;
mod chats;
mod commands;
mod dispatch;
mod entities;
mod events;
mod files;
mod grants;
mod identity;
mod inspect;
mod messages;
mod outbox;
mod people;
mod reading;
mod subscribers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::mpsc;

pub(crate) use apps::{Application, Apps, Decision, Held, Stage};
pub(crate) use chats::{Chat, DialogId};
pub(crate) use commands::Command;
pub(crate) use events::Log;
pub(crate) use files::File;
pub(crate) use identity::Identity;
pub(crate) use messages::{Forward, Message, Post, stored_text};
pub(crate) use outbox::{Handler, Outbox};
pub(crate) use people::{Bot, Credential, EventMode, Owner, User};

use crate::clock::UnixTime;
use crate::config::PortalConfig;
use crate::delivery::Outgoing;
use crate::fault;
use crate::journal::{Effect, Record};
use crate::limits::{Bucket, Limits, Operating};
use crate::portal::Condition;
use crate::quirks::{EmptyMap, Quirks};

/// The portal.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) identity: Identity,
    pub(crate) condition: Condition,
    pub(crate) language: String,
    pub(crate) license: String,
    pub(crate) utc_offset_minutes: i32,
    pub(crate) revision: [u32; 4],
    pub(crate) quirks: Quirks,
    pub(crate) limits: Limits,
    pub(crate) faults: fault::Queue,
    pub(crate) journal: Record,
    pub(crate) default_code: String,
    pub(crate) credentials: HashMap<(i64, String), Arc<Credential>>,
    pub(crate) users: BTreeMap<i64, User>,
    pub(crate) bots: BTreeMap<i64, Bot>,
    pub(crate) commands: BTreeMap<i64, Command>,
    pub(crate) chats: BTreeMap<i64, Chat>,
    pub(crate) messages: BTreeMap<i64, Message>,
    /// The chat of two people, the smaller id first.
    pub(crate) private_chats: HashMap<(i64, i64), i64>,
    pub(crate) logs: HashMap<i64, Log>,
    /// Until when a bot may answer in a chat: (bot, chat).
    pub(crate) answer_windows: HashMap<(i64, i64), UnixTime>,
    /// Message keys: the message and when the key was first used.
    pub(crate) message_keys: HashMap<String, (i64, UnixTime)>,
    /// Keys of messages that are being sent, and since when.
    pub(crate) unfinished_keys: HashMap<String, UnixTime>,
    pub(crate) buckets: HashMap<IpAddr, Bucket>,
    pub(crate) operating: HashMap<(u32, &'static str), Operating>,
    /// The last message read: (account, chat).
    pub(crate) read_marks: HashMap<(i64, i64), i64>,
    /// People who subscribed to their events.
    pub(crate) subscribed: BTreeSet<i64>,
    pub(crate) files: BTreeMap<i64, File>,
    /// Secrets of download addresses: the file, and until when.
    pub(crate) downloads: HashMap<String, (i64, UnixTime)>,
    pub(crate) apps: Apps,
    pub(crate) outbox: Outbox,
    latencies: HashMap<String, Duration>,
    latency: Duration,
    ids: Ids,
}

/// The next id of each kind.
#[derive(Debug)]
struct Ids {
    user: i64,
    chat: i64,
    message: i64,
    command: i64,
    event: u64,
    credential: u32,
    handler: i64,
    file: i64,
    gap_seed: u64,
}

impl State {
    pub(crate) fn new(
        config: PortalConfig,
        identity: Identity,
        outbox: mpsc::UnboundedSender<Outgoing>,
        journal_capacity: usize,
    ) -> Self {
        let mut state = Self {
            identity,
            condition: Condition::Open,
            language: config.language,
            license: config.license,
            utc_offset_minutes: config.utc_offset_minutes,
            revision: config.revision,
            quirks: config.quirks,
            limits: config.limits,
            faults: fault::Queue::default(),
            journal: Record::new(journal_capacity),
            default_code: config.webhook_code.clone(),
            credentials: HashMap::new(),
            users: BTreeMap::new(),
            bots: BTreeMap::new(),
            commands: BTreeMap::new(),
            chats: BTreeMap::new(),
            messages: BTreeMap::new(),
            private_chats: HashMap::new(),
            logs: HashMap::new(),
            answer_windows: HashMap::new(),
            message_keys: HashMap::new(),
            unfinished_keys: HashMap::new(),
            buckets: HashMap::new(),
            operating: HashMap::new(),
            read_marks: HashMap::new(),
            subscribed: BTreeSet::new(),
            files: BTreeMap::new(),
            downloads: HashMap::new(),
            apps: Apps::default(),
            outbox: Outbox::new(outbox),
            latencies: HashMap::new(),
            latency: Duration::ZERO,
            ids: Ids {
                user: 1,
                chat: 5_001,
                message: 70_001,
                command: 301,
                event: config.first_event_id,
                credential: 1,
                handler: 11,
                file: 4_001,
                gap_seed: 1,
            },
        };
        let owner = state.add_user(config.owner);
        state.apps.signed_in = owner;
        state.add_webhook(crate::WebhookConfig {
            user_id: owner,
            scopes: config.scopes,
            code: Some(config.webhook_code),
        });
        state.add_builtin_bot("marta", "Marta");
        state
    }

    pub(crate) fn record(&mut self, now: UnixTime, effect: Effect) {
        self.journal.effect(now, effect);
    }

    pub(crate) fn set_latency(&mut self, method: Option<&str>, latency: Duration) {
        match method {
            Some(method) => {
                self.latencies.insert(method.to_ascii_lowercase(), latency);
            }
            None => {
                self.latencies.clear();
                self.latency = latency;
            }
        }
    }

    /// How long every call runs that has no latency of its own.
    pub(crate) fn latency(&self) -> Duration {
        self.latency
    }

    /// How long a call of this method runs before its effect.
    pub(crate) fn latency_of(&self, method: &str) -> Duration {
        if self.latencies.is_empty() {
            return self.latency;
        }
        self.latencies
            .get(&method.to_ascii_lowercase())
            .copied()
            .unwrap_or(self.latency)
    }

    /// `map` as PHP would write it: without members it does not look like a map.
    pub(crate) fn written_map(&self, map: Map<String, Value>) -> Value {
        if !map.is_empty() {
            return Value::Object(map);
        }
        match self.quirks.empty_maps {
            EmptyMap::List => Value::Array(Vec::new()),
            EmptyMap::Object => Value::Object(map),
            EmptyMap::Null => Value::Null,
        }
    }

    /// `moment` as the portal writes dates.
    pub(crate) fn date(&self, moment: UnixTime) -> String {
        crate::clock::iso(moment, self.utc_offset_minutes)
    }

    /// The next event id of the whole portal; ids grow, with gaps.
    fn next_event_id(&mut self) -> u64 {
        let id = self.ids.event;
        // A linear congruential step: gaps look irregular and are the same in every run.
        self.ids.gap_seed = self
            .ids
            .gap_seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let gap = (self.ids.gap_seed >> 33) % (self.quirks.event_id_gap + 1);
        self.ids.event += 1 + gap;
        id
    }
}

/// Takes the next id of a kind.
fn take(next: &mut i64) -> i64 {
    let id = *next;
    *next += 1;
    id
}
