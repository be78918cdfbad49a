//! Until when we surely listened to what portals post.
//!
//! Nothing is posted twice (C11): what came while nobody listened is lost. A mark in the store, written
//! once a minute while there is a bot whose events are posted, and at the end, says until when we
//! listened; from there to the next start each such bot has a gap in the log. The same where the store
//! could not be written while we listened, or somebody had to be turned away unheard.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::Events;
use crate::{
    bots::Name,
    fault::Chain,
    log_limit::LogLimit,
    store::{self, Append, BotState, Entry, EventMode, Gap, Item},
};

/// How often the mark is written.
const EVERY: Duration = Duration::from_secs(60);

/// Pause before what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Longest wait for the store at the end.
const LAST: Duration = Duration::from_secs(10);

/// The reason of gaps, as published.
const WEBHOOKS_MISSED: &str = "WEBHOOKS_MISSED";

/// What is known of the listening.
#[derive(Debug)]
pub(super) struct Listening {
    /// Gaps that are not in the log yet, and since when.
    gaps: Mutex<BTreeMap<Name, Missing>>,
    /// Told of a new one.
    more: Notify,
    /// The gap before our start is in the log, or will be: the mark may move.
    began: AtomicBool,
    /// Since when somebody was turned away of whom we know nothing.
    turned_away: Mutex<Option<Timestamp>>,
    /// When the stop began, with which the listening ends.
    ended: Mutex<Option<Timestamp>>,
    failures: LogLimit,
}

/// A gap that is to be written.
#[derive(Debug, Clone, Copy)]
struct Missing {
    bot_id: i64,
    from: Option<Timestamp>,
}

impl Default for Listening {
    fn default() -> Self {
        Self {
            gaps: Mutex::default(),
            more: Notify::new(),
            began: AtomicBool::new(false),
            turned_away: Mutex::default(),
            ended: Mutex::default(),
            failures: LogLimit::new(1),
        }
    }
}

