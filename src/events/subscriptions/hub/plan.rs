//! What a hub hands out in one turn.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use tokio::time::Instant;
use tracing::{debug, warn};

use super::{BUFFERED, Handed, Hub, StreamId};
use crate::{
    events::{LogEntry, LogItem, entry::Happened},
    ids::PortalId,
    store::{self, Aside, Delivery, Turn},
};

/// Most events that wait in a subscription behind others of their dialogs. Beyond it looks no further,
/// so that a dialog that stands still cannot fill the store.
const MOST_WAITING: u64 = 10_000;

/// Entries looked at in one turn.
const LOOKED_AT: usize = 1000;

/// The store learns how far a subscription has looked at least so often, in entries.
const STORED_EVERY: u64 = 5000;

/// What is to be done in one turn.
#[derive(Default)]
struct Plan {
    turn: Turn,
    handouts: Vec<Handout>,
    /// Dialogs that get one more event that waits.
    queued: Vec<String>,
    /// Dialogs that something is handed out of for the first time.
    begun: HashSet<String>,
    gaps: Vec<Handed>,
    /// What is set aside, as it is counted.
    lost: Vec<(Aside, Option<PortalId>)>,
    looked_at: usize,
}

struct Handout {
    delivery: Delivery,
    entry: Arc<LogEntry>,
    stream: StreamId,
}

/// What is to become of an event.
enum Fate {
    HandOut,
    /// Nobody may see it.
    Leave,
    Aside(Aside),
}

impl Hub {
    pub(super) async fn hand_out(&mut self) -> Result<(), store::Error> {
        if self.state.look_for_missed {
            if self.store.was_missed(self.id).await? {
                self.broadcast(|| Handed::Removed(None));
            }
            self.state.look_for_missed = false;
        }
        let before = self.state.scanned;
        let mut plan = Plan::default();
        let mut planned = self.plan_known(&mut plan).await;
        if planned.is_ok() {
            planned = self.plan_new(&mut plan).await;
        }
        // What was planned before something failed can be done all the same.
        let looked = self.reader.looked();
        let much = looked.saturating_sub(self.state.stored) >= STORED_EVERY;
        if !plan.turn.is_empty() || much {
            plan.turn.scanned = Some(looked);
            let turn = plan.turn.clone();
            if let Err(error) = self.store.turn(self.id, turn, self.clock.now()).await {
                for handout in plan.handouts {
                    self.state.board.free(handout.stream, handout.entry.bytes);
                }
                self.reader.go_back(before);
                return Err(error);
            }
            self.state.stored = looked;
        }
        self.state.scanned = looked;
        self.state.more |= plan.looked_at >= LOOKED_AT;
        self.carry_out(plan);
        planned
    }

    /// Those that wait already.
    async fn plan_known(&mut self, plan: &mut Plan) -> Result<(), store::Error> {
        for seq in self.state.board.ready() {
            if self.state.board.outlet_for(0).is_none() {
                break;
            }
            let Some(delivery) = self.state.board.next_handout(seq) else {
                continue;
            };
            let Some(stored) = self.store.find(seq).await? else {
                // Retention took it, or it was erased.
                plan.turn.done.push(seq);
                self.state.look_for_missed = true;
                self.state.more = true;
                continue;
            };
            let entry = Arc::new(LogEntry::new(stored));
            let LogItem::Event(event) = &entry.item else {
                continue;
            };
            match self.fate(&entry, event, delivery.redriven) {
                Fate::Leave => plan.turn.done.push(seq),
                Fate::Aside(why) => {
                    plan.turn.aside.push((seq, why));
                    plan.lost.push((why, command_of(&entry, event)));
                }
                Fate::HandOut => {
                    let Some(stream) = self.state.board.outlet_for(entry.bytes) else {
                        break;
                    };
                    self.state.board.reserve(stream, entry.bytes);
                    plan.turn.again.push(delivery.clone());
                    plan.handouts.push(Handout {
                        delivery,
                        entry,
                        stream,
                    });
                }
            }
        }
        Ok(())
    }

    /// Those that the subscription did not look at yet.
    async fn plan_new(&mut self, plan: &mut Plan) -> Result<(), store::Error> {
        while plan.looked_at < LOOKED_AT && self.reader.is_behind() {
            let waiting = self.state.board.waiting() + plan.queued.len() as u64;
            if self.state.board.outlet_for(0).is_none() || waiting >= MOST_WAITING {
                return Ok(());
            }
            let from = self.reader.looked();
            let stretch = self.reader.read().await?;
            let missing = stretch.missing.into_iter();
            plan.gaps
                .extend(missing.map(|bot| Handed::Removed(Some(bot))));
            for entry in stretch.entries {
                plan.looked_at += 1;
                let seq = entry.seq;
                if !self.plan_one(plan, entry) {
                    self.reader.go_back(from.max(seq - 1));
                    return Ok(());
                }
            }
            // Stretches of other callers' events count as well.
            plan.looked_at += 1;
        }
        Ok(())
    }

