//! Hands the events of one subscription to its streams.
//!
//! One task, in turns: take what was said, store what it changes, hand out what there is room for. What
//! a turn changes is one transaction.
//!
//! Invariant: nothing is handed out before the store knows of it, and nothing that is done is handed out
//! again once whoever said so was told.

pub(super) mod message;
mod plan;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use self::message::{Counted, Eyes, Handed, Message, Opened, Reply};
use super::{
    board::{Board, Returned, Room, StreamId},
    metrics::Metrics,
    settings::Settings,
};
use crate::{
    clock::Clock,
    events::reader::Reader,
    fault::Chain,
    log_limit::LogLimit,
    portal::{Health, Portals},
    store::{self, Aside, Store, SubscriptionId, Turn},
};

/// Said at once.
const MAIL: usize = 256;

/// Pause after the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// Lines in one second about events that cannot be handed out.
const LOSSES: u32 = 5;

/// What a stream that does not read holds in memory, bytes; the rest it reads from the store.
const BUFFERED: usize = 256 << 10;

/// Hands the events of one subscription to its streams.
pub(super) struct Hub {
    pub(super) id: SubscriptionId,
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) store: Store,
    pub(super) portals: Portals,
    pub(super) clock: Clock,
    pub(super) reader: Reader,
    pub(super) mailbox: mpsc::UnboundedReceiver<Message>,
    pub(super) stop: CancellationToken,
    metrics: Metrics,
    /// Of events that cannot be handed out.
    losses: LogLimit,
    state: State,
}

/// What a hub knows.
#[derive(Default)]
struct State {
    board: Board,
    streams: BTreeMap<StreamId, Stream>,
    opened: u64,
    /// What the caller may see.
    eyes: Option<Eyes>,
    /// Everything up to here was looked at.
    scanned: u64,
    /// As far as the store knows.
    stored: u64,
    /// What waited up to here when the store was copied is set aside.
    copied_up_to: u64,
    /// Handings-out that are over, and whether they count.
    returning: BTreeMap<u64, bool>,
    /// Dialogs whose next event is to be taken in.
    to_go_on: Vec<String>,
    /// The store is to be read again.
    reload: bool,
    /// Retention may have taken something.
    look_for_missed: bool,
    /// Nothing is stored before this.
    not_before: Option<Instant>,
    /// There is more to do at once.
    more: bool,
}

struct Stream {
    outbox: mpsc::UnboundedSender<Handed>,
    buffered: Arc<AtomicUsize>,
}