impl Listening {
    fn gaps(&self) -> MutexGuard<'_, BTreeMap<Name, Missing>> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_turned_away(&self) -> MutexGuard<'_, Option<Timestamp>> {
        let since = self.turned_away.lock();
        since.unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes when the stop begins, however busy the account is kept.
pub(super) async fn note_end(events: Events, stop: CancellationToken) {
    stop.cancelled().await;
    let now = events.0.clock.now();
    *events.0.listening.ended() = Some(now);
}

/// Keeps account until the stop begins.
pub(super) async fn run(events: Events, stop: CancellationToken) {
    let inner = &events.0;
    let mut changed = inner.bots.changed();
    loop {
        let nobody = inner.bots.posted().is_empty();
        let written = events.account().await;
        let next = match &written {
            Ok(()) => Instant::now() + EVERY,
            Err(error) => {
                events.tell_failure(error);
                Instant::now() + AGAIN
            }
        };
        let fresh = async {
            // The first bot whose events are posted needs a mark at once.
            while changed.changed().await.is_ok() && inner.bots.posted().is_empty() {}
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(next) => {}
            () = inner.listening.more.notified() => {}
            () = fresh, if nobody && written.is_ok() => {}
        }
    }
}

impl Events {
    /// A genuine event of a bot could not be kept.
    pub(super) fn missed(&self, name: Name, bot_id: i64, arrived: Timestamp) {
        let from = Some(arrived);
        let listening = &self.0.listening;
        let first = {
            let mut gaps = listening.gaps();
            let first = gaps.is_empty();
            gaps.entry(name).or_insert(Missing { bot_id, from });
            first
        };
        if first {
            listening.more.notify_one();
        }
    }

    /// What was posted to the address of a bot was not heard to its end, so that nobody knows whether it was
    /// genuine. Told within a minute, since a stranger could make that happen again and again.
    pub fn unheard(&self, name: &Name) {
        let mut posted = self.0.bots.posted();
        posted.retain(|bot| (&bot.portal, &bot.code) == (&name.0, &name.1));
        self.note_unheard(posted, self.0.clock.now());
    }

    /// Somebody who may have posted something was turned away. Told in the same way.
    pub fn turned_away(&self) {
        let now = self.0.clock.now();
        self.0.listening.since_turned_away().get_or_insert(now);
    }

    fn note_unheard(&self, bots: Vec<store::Bot>, from: Timestamp) {
        let from = Some(from);
        let mut gaps = self.0.listening.gaps();
        for bot in bots {
            let bot_id = bot.bot_id.unwrap_or_default();
            let missing = Missing { bot_id, from };
            gaps.entry((bot.portal, bot.code)).or_insert(missing);
        }
    }

    /// Writes what there is to tell at the end, after the last event was taken.
    pub async fn end_listening(&self) {
        if !self.0.listening.began.load(Ordering::Acquire) {
            return;
        }
        match timeout(LAST, self.account()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.tell_failure(&error),
            Err(_) => warn!("the store is too slow to be told until when we listened"),
        }
    }

    /// Writes the gaps that are known, then the mark: until now nothing else was missed.
    async fn account(&self) -> Result<(), store::Error> {
        let inner = &self.0;
        let listening = &inner.listening;
        if !listening.began.load(Ordering::Acquire) {
            let heard = inner.store.heard_until().await?;
            self.note_absence(heard);
            listening.began.store(true, Ordering::Release);
        }
        // Before the gaps: what is missed from now on belongs to the next mark.
        let now = listening.ended().unwrap_or_else(|| inner.clock.now());
        let turned_away = listening.since_turned_away().take();
        if let Some(since) = turned_away {
            self.note_unheard(inner.bots.posted(), since);
        }
        // Taken out first: what is missed while a gap is written begins another one.
        let mut gaps = std::mem::take(&mut *listening.gaps());
        while let Some((name, missing)) = gaps.pop_first() {
            if let Err(error) = self.write_gap(&name, missing).await {
                gaps.insert(name, missing);
                // These began earlier than what was noted meanwhile.
                listening.gaps().extend(gaps);
                return Err(error);
            }
        }
        if !inner.bots.posted().is_empty() {
            inner.store.note_heard(now).await?;
        }
        Ok(())
    }

    /// Every bot whose events are posted missed what came since the mark.
    fn note_absence(&self, heard: Option<Timestamp>) {
        let now = self.0.clock.now();
        let mut gaps = self.0.listening.gaps();
        for bot in self.0.bots.posted() {
            let from = heard.max(bot.delivery.since).map(|from| from.min(now));
            let missing = Missing {
                bot_id: bot.bot_id.unwrap_or_default(),
                from,
            };
            gaps.insert((bot.portal, bot.code), missing);
        }
    }

    async fn write_gap(&self, name: &Name, missing: Missing) -> Result<(), store::Error> {
        let now = self.0.clock.now();
        warn!(portal.id = %name.0, bot.code = %name.1, since = missing.from.map(tracing::field::display), "events that were posted for the bot may have been missed");
        let gap = Entry {
            bot_id: missing.bot_id,
            received_at: now,
            item: Item::Gap(Gap {
                from: missing.from,
                until: now,
                why: WEBHOOKS_MISSED.to_owned(),
            }),
        };
        self.0
            .store
            .append(Append {
                portal: name.0.clone(),
                code: name.1.clone(),
                entries: vec![gap],
                next_offset: None,
                polled_at: None,
            })
            .await?;
        Ok(())
    }

    fn tell_failure(&self, cause: &store::Error) {
        if let Some(untold) = self.0.listening.failures.may_tell(Instant::now()) {
            error!(error = %Chain(cause), untold, "what was posted, or until when we listened, cannot be stored");
        }
    }

    /// Says which bots post their events to nobody.
    pub fn tell_who_is_unheard(&self) {
        for bot in self.0.bots.posted() {
            debug_assert!((bot.state, bot.event_mode) == (BotState::Active, EventMode::Webhook));
            error!(portal.id = %bot.portal, bot.code = %bot.code, "the portal posts events of the bot, and nobody listens: set `http.listen`, or change the bot's mode");
        }
    }
}
