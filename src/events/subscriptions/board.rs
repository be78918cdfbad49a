//! Who has which event, and what comes next. Decides; stores and sends nothing.
//!
//! Of the events that must stay in order, which are those of a bot in a dialog, only the first is here;
//! the others wait in the store until it is over. So what this takes up grows with what is handed out,
//! not with what waits.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    ids::PortalId,
    store::{Delivery, Head},
};

/// Longest pause before an event is handed out again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Tells the streams of a subscription apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StreamId(pub(super) u64);

/// Tells the answers under way apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HoldId(pub(super) u64);

/// What a stream takes at once.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Events that are not done.
    pub events: usize,
    /// Bytes of them.
    pub bytes: usize,
}

/// Who has which event.
#[derive(Debug, Default)]
pub(super) struct Board {
    rows: HashMap<u64, Row>,
    /// How many events each dialog has, at most, that are not done.
    dialogs: HashMap<Arc<str>, u64>,
    ready: BTreeSet<u64>,
    later: BTreeSet<(Instant, u64)>,
    leases: BTreeSet<(Instant, u64)>,
    outlets: BTreeMap<StreamId, Outlet>,
}

/// An event that is not done.
#[derive(Debug)]
struct Row {
    dialog: Option<Arc<str>>,
    handouts: u32,
    attempts: u32,
    redriven: bool,
    place: Place,
    /// Answers to it that are under way: meanwhile nobody else gets it.
    holds: Vec<HoldId>,
    /// Known once it was handed out.
    portal: Option<PortalId>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// To be handed out.
    Ready,
    /// To be handed out then.
    Later(Instant),
    /// Handed out. As long as it was not sent it may wait: nobody can work on it.
    Out {
        stream: StreamId,
        bytes: usize,
        until: Option<Instant>,
        /// The stream or the lease is over, which counts once no answer is under way.
        over: bool,
    },
}

/// A stream, as far as it takes up something.
#[derive(Debug)]
struct Outlet {
    room: Room,
    events: usize,
    bytes: usize,
}

/// Something that happens to an event when its handing-out ended without its being done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Returned {
    /// It waits for its next attempt.
    Waits,
    /// It was tried as often as it may.
    Exhausted,
}

/// How many events are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) streams: usize,
    pub(super) outstanding: usize,
}

impl Board {
    pub(super) fn count(&self) -> Count {
        let outlets = self.outlets.values();
        Count {
            streams: self.outlets.len(),
            outstanding: outlets.map(|outlet| outlet.events).sum(),
        }
    }

    /// Events that wait in the store or here, about.
    pub(super) fn waiting(&self) -> u64 {
        let alone = self.rows.values().filter(|row| row.dialog.is_none());
        self.dialogs.values().sum::<u64>() + alone.count() as u64
    }

    pub(super) fn open(&mut self, stream: StreamId, room: Room) {
        let outlet = Outlet {
            room,
            events: 0,
            bytes: 0,
        };
        self.outlets.insert(stream, outlet);
    }

    /// Ends a stream. What it had is given back, but for what is being answered; whether it was sent is
    /// told with it.
    pub(super) fn close(&mut self, stream: StreamId) -> Vec<(u64, bool)> {
        self.outlets.remove(&stream);
        let mut back = Vec::new();
        for (seq, row) in &mut self.rows {
            if let Place::Out {
                stream: of,
                until,
                over,
                ..
            } = &mut row.place
                && *of == stream
            {
                *over = true;
                if row.holds.is_empty() {
                    back.push((*seq, until.is_some()));
                }
            }
        }
        back.sort_unstable();
        back
    }

    /// A stream that has room for an event of this size: the one that has least to do.
    pub(super) fn outlet_for(&self, bytes: usize) -> Option<StreamId> {
        let free = self.outlets.iter().filter(|(_, outlet)| {
            outlet.events == 0
                || (outlet.events < outlet.room.events
                    && outlet.bytes.saturating_add(bytes) <= outlet.room.bytes)
        });
        free.min_by_key(|(_, outlet)| outlet.events)
            .map(|(stream, _)| *stream)
    }

    /// Keeps room in a stream.
    pub(super) fn reserve(&mut self, stream: StreamId, bytes: usize) {
        if let Some(outlet) = self.outlets.get_mut(&stream) {
            outlet.events += 1;
            outlet.bytes += bytes;
        }
    }

    /// Gives the room back.
    pub(super) fn free(&mut self, stream: StreamId, bytes: usize) {
        if let Some(outlet) = self.outlets.get_mut(&stream) {
            outlet.events = outlet.events.saturating_sub(1);
            outlet.bytes = outlet.bytes.saturating_sub(bytes);
        }
    }

