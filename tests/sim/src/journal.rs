//! What was asked of a portal, and what really happened in it.
//!
//! Requests are what a client sent and was told; effects are what changed. A test of a client
//! wants both, because an answer can be lost after its effect, and `true` can mean that nothing
//! happened. Both lists are rings: the oldest entries go when the capacity is reached.

mod ring;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;

use self::ring::Ring;
use crate::clock::UnixTime;
use crate::delivery::Delivery;
use crate::place::Place;

/// How the parameters of a request travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// A JSON body.
    Json,
    /// A form body.
    Form,
    /// The query string alone.
    Query,
    /// A command inside a batch.
    BatchEntry,
}

/// One request, or one command of a batch.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// Portal time of arrival.
    #[serde(serialize_with = "crate::written::seconds::serialize")]
    pub at: UnixTime,
    /// The method as the client wrote it.
    pub method: String,
    /// All parameters, of body and query together.
    pub params: Value,
    /// How the parameters travelled.
    pub encoding: Encoding,
    /// The header `traceparent`; none for a command of a batch.
    pub traceparent: Option<String>,
    /// The credential with its secret masked, e.g. `webhook of 1 (xqz7…)`.
    pub credential: String,
    /// HTTP status of the answer; 0 when none was sent. For a command of a batch, the status it
    /// would have had alone.
    pub status: u16,
    /// The body of the answer; null when none was sent or when it is not JSON.
    pub answer: Value,
    /// The batch this command belongs to; batches are numbered from 1.
    pub batch: Option<u64>,
    /// The number of the batch that this request is, if it ran one.
    pub carries: Option<u64>,
    /// Portal time from its arrival to its effect.
    #[serde(rename = "took_ms", with = "crate::written::millis")]
    pub took: Duration,
    /// Whether the method ran.
    pub executed: bool,
    /// Whether a [`Fault`](crate::Fault) was met.
    pub faulted: bool,
}

impl Request {
    /// The error code of the answer, as text; `None` after a success or without an answer.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        match self.answer.get("error")? {
            Value::String(code) => Some(code.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// Something that changed in a portal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// A bot came to be.
    BotRegistered {
        /// Its id.
        bot_id: i64,
        /// Its code.
        code: String,
    },
    /// Settings of a bot were stored.
    BotUpdated {
        /// Its id.
        bot_id: i64,
    },
    /// A bot's token was replaced.
    TokenRotated {
        /// The bot.
        bot_id: i64,
    },
    /// A bot is gone.
    BotRemoved {
        /// Its id.
        bot_id: i64,
    },
    /// A command came to be.
    CommandRegistered {
        /// Its bot.
        bot_id: i64,
        /// Its id.
        command_id: i64,
        /// Its name without slash.
        command: String,
    },
    /// Settings of a command were stored.
    CommandUpdated {
        /// Its id.
        command_id: i64,
    },
    /// A command is gone.
    CommandRemoved {
        /// Its id.
        command_id: i64,
    },
    /// A message appeared in a chat.
    MessagePosted {
        /// Its id.
        message_id: i64,
        /// Its chat.
        chat_id: i64,
        /// Who wrote it; 0 = system.
        author_id: i64,
        /// The bot that posted it through a call, also when it is a system message.
        by_bot: Option<i64>,
        /// Its text.
        text: String,
    },
    /// A message was changed.
    MessageUpdated {
        /// Its id.
        message_id: i64,
    },
    /// A message was deleted.
    MessageDeleted {
        /// Its id.
        message_id: i64,
    },
    /// An answer came after its window and was dropped, although the client was told `true`.
    AnswerDropped {
        /// The bot.
        bot_id: i64,
        /// The dialog's chat.
        chat_id: i64,
    },
    /// A bot was told of a command.
    CommandDispatched {
        /// The bot.
        bot_id: i64,
        /// The command.
        command_id: i64,
        /// The message it stands in.
        message_id: i64,
        /// What follows the name.
        params: String,
        /// `textarea` or `keyboard`.
        context: &'static str,
    },
    /// An event entered a bot's log.
    EventLogged {
        /// The bot.
        bot_id: i64,
        /// The event.
        event_id: u64,
        /// Its type.
        kind: &'static str,
    },
    /// An event of a bot in webhook mode was put on its way.
    EventSent {
        /// The bot.
        bot_id: i64,
        /// Its type.
        kind: &'static str,
        /// Where it goes.
        url: String,
    },
    /// Events left a bot's log because a client acknowledged them.
    EventsAcknowledged {
        /// The bot.
        bot_id: i64,
        /// How many went.
        count: usize,
        /// The offset sent; events below it went.
        offset: u64,
    },
    /// Events left a bot's log because they were too old.
    EventsExpired {
        /// The bot.
        bot_id: i64,
        /// How many went.
        count: usize,
    },
    /// Events left a bot's log because the bot changed to webhooks or went away.
    EventsDropped {
        /// The bot.
        bot_id: i64,
        /// How many went.
        count: usize,
    },
    /// A private dialog was created on demand.
    PrivateChatOpened {
        /// Its chat.
        chat_id: i64,
    },
    /// A bot shows that it is busy.
    ActionShown {
        /// The bot.
        bot_id: i64,
        /// Where.
        chat_id: i64,
        /// The status code; `None` = typing.
        code: Option<String>,
    },
}

/// Read access to the record of a portal or of the authorization server.
#[derive(Clone, Debug)]
pub struct Journal {
    place: Place,
}

impl Journal {
    pub(crate) fn of(place: Place) -> Self {
        Self { place }
    }