    /// Says no when nobody has room for it.
    fn plan_one(&mut self, plan: &mut Plan, entry: Arc<LogEntry>) -> bool {
        let LogItem::Event(event) = &entry.item else {
            if self.sees(&entry) {
                plan.gaps.push(Handed::Gap(entry));
            }
            return true;
        };
        let dialog = event.dialog.as_ref();
        let dialog = dialog.map(|dialog| order_key(&entry, dialog.as_str()));
        let mut delivery = Delivery {
            seq: entry.seq,
            dialog,
            handouts: 0,
            attempts: 0,
            redriven: false,
        };
        match self.fate(&entry, event, false) {
            Fate::Leave => return true,
            Fate::Aside(why) => {
                plan.turn.found_aside.push((delivery, why));
                plan.lost.push((why, command_of(&entry, event)));
                return true;
            }
            Fate::HandOut => {}
        }
        if let Some(dialog) = &delivery.dialog
            && (self.state.board.is_busy(dialog) || plan.begun.contains(dialog))
        {
            plan.queued.push(dialog.clone());
            plan.turn.found.push(delivery);
            return true;
        }
        let Some(stream) = self.state.board.outlet_for(entry.bytes) else {
            return false;
        };
        self.state.board.reserve(stream, entry.bytes);
        delivery.handouts = 1;
        plan.begun.extend(delivery.dialog.clone());
        plan.turn.found.push(delivery.clone());
        plan.handouts.push(Handout {
            delivery,
            entry,
            stream,
        });
        true
    }

    /// The store knows: now it is so.
    fn carry_out(&mut self, plan: Plan) {
        for (why, command) in &plan.lost {
            self.metrics.set_aside(*why, command.as_ref());
        }
        for gap in plan.gaps {
            match gap {
                Handed::Gap(entry) => self.broadcast(|| Handed::Gap(Arc::clone(&entry))),
                Handed::Removed(bot) => self.broadcast(|| Handed::Removed(bot.clone())),
                Handed::Event { .. } => {}
            }
        }
        for handout in plan.handouts {
            let Handout {
                delivery,
                entry,
                stream,
            } = handout;
            let (seq, attempt) = (delivery.seq, delivery.handouts);
            self.metrics.handed_out(attempt);
            let portal = entry.portal.clone();
            let place = (stream, entry.bytes);
            self.state.board.handed_out(delivery, portal, place);
            let buffered = self.state.streams.get(&stream);
            let buffered = buffered.map_or(0, |it| it.buffered.load(Ordering::Relaxed));
            let entry = (buffered < BUFFERED).then_some(entry);
            self.send(
                stream,
                Handed::Event {
                    seq,
                    attempt,
                    entry,
                },
            );
        }
        for dialog in plan.queued {
            self.state.board.queue(&dialog);
        }
        for seq in plan.turn.done {
            self.over(seq);
            self.state.more = true;
        }
        for (seq, why) in plan.turn.aside {
            debug!(
                subscription = self.name,
                event.seq = seq,
                why = why.as_str(),
                "event is set aside"
            );
            self.over(seq);
            self.state.more = true;
        }
    }

    fn fate(&self, entry: &LogEntry, event: &Happened, redriven: bool) -> Fate {
        if !self.sees(entry) {
            return Fate::Leave;
        }
        if let Err(unreadable) = &event.event {
            if let Some(untold) = self.losses.may_tell(Instant::now()) {
                warn!(event.seq = entry.seq, error = %unreadable, untold, "stored event cannot be read and is left out");
            }
            return Fate::Leave;
        }
        if redriven {
            return Fate::HandOut;
        }
        if entry.seq <= self.state.copied_up_to {
            return Fate::Aside(Aside::Restored);
        }
        if event.is_command {
            // By the portal's clock, which told when it happened. After a start ours may show something else
            // than that, until the portal was heard of: then by ours, since we have it.
            let portal = self.portals.get(&entry.portal);
            let (began, now) = match portal.and_then(|portal| portal.told_time()) {
                Some(now) => (event.happened_at, now),
                None => (entry.received_at, self.clock.now()),
            };
            let dies = began.saturating_add(self.settings.max_age);
            if dies.is_ok_and(|dies| dies < now) {
                return Fate::Aside(Aside::Expired);
            }
        }
        Fate::HandOut
    }

    fn sees(&self, entry: &LogEntry) -> bool {
        let eyes = self.state.eyes.as_ref();
        eyes.is_some_and(|sees| sees(&entry.portal, &entry.code))
    }

    fn broadcast(&self, handed: impl Fn() -> Handed) {
        for stream in self.state.streams.keys() {
            self.send(*stream, handed());
        }
    }
}

/// The portal of a command.
fn command_of(entry: &LogEntry, event: &Happened) -> Option<PortalId> {
    event.is_command.then(|| entry.portal.clone())
}

/// What must stay in order: what happens to one bot in one dialog.
fn order_key(entry: &LogEntry, dialog: &str) -> String {
    format!("{}\n{}\n{dialog}", entry.portal, entry.code)
}
