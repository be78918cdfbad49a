//! Our bots: who they are, what they can be told, and what they say.
//!
//! Between the edge and the portal stands what Bitrix24 does not do by itself: a registration that
//! can be repeated, a token that nobody has to keep, an answer of which `true` means posted.
//!
//! Invariant: a token is in the store before the portal learns of it, and one that was in force stays
//! there until the portal refuses it.

mod answer;
mod commands;
mod directory;
mod erase;
mod error;
mod execute;
mod hook;
mod locate;
mod messages;
mod metrics;
mod mode;
mod probe;
mod register;
mod registration;
mod rotation;
mod said;
mod settle;
mod suspicion;
mod update;
mod window;
pub mod wish;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use opentelemetry::metrics::Meter;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    clock::Clock,
    ids::{BotCode, PortalId},
    log_limit::LogLimit,
    portal::{BotKey, Portal, Portals},
    store::{self, Store},
    turns::Turns,
};

pub use answer::{Answer, Answered, IfClosed, Target};
pub use commands::{CommandChange, CommandTarget, CommandWish};
pub use error::Error;
pub use execute::Execution;
pub(crate) use hook::Receiver;
pub use messages::{Busy, KeyboardChange, Message, MessageChange, MessageName, SentMessage};
pub(crate) use metrics::commands;
pub(crate) use probe::{Keyed, Probed, Together};
pub use registration::{Adoption, AdoptionStart, IfExists, Outcome, Registered, Registration};
pub use said::LastSaid;
pub(crate) use suspicion::Sign;
pub use update::Updated;
pub use window::OPEN as ANSWER_WINDOW;
pub(crate) use window::Seen;
pub use wish::{Content, Properties, Settings};

/// Commands of the log that are looked at for open answer windows at a start.
const COMMANDS: usize = 10_000;

/// Lines in one second about answers whose outcome cannot be recorded.
const LOSSES: u32 = 5;

/// Names a bot: its portal and its code.
pub type Name = (PortalId, BotCode);

/// All our bots. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    portals: Portals,
    clock: Clock,
    /// What the store knows, at hand.
    known: Mutex<BTreeMap<Name, store::Bot>>,
    /// What their calls show.
    keys: Mutex<BTreeMap<Name, BotKey>>,
    /// Until when a call that replaces a token may be at work without our hearing of it.
    doubted: Mutex<BTreeMap<Name, Instant>>,
    /// Told when nobody knows which of two tokens of a bot is in force.
    doubts: Arc<Notify>,
    changed: watch::Sender<()>,
    hooks: hook::Hooks,
    drains: mode::Drains,
    window: Mutex<window::Window>,
    /// When somebody else seemed to read the events of a bot, the last time.
    suspected: Mutex<BTreeMap<Name, Timestamp>>,
    said: Mutex<BTreeMap<Name, LastSaid>>,
    /// What was written down of each bot, numbered.
    written: Mutex<Written>,
    /// One change of a bot at a time.
    changes: Turns<Name>,
    /// One answer to an event at a time.
    answers: Turns<u64>,
    metrics: metrics::Metrics,
    /// Of answers whose outcome cannot be recorded.
    losses: LogLimit,
}

/// Numbers for what is written down.
#[derive(Debug, Default)]
struct Written {
    last: u64,
    of: BTreeMap<Name, u64>,
}

/// What was known of a bot at a moment. What its portal was asked then says nothing of the bot once something
/// else is known: it may have been registered anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known(u64);

impl Bots {
    /// All bots of the store, and the answer windows that its newest commands opened. `hooks` is what the
    /// addresses begin with at which portals post events; `None` while nobody listens.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn load(
        store: Store,
        portals: Portals,
        clock: Clock,
        hooks: Option<String>,
        meter: &Meter,
    ) -> Result<Self, Error> {
        let known = store.bots().await?;
        let hooks = hook::Hooks::new(hooks);
        let known: BTreeMap<_, _> = known
            .into_iter()
            .map(|bot| ((bot.portal.clone(), bot.code.clone()), bot))
            .inspect(|(name, _)| hooks.add(&store, name.clone()))
            .collect();
        let suspected = store.suspicions().await?.into_iter();
        let suspected = suspected
            .map(|sign| ((sign.portal, sign.code), sign.seen_at))
            .collect();
        let bots = Self(Arc::new(Inner {
            portals,
            clock,
            known: Mutex::new(known),
            keys: Mutex::default(),
            doubted: Mutex::default(),
            doubts: Arc::default(),
            changed: watch::Sender::new(()),
            hooks,
            drains: mode::Drains::default(),
            window: Mutex::default(),
            suspected: Mutex::new(suspected),
            said: Mutex::default(),
            written: Mutex::default(),
            changes: Turns::default(),
            answers: Turns::default(),
            metrics: metrics::Metrics::new(meter),
            losses: LogLimit::new(LOSSES),
            store,
        }));
        bots.doubt_what_was_broken_off();
        for command in bots.0.store.recent_commands(COMMANDS).await? {
            bots.note_command(Seen {
                portal: command.portal,
                bot_id: command.bot_id,
                dialog: command.dialog,
                message_id: command.command.message_id,
                at: command.happened_at,
                typed: command.command.typed,
            });
        }
        Ok(bots)
    }

    /// Notes a command, which opens the answer window of its dialog.
    pub(crate) fn note_command(&self, seen: Seen) {
        self.0
            .window
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(seen);
    }

    fn portal(&self, id: &PortalId) -> Result<Portal, Error> {
        self.0
            .portals
            .get(id)
            .ok_or_else(|| Error::UnknownPortal(id.clone()))
    }

    fn suspected(&self) -> MutexGuard<'_, BTreeMap<Name, Timestamp>> {
        self.0
            .suspected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) -> MutexGuard<'_, BTreeMap<Name, LastSaid>> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self) -> MutexGuard<'_, window::Window> {
        self.0.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