    /// All kept requests, oldest first; commands of a batch stand before their batch.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.place
            .with_journal(|record| record.requests.iter().map(Entry::read).collect())
    }

    /// The kept requests and batch commands of one method, whatever case it was written in.
    #[must_use]
    pub fn calls(&self, method: &str) -> Vec<Request> {
        let of_method = |entry: &&Entry| entry.method.eq_ignore_ascii_case(method);
        self.place.with_journal(|record| {
            let calls = record.requests.iter().filter(of_method);
            calls.map(Entry::read).collect()
        })
    }

    /// How many HTTP requests arrived since the last [`clear`](Self::clear), kept or not.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.place.with_journal(|record| record.arrivals)
    }

    /// All kept effects, oldest first.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        let effects = self.timed_effects().into_iter();
        effects.map(|(_, effect)| effect).collect()
    }

    /// All kept effects with their portal time, oldest first.
    #[must_use]
    pub fn timed_effects(&self) -> Vec<(UnixTime, Effect)> {
        self.place
            .with_journal(|record| record.effects.iter().cloned().collect())
    }

    /// All kept requests the portal itself sent and is done with, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.place
            .with_journal(|record| record.deliveries.iter().cloned().collect())
    }

    /// Entries (requests, effects, deliveries) dropped because the journal was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.place.with_journal(|record| record.dropped)
    }

    /// Forgets everything recorded so far.
    pub fn clear(&self) {
        self.place.with_journal(Record::clear);
    }
}

/// The credential of a recorded request; secrets are cut down to their beginning.
#[derive(Debug)]
pub(crate) enum Shown {
    Webhook { user_id: i64, code_head: String },
    Token { head: String },
    Client { client_id: String },
    OuterCall,
}

impl Shown {
    pub(crate) fn head(secret: &str) -> String {
        secret.chars().take(4).collect()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook { user_id, code_head } => {
                write!(formatter, "webhook of {user_id} ({code_head}…)")
            }
            Self::Token { head } => write!(formatter, "token ({head}…)"),
            Self::Client { client_id } => write!(formatter, "client {client_id}"),
            Self::OuterCall => formatter.write_str("that of the batch"),
        }
    }
}

/// A recorded request, kept cheap: the answer stays the bytes that were sent.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) at: UnixTime,
    pub(crate) method: String,
    pub(crate) params: Map<String, Value>,
    pub(crate) encoding: Encoding,
    pub(crate) traceparent: Option<String>,
    pub(crate) shown: Shown,
    pub(crate) status: u16,
    pub(crate) answer: Bytes,
    pub(crate) batch: Option<u64>,
    pub(crate) carries: Option<u64>,
    pub(crate) took: Duration,
    pub(crate) executed: bool,
    pub(crate) faulted: bool,
}

impl Entry {
    pub(crate) fn read(&self) -> Request {
        Request {
            at: self.at,
            method: self.method.clone(),
            params: Value::Object(self.params.clone()),
            encoding: self.encoding,
            traceparent: self.traceparent.clone(),
            credential: self.shown.to_string(),
            status: self.status,
            answer: serde_json::from_slice(&self.answer).unwrap_or(Value::Null),
            batch: self.batch,
            carries: self.carries,
            took: self.took,
            executed: self.executed,
            faulted: self.faulted,
        }
    }
}

/// The record itself.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) requests: Ring<Entry>,
    pub(crate) effects: Ring<(UnixTime, Effect)>,
    pub(crate) deliveries: Ring<Delivery>,
    pub(crate) arrivals: u64,
    dropped: u64,
    pub(crate) batches: u64,
    bell: watch::Sender<()>,
}

impl Record {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            requests: Ring::new(capacity),
            effects: Ring::new(capacity),
            deliveries: Ring::new(capacity),
            arrivals: 0,
            dropped: 0,
            batches: 0,
            bell: watch::Sender::new(()),
        }
    }

    pub(crate) fn request(&mut self, entry: Entry) {
        self.dropped += u64::from(self.requests.push(entry));
        self.ring();
    }

    pub(crate) fn effect(&mut self, now: Duration, effect: Effect) {
        self.dropped += u64::from(self.effects.push((now, effect)));
        self.ring();
    }

    pub(crate) fn delivery(&mut self, delivery: Delivery) {
        self.dropped += u64::from(self.deliveries.push(delivery));
        self.ring();
    }

    pub(crate) fn next_batch(&mut self) -> u64 {
        self.batches += 1;
        self.batches
    }

    /// Tells whoever watches that something changed, recorded or not.
    pub(crate) fn ring(&self) {
        self.bell.send_replace(());
    }

    /// Rings with every change.
    pub(crate) fn bell(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    fn clear(&mut self) {
        self.requests.clear();
        self.effects.clear();
        self.deliveries.clear();
        self.arrivals = 0;
        self.dropped = 0;
    }
}