    /// Whether events of a dialog that are not done stand before a new one.
    pub(super) fn is_busy(&self, dialog: &str) -> bool {
        self.dialogs.contains_key(dialog)
    }

    /// One more event of a dialog waits in the store.
    pub(super) fn queue(&mut self, dialog: &str) {
        if let Some(count) = self.dialogs.get_mut(dialog) {
            *count += 1;
        }
    }

    /// Takes in what waits in the store, unless it is known.
    pub(super) fn take_in(&mut self, heads: Vec<Head>) {
        for Head { first, waiting } in heads {
            match first.dialog.clone() {
                Some(dialog) => {
                    let dialog: Arc<str> = dialog.into();
                    let known = self.dialogs.insert(Arc::clone(&dialog), waiting);
                    if known.is_none() {
                        self.wait(first, Some(dialog));
                    }
                }
                None if !self.rows.contains_key(&first.seq) => self.wait(first, None),
                None => {}
            }
        }
    }

    /// Takes in the next event of a dialog whose first is over; none is left where there is none.
    pub(super) fn go_on(&mut self, dialog: &str, next: Option<Delivery>) {
        match next {
            Some(next) => {
                let key = self.dialogs.get_key_value(dialog);
                let key = key.map(|(key, _)| Arc::clone(key));
                self.wait(next, key);
            }
            None => {
                self.dialogs.remove(dialog);
            }
        }
    }

    fn wait(&mut self, delivery: Delivery, dialog: Option<Arc<str>>) {
        let row = Row {
            dialog,
            handouts: delivery.handouts,
            attempts: delivery.attempts,
            redriven: delivery.redriven,
            place: Place::Ready,
            holds: Vec::new(),
            portal: None,
        };
        self.rows.insert(delivery.seq, row);
        self.ready.insert(delivery.seq);
    }