impl Hub {
    #[expect(
        clippy::too_many_arguments,
        reason = "it is made in one place, of parts"
    )]
    pub(super) fn new(
        id: SubscriptionId,
        name: String,
        settings: Settings,
        store: Store,
        portals: Portals,
        clock: Clock,
        reader: Reader,
        mailbox: mpsc::UnboundedReceiver<Message>,
        stop: CancellationToken,
        metrics: Metrics,
    ) -> Self {
        let scanned = reader.looked();
        Self {
            id,
            name,
            settings,
            store,
            portals,
            clock,
            reader,
            mailbox,
            stop,
            metrics,
            losses: LogLimit::new(LOSSES),
            state: State {
                scanned,
                stored: scanned,
                reload: true,
                ..State::default()
            },
        }
    }

    pub(super) async fn run(mut self) {
        let mut mail = Vec::new();
        loop {
            if !self.wait(&mut mail).await {
                return;
            }
            let mut done = Vec::new();
            for message in mail.drain(..) {
                if matches!(message, Message::End) {
                    return;
                }
                self.heed(message, &mut done);
            }
            self.finish(done).await;
            if self.may_store() {
                match Box::pin(self.go_on()).await {
                    Ok(()) => self.state.not_before = None,
                    Err(error) => self.failed(&error),
                }
            }
        }
    }

    /// Waits until there is something to do. Says no when the end has come.
    async fn wait(&mut self, mail: &mut Vec<Message>) -> bool {
        if self.state.more {
            self.state.more = false;
            while let Ok(message) = self.mailbox.try_recv() {
                mail.push(message);
            }
            return !self.stop.is_cancelled();
        }
        let due = match self.state.not_before {
            Some(retry) => Some(retry),
            None => self.state.board.next_due(),
        };
        let due = async {
            match due {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let has_room = self.state.board.outlet_for(0).is_some();
        let looks = has_room && self.state.not_before.is_none();
        tokio::select! {
            () = self.stop.cancelled() => false,
            said = self.mailbox.recv_many(mail, MAIL) => said > 0,
            () = self.reader.grown(), if looks => true,
            () = due => true,
        }
    }

    fn may_store(&self) -> bool {
        let not_before = self.state.not_before;
        not_before.is_none_or(|not_before| Instant::now() >= not_before)
    }

    fn failed(&mut self, error: &store::Error) {
        if self.state.not_before.is_none() {
            error!(subscription = self.name, error = %Chain(error), "subscription stands still: the store fails, which is tried again every second");
        }
        self.state.not_before = Some(Instant::now() + RETRY);
    }

    fn heed(&mut self, message: Message, done: &mut Vec<(Vec<u64>, Reply)>) {
        let now = Instant::now();
        match message {
            Message::Open { room, eyes, reply } => self.open(room, eyes, reply),
            Message::Close(stream) => {
                self.state.streams.remove(&stream);
                for (seq, sent) in self.state.board.close(stream) {
                    if sent {
                        self.come_back(seq);
                    } else {
                        self.state.returning.insert(seq, false);
                    }
                }
            }
            Message::See(eyes) => self.state.eyes = Some(eyes),
            Message::Done { seqs, reply } => done.push((seqs, reply)),
            Message::Extend { wanted, by, reply } => {
                let mut over = Vec::new();
                for (seq, attempt) in wanted {
                    if !self.state.board.is_out(seq, attempt) {
                        over.push((seq, attempt));
                    } else if by.is_zero() {
                        if self.state.board.end(seq, attempt) {
                            self.come_back(seq);
                        }
                    } else {
                        self.state.board.extend(seq, now + by);
                    }
                }
                // Whoever asked may have left.
                let _ = reply.send(over);
            }
            Message::Sent { seq, attempt } => {
                let until = now + self.settings.max_processing;
                self.state.board.sent(seq, attempt, until);
            }
            Message::Back { seq, attempt } => {
                if self.state.board.end(seq, attempt) {
                    self.state.returning.insert(seq, false);
                }
            }
            Message::Hold {
                seq,
                hold,
                attempt,
                reply,
            } => {
                let board = &mut self.state.board;
                let is_out = match attempt {
                    Some(attempt) => board.is_out(seq, attempt),
                    None => board.is_anywhere(seq),
                };
                // Whichever time it is: while an answer is under way nobody else gets it.
                board.hold(seq, hold);
                let _ = reply.send(is_out);
            }
            Message::LetGo {
                seq, over: true, ..
            } => self.over(seq),
            Message::LetGo { seq, hold, .. } => {
                if self.state.board.let_go(seq, hold) {
                    self.come_back(seq);
                }
            }
            Message::Reload => self.state.reload = true,
            Message::Count(reply) => {
                let _ = reply.send(Counted {
                    count: self.state.board.count(),
                    scanned: self.state.scanned,
                });
            }
            Message::End => {}
        }
    }

    fn open(&mut self, room: Room, eyes: Eyes, reply: oneshot::Sender<Opened>) {
        self.state.opened += 1;
        let stream = StreamId(self.state.opened);
        let (outbox, inbox) = mpsc::unbounded_channel();
        let buffered = Arc::new(AtomicUsize::new(0));
        self.state.eyes = Some(eyes);
        self.state.look_for_missed = true;
        self.state.board.open(stream, room);
        let opened = Opened {
            stream,
            inbox,
            buffered: Arc::clone(&buffered),
        };
        self.state
            .streams
            .insert(stream, Stream { outbox, buffered });
        if reply.send(opened).is_err() {
            // Whoever asked has left.
            self.state.streams.remove(&stream);
            self.state.board.close(stream);
        }
    }

    /// A handing-out is over without the event being done. It counts unless the portal was the reason, or
    /// may have been.
    fn come_back(&mut self, seq: u64) {
        let portal = self.state.board.portal_of(seq);
        let portal = portal.and_then(|portal| self.portals.get(portal));
        let well = portal
            .is_some_and(|portal| matches!(portal.state().health, Health::Ok | Health::Unknown));
        self.state.returning.insert(seq, well);
    }

    /// An event is not handed out again.
    fn over(&mut self, seq: u64) {
        self.state.returning.remove(&seq);
        if let Some(dialog) = self.state.board.over(seq) {
            self.state.to_go_on.push(dialog);
        }
    }

    /// Stores that events are done, and that others were tried as often as they may.
    async fn finish(&mut self, done: Vec<(Vec<u64>, Reply)>) {
        let now = Instant::now();
        // Whether or not anybody has room: what is due must not stay due.
        self.state.board.wake(now);
        for seq in self.state.board.late(now) {
            self.come_back(seq);
        }
        let mut turn = Turn::default();
        for (seqs, _) in &done {
            turn.done.extend(seqs);
        }
        for seq in &turn.done {
            self.state.returning.remove(seq);
        }
        let most = self.settings.max_attempts;
        if self.may_store() {
            let state = &self.state;
            let exhausted = state.returning.iter().filter(|(seq, counts)| {
                state.board.would_return(**seq, **counts, most) == Some(Returned::Exhausted)
            });
            turn.aside = exhausted
                .map(|(seq, _)| (*seq, Aside::AttemptsExhausted))
                .collect();
        }
        let aside = turn.aside.clone();
        let finished = turn.done.clone();
        let stored = match turn.is_empty() {
            true => Ok(()),
            false => self.store.turn(self.id, turn, self.clock.now()).await,
        };
        match &stored {
            Ok(()) => {
                for seq in finished {
                    self.over(seq);
                }
                for (seq, why) in aside {
                    let portal = self.state.board.portal_of(seq);
                    let command = portal.filter(|_| self.settings.view.commands_only());
                    self.metrics.set_aside(why, command);
                    if let Some(untold) = self.losses.may_tell(now) {
                        warn!(
                            subscription = self.name,
                            event.seq = seq,
                            attempts = most,
                            untold,
                            "event was tried as often as it may and is set aside"
                        );
                    }
                    self.over(seq);
                }
            }
            Err(error) => self.failed(error),
        }
        for (_, reply) in done {
            // Whoever said so may have left.
            let _ = reply.send(stored.clone());
        }
        let board = &mut self.state.board;
        self.state.returning.retain(|seq, counts| {
            let waits = board.would_return(*seq, *counts, most) == Some(Returned::Waits);
            if waits {
                board.give_back(*seq, *counts, now);
            }
            !waits && board.would_return(*seq, *counts, most).is_some()
        });
    }

    /// Takes in what waits, and hands out what there is room for.
    async fn go_on(&mut self) -> Result<(), store::Error> {
        if self.state.reload {
            self.state.copied_up_to = self.store.copied_up_to().await?;
            let heads = self.store.delivery_heads(self.id).await?;
            self.state.board.take_in(heads);
            self.state.reload = false;
        }
        while let Some(dialog) = self.state.to_go_on.last() {
            let next = self.store.first_in_dialog(self.id, dialog.clone());
            let next = next.await?;
            if let Some(dialog) = self.state.to_go_on.pop() {
                self.state.board.go_on(&dialog, next);
            }
        }
        if self.state.board.outlet_for(0).is_none() {
            return Ok(());
        }
        Box::pin(self.hand_out()).await
    }

    fn send(&self, stream: StreamId, handed: Handed) {
        let Some(stream) = self.state.streams.get(&stream) else {
            return;
        };
        if let Handed::Event {
            entry: Some(entry), ..
        } = &handed
        {
            stream.buffered.fetch_add(entry.bytes, Ordering::Relaxed);
        }
        // One that has ended gives everything back.
        let _ = stream.outbox.send(handed);
    }
}
