//! Whose turn it is.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Entry, Queue};
use crate::portal::{call::Lane, wire::Method};

/// The time that the calls of one request may take in the portal, which cuts it off after 60 s.
pub(in crate::portal) const TOGETHER: Duration = Duration::from_secs(10);

/// The same when several callers wait and each has more waiting than the request takes, so that all gain
/// from a large one.
const SHARED: Duration = Duration::from_secs(2);

/// The same once all that some caller waits for is aboard: it is answered when the last call of the request
/// is done, and gains nothing from calls that others add. First for one call of each caller, then for what
/// they add beyond that. Permits come once a second, so a quiet caller is answered within two seconds.
const FIRST: Duration = Duration::from_secs(1);
const FURTHER: Duration = Duration::from_millis(500);

/// Whoever waited this long comes before the lanes above, so that no lane starves.
const PATIENCE: [(Lane, Duration); 2] = [
    (Lane::Polls, Duration::from_secs(15)),
    (Lane::Calls, Duration::from_secs(5)),
];

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    answers: Line,
    calls: Line,
    polls: Line,
}

/// Calls waiting in each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// What people wait for.
    pub answers: usize,
    /// Other calls.
    pub calls: usize,
    /// Fetching of events.
    pub polls: usize,
}

/// The callers of a lane, in turn.
#[derive(Debug, Default)]
struct Line(VecDeque<CallerLine>);

/// The bots of a caller, in turn.
#[derive(Debug)]
struct CallerLine {
    caller: Arc<str>,
    bots: VecDeque<BotLine>,
}

/// The calls of a bot, oldest first.
#[derive(Debug)]
struct BotLine {
    bot: i64,
    entries: VecDeque<Entry>,
}

impl Queue {
    /// Calls waiting in each lane, by their callers.
    pub(in crate::portal) fn waiting_callers(&self) -> Vec<(Lane, Arc<str>, usize)> {
        self.0.state().lanes.by_caller()
    }
}

impl Lanes {
    pub(super) fn push(&mut self, lane: Lane, caller: Arc<str>, bot: i64, entry: Entry) {
        self.line(lane).push(caller, bot, entry);
    }

    /// Takes calls of one lane that may leave now, up to the `size` for that lane. `ready`: whether a
    /// method may be called once more beside so many calls of it that leave as well.
    pub(super) fn take(
        &mut self,
        size: impl Fn(Lane) -> usize,
        now: Instant,
        ready: &mut impl FnMut(Method, u32) -> bool,
        usual: impl Fn(Method) -> Option<Duration>,
    ) -> Vec<Entry> {
        let impatient = PATIENCE.iter().filter(|(lane, patience)| {
            let oldest = self.peek(*lane).oldest();
            oldest.is_some_and(|since| now.duration_since(since) >= *patience)
        });
        let lanes: Vec<Lane> = impatient
            .map(|(lane, _)| *lane)
            .chain([Lane::Answers, Lane::Calls, Lane::Polls])
            .collect();
        for lane in lanes {
            let line = self.line(lane);
            let mut group = Group {
                size: size(lane),
                most: if line.0.len() > 1 { SHARED } else { TOGETHER },
                time: Duration::ZERO,
                entries: Vec::new(),
            };
            line.fill(&mut group, ready, &usual);
            if !group.entries.is_empty() {
                return group.entries;
            }
        }
        Vec::new()
    }

    /// Takes out the calls of which something is true.
    pub(super) fn remove(&mut self, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut removed = Vec::new();
        for line in [&mut self.answers, &mut self.calls, &mut self.polls] {
            line.remove(&which, &mut removed);
        }
        removed
    }

    pub(super) fn waiting(&self) -> Waiting {
        Waiting {
            answers: self.answers.len(),
            calls: self.calls.len(),
            polls: self.polls.len(),
        }
    }

    fn by_caller(&self) -> Vec<(Lane, Arc<str>, usize)> {
        let lanes = [Lane::Answers, Lane::Calls, Lane::Polls].into_iter();
        let each = |lane| self.peek(lane).0.iter().map(move |line| (lane, line));
        let counted = lanes.flat_map(each).map(|(lane, line)| {
            let calls = line.bots.iter().map(|bot| bot.entries.len()).sum();
            (lane, Arc::clone(&line.caller), calls)
        });
        counted.collect()
    }

    fn line(&mut self, lane: Lane) -> &mut Line {
        match lane {
            Lane::Answers => &mut self.answers,
            Lane::Calls => &mut self.calls,
            Lane::Polls => &mut self.polls,
        }
    }

    fn peek(&self, lane: Lane) -> &Line {
        match lane {
            Lane::Answers => &self.answers,
            Lane::Calls => &self.calls,
            Lane::Polls => &self.polls,
        }
    }
}

/// Calls that leave together.
struct Group {
    size: usize,
    /// Time that they may take in the portal.
    most: Duration,
    /// Time that they take.
    time: Duration,
    entries: Vec<Entry>,
}