    /// Ends the pauses that are over.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((at, seq)) = self.later.first().copied()
            && at <= now
        {
            self.later.pop_first();
            if let Some(row) = self.rows.get_mut(&seq) {
                row.place = Place::Ready;
                self.ready.insert(seq);
            }
        }
    }

    /// What is to be handed out, in order. What is being answered is not.
    pub(super) fn ready(&self) -> Vec<u64> {
        let free = |seq: &&u64| self.rows.get(seq).is_some_and(|row| row.holds.is_empty());
        self.ready.iter().filter(free).copied().collect()
    }

    /// A known event as it stands in the store, with one more handing-out.
    pub(super) fn next_handout(&self, seq: u64) -> Option<Delivery> {
        let row = self.rows.get(&seq)?;
        Some(Delivery {
            seq,
            dialog: row.dialog.as_deref().map(ToOwned::to_owned),
            handouts: row.handouts + 1,
            attempts: row.attempts,
            redriven: row.redriven,
        })
    }

    /// An event was handed out, for which room was kept.
    pub(super) fn handed_out(
        &mut self,
        delivery: Delivery,
        portal: PortalId,
        (stream, bytes): (StreamId, usize),
    ) {
        self.ready.remove(&delivery.seq);
        let known = self.rows.get(&delivery.seq);
        let dialog = match known {
            Some(row) => row.dialog.clone(),
            None => delivery.dialog.map(Arc::from),
        };
        if known.is_none()
            && let Some(dialog) = &dialog
        {
            *self.dialogs.entry(Arc::clone(dialog)).or_default() += 1;
        }
        let row = Row {
            dialog,
            handouts: delivery.handouts,
            attempts: delivery.attempts,
            redriven: delivery.redriven,
            place: Place::Out {
                stream,
                bytes,
                until: None,
                over: !self.outlets.contains_key(&stream),
            },
            holds: known.map(|row| row.holds.clone()).unwrap_or_default(),
            portal: Some(portal),
        };
        self.rows.insert(delivery.seq, row);
    }

    /// This handing-out of an event is on its way to the caller: from now on it is limited in time.
    pub(super) fn sent(&mut self, seq: u64, attempt: u32, until: Instant) {
        if self.is_out(seq, attempt) {
            self.extend(seq, until);
        }
    }

    /// An event is over, one way or another. Names its dialog when more of that may wait.
    pub(super) fn over(&mut self, seq: u64) -> Option<String> {
        let row = self.rows.remove(&seq)?;
        self.vacate(seq, row.place);
        let dialog = row.dialog?;
        let left = self.dialogs.get_mut(&dialog)?;
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.dialogs.remove(&dialog);
            return None;
        }
        Some(dialog.to_string())
    }

    fn vacate(&mut self, seq: u64, place: Place) {
        match place {
            Place::Ready => {
                self.ready.remove(&seq);
            }
            Place::Later(at) => {
                self.later.remove(&(at, seq));
            }
            Place::Out {
                stream,
                bytes,
                until,
                ..
            } => {
                if let Some(until) = until {
                    self.leases.remove(&(until, seq));
                }
                self.free(stream, bytes);
            }
        }
    }

    /// The portal of an event that is handed out.
    pub(super) fn portal_of(&self, seq: u64) -> Option<&PortalId> {
        self.rows.get(&seq)?.portal.as_ref()
    }

    /// Whether this handing-out of an event goes on.
    pub(super) fn is_out(&self, seq: u64, attempt: u32) -> bool {
        self.rows.get(&seq).is_some_and(|row| {
            row.handouts == attempt && matches!(row.place, Place::Out { over: false, .. })
        })
    }

    /// Whether an event is handed out, whichever time it is.
    pub(super) fn is_anywhere(&self, seq: u64) -> bool {
        let row = self.rows.get(&seq);
        row.is_some_and(|row| matches!(row.place, Place::Out { .. }))
    }

    /// Says what would become of an event that is given back; changes nothing.
    pub(super) fn would_return(&self, seq: u64, counts: bool, most: u32) -> Option<Returned> {
        let row = self.rows.get(&seq)?;
        let attempts = row.attempts + u32::from(counts);
        Some(if attempts >= most {
            Returned::Exhausted
        } else {
            Returned::Waits
        })
    }

    /// Ends a handing-out. Says whether the event is to be given back now: while an answer is under way it
    /// is not.
    pub(super) fn end(&mut self, seq: u64, attempt: u32) -> bool {
        if !self.is_out(seq, attempt) {
            return false;
        }
        let Some(row) = self.rows.get_mut(&seq) else {
            return false;
        };
        if let Place::Out { over, .. } = &mut row.place {
            *over = true;
        }
        row.holds.is_empty()
    }

    /// Gives an event back; it comes again after a pause that grows with its handings-out.
    pub(super) fn give_back(&mut self, seq: u64, counts: bool, now: Instant) {
        let Some(row) = self.rows.get_mut(&seq) else {
            return;
        };
        row.attempts += u32::from(counts);
        let place = row.place;
        let pause = pause(row.handouts);
        let next = if pause.is_zero() {
            Place::Ready
        } else {
            Place::Later(now + pause)
        };
        row.place = next;
        self.vacate(seq, place);
        match next {
            Place::Later(at) => self.later.insert((at, seq)),
            _ => self.ready.insert(seq),
        };
    }

    /// Moves the end of a handing-out.
    pub(super) fn extend(&mut self, seq: u64, to: Instant) {
        if let Some(row) = self.rows.get_mut(&seq)
            && let Place::Out { until, .. } = &mut row.place
        {
            if let Some(before) = until.replace(to) {
                self.leases.remove(&(before, seq));
            }
            self.leases.insert((to, seq));
        }
    }

    /// Handings-out that took too long. Those that are being answered may take as long as that does.
    pub(super) fn late(&mut self, now: Instant) -> Vec<u64> {
        let mut late = Vec::new();
        while let Some((until, seq)) = self.leases.first().copied()
            && until <= now
        {
            self.leases.pop_first();
            let Some(row) = self.rows.get_mut(&seq) else {
                continue;
            };
            if let Place::Out { over, .. } = &mut row.place {
                *over = true;
                if row.holds.is_empty() {
                    late.push(seq);
                }
            }
        }
        late
    }

    /// An answer to an event is under way.
    pub(super) fn hold(&mut self, seq: u64, hold: HoldId) {
        if let Some(row) = self.rows.get_mut(&seq) {
            row.holds.push(hold);
        }
    }

    /// It is not any more. Says whether the event must be given back.
    pub(super) fn let_go(&mut self, seq: u64, hold: HoldId) -> bool {
        let Some(row) = self.rows.get_mut(&seq) else {
            return false;
        };
        row.holds.retain(|held| *held != hold);
        row.holds.is_empty() && matches!(row.place, Place::Out { over: true, .. })
    }

    /// When something is to be done although nothing happens.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let later = self.later.first().map(|(at, _)| *at);
        let lease = self.leases.first().map(|(until, _)| *until);
        later.into_iter().chain(lease).min()
    }
}

/// The pause before an event is handed out again: none after the first time, then 1 s, 2 s, 4 s ...
fn pause(handouts: u32) -> Duration {
    match handouts {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1 << (more - 2).min(6)).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests;