impl Group {
    fn is_full(&self) -> bool {
        self.entries.len() >= self.size
    }

    /// Whether a call may join. The first one always may; it travels alone if it must.
    fn admits(&self, entry: &Entry, usual: Option<Duration>) -> bool {
        let Some(first) = self.entries.first() else {
            return true;
        };
        let batchable = first.fits() && entry.fits();
        batchable && usual.is_some_and(|usual| self.time + usual <= self.most)
    }

    /// How many calls of a method it has.
    fn aboard(&self, method: Method) -> u32 {
        let same = |entry: &&Entry| entry.call.method == method;
        u32::try_from(self.entries.iter().filter(same).count()).unwrap_or(u32::MAX)
    }

    fn join(&mut self, entry: Entry, usual: Option<Duration>) {
        // A call of unknown length, or one that must, travels without others.
        match usual.filter(|_| entry.fits()) {
            Some(usual) => self.time += usual,
            None => self.size = 1,
        }
        self.entries.push(entry);
    }
}

impl Line {
    fn push(&mut self, caller: Arc<str>, bot: i64, entry: Entry) {
        let index = self.0.iter().position(|line| line.caller == caller);
        let index = index.unwrap_or_else(|| {
            self.0.push_back(CallerLine {
                caller,
                bots: VecDeque::new(),
            });
            self.0.len() - 1
        });
        let bots = &mut self.0[index].bots;
        match bots.iter_mut().find(|line| line.bot == bot) {
            Some(line) => line.entries.push_back(entry),
            None => bots.push_back(BotLine {
                bot,
                entries: VecDeque::from([entry]),
            }),
        }
    }

    fn oldest(&self) -> Option<Instant> {
        let bots = self.0.iter().flat_map(|caller| &caller.bots);
        bots.filter_map(|bot| bot.entries.front())
            .map(|entry| entry.since)
            .min()
    }

    /// One call of each caller in turn, round after round.
    fn fill(
        &mut self,
        group: &mut Group,
        ready: &mut impl FnMut(Method, u32) -> bool,
        usual: &impl Fn(Method) -> Option<Duration>,
    ) {
        let callers = self.0.len();
        let (mut turns, mut without_luck, mut all_aboard) = (0, 0, false);
        while without_luck < self.0.len() && !group.is_full() {
            let Some(mut caller) = self.0.pop_front() else {
                return;
            };
            if all_aboard {
                let most = if turns < callers { FIRST } else { FURTHER };
                group.most = group.most.min(most);
            }
            turns += 1;
            match caller.take(group, ready, usual) {
                true => without_luck = 0,
                false => without_luck += 1,
            }
            if caller.bots.is_empty() {
                all_aboard = callers > 1;
            } else {
                self.0.push_back(caller);
            }
        }
    }

    fn remove(&mut self, which: impl Fn(&Entry) -> bool, removed: &mut Vec<Entry>) {
        for caller in &mut self.0 {
            for bot in &mut caller.bots {
                // Mostly none.
                if bot.entries.iter().any(&which) {
                    let entries = mem::take(&mut bot.entries).into_iter();
                    let (gone, kept) = entries.partition::<VecDeque<_>, _>(&which);
                    removed.extend(gone);
                    bot.entries = kept;
                }
            }
            caller.bots.retain(|bot| !bot.entries.is_empty());
        }
        self.0.retain(|caller| !caller.bots.is_empty());
    }

    fn len(&self) -> usize {
        let bots = self.0.iter().flat_map(|caller| &caller.bots);
        bots.map(|bot| bot.entries.len()).sum()
    }
}

impl CallerLine {
    /// Moves one call into the group, of the bot whose turn it is.
    fn take(
        &mut self,
        group: &mut Group,
        ready: &mut impl FnMut(Method, u32) -> bool,
        usual: &impl Fn(Method) -> Option<Duration>,
    ) -> bool {
        for _ in 0..self.bots.len() {
            let Some(mut bot) = self.bots.pop_front() else {
                return false;
            };
            let taken = bot.take(group, ready, usual);
            if !bot.entries.is_empty() {
                self.bots.push_back(bot);
            }
            if taken {
                return true;
            }
        }
        false
    }
}

impl BotLine {
    fn take(
        &mut self,
        group: &mut Group,
        ready: &mut impl FnMut(Method, u32) -> bool,
        usual: &impl Fn(Method) -> Option<Duration>,
    ) -> bool {
        let may = |entry: &Entry| {
            let method = entry.call.method;
            group.admits(entry, usual(method))
                && ready(method, group.aboard(method))
                && (1..)
                    .zip(entry.methods_beside())
                    .all(|(before, method)| ready(method, before))
        };
        let index = self.entries.iter().position(may);
        let Some(entry) = index.and_then(|index| self.entries.remove(index)) else {
            return false;
        };
        let usual = usual(entry.call.method);
        group.join(entry, usual);
        true
    }
}
