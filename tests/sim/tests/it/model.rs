//! A second, tiny portal: what the contract says of rate, event log and answer window.
//!
//! Written from the sentences of the contract alone (C5, C12, C18.5), without a look at the
//! simulator. Where a sentence can be read in several ways, the model gives bounds between which
//! every reading lies, or says that it does not know. Times are milliseconds.

/// A day.
const DAY: u64 = 24 * 3600 * 1000;
/// How long the right to answer lives.
const RIGHT: u64 = 600 * 1000;

/// The request rate of one source address.
pub(crate) struct Rate {
    threshold: u64,
    /// Leaves the counter once per second.
    drain: u64,
    /// When requests came, and whether they were served.
    requests: Vec<(u64, bool)>,
}

impl Rate {
    pub(crate) fn new(threshold: u64, drain: u64) -> Self {
        Self {
            threshold,
            drain,
            requests: Vec::new(),
        }
    }

    /// Notes what became of a request. An error says which sentence it breaks.
    pub(crate) fn saw(&mut self, now: u64, served: bool) -> Result<(), String> {
        let verdict = if served {
            self.check_served(now)
        } else {
            self.check_refused(now)
        };
        self.requests.push((now, served));
        verdict
    }

    /// The kindest reading: refused requests do not count, a request is refused only when it
    /// *finds* the counter above the threshold, and the seconds fall as well as they can.
    fn check_served(&self, now: u64) -> Result<(), String> {
        let mut served = 1;
        for (start, _) in self.requests.iter().rev().filter(|(_, served)| *served) {
            served += 1;
            let steps = (now - start).div_ceil(1000);
            let most = self.threshold + 1 + self.drain * steps;
            if served > most {
                return Err(format!(
                    "{served} served from {start} to {now}, at most {most}"
                ));
            }
        }
        Ok(())
    }

    /// The strictest reading: every request counts, the counter never exceeds the threshold, and
    /// the seconds fall as badly as they can. Whoever keeps to it is never refused.
    fn check_refused(&self, now: u64) -> Result<(), String> {
        let offsets = self
            .requests
            .iter()
            .map(|(at, _)| at % 1000)
            .chain([now % 1000]);
        let mut found = Vec::new();
        for offset in offsets {
            let level = self.strict_level(now, offset);
            if level >= self.threshold {
                return Ok(());
            }
            found.push(level);
        }
        Err(format!("refused at {now} with a counter of {found:?}"))
    }

    /// The counter that a request at `now` finds when seconds begin at `offset`.
    fn strict_level(&self, now: u64, offset: u64) -> u64 {
        let second = |at: u64| (at + 1000 - offset) / 1000;
        let mut level: u64 = 0;
        let mut last = 0;
        for (at, _) in &self.requests {
            level = level.saturating_sub(self.drain * (second(*at) - last)) + 1;
            last = second(*at);
        }
        level.saturating_sub(self.drain * (second(now) - last))
    }
}

/// The log of one bot.
#[derive(Default)]
pub(crate) struct Log {
    events: Vec<Event>,
    /// Ids grow, so what was never shown lies above this.
    highest_shown: u64,
}

struct Event {
    born: u64,
    /// Known once it was shown.
    id: Option<u64>,
    text: String,
}

/// What a fetch showed.
#[derive(Debug)]
pub(crate) struct Page {
    /// Ids and texts.
    pub(crate) events: Vec<(u64, String)>,
    pub(crate) next_offset: u64,
    pub(crate) has_more: bool,
}

impl Log {
    pub(crate) fn add(&mut self, now: u64, text: &str) {
        self.events.push(Event {
            born: now,
            id: None,
            text: text.to_owned(),
        });
    }

    /// The highest id ever shown.
    pub(crate) fn highest_shown(&self) -> u64 {
        self.highest_shown
    }

    /// Compares a page with what the contract promises for this offset and limit. An offset lies
    /// at most one above what was shown, or beyond everything.
    pub(crate) fn fetched(
        &mut self,
        now: u64,
        offset: u64,
        limit: usize,
        page: &Page,
    ) -> Result<(), String> {
        self.events.retain(|event| now - event.born <= DAY);
        let beyond = offset > self.highest_shown + 1;
        self.events.retain(|event| match event.id {
            Some(id) => id >= offset,
            None => !beyond,
        });
        let limit = limit.clamp(1, 1000);
        let count = self.events.len().min(limit);
        let expected: Vec<&str> = self.events.iter().take(count).map(|e| &*e.text).collect();
        let shown: Vec<&str> = page.events.iter().map(|(_, text)| &**text).collect();
        if shown != expected {
            return Err(format!("shown {shown:?}, expected {expected:?}"));
        }
        for ((id, _), event) in page.events.iter().zip(&mut self.events) {
            let fits = event
                .id
                .map_or(*id > self.highest_shown, |known| known == *id);
            if !fits || *id < offset {
                return Err(format!("id {id} after {}", self.highest_shown));
            }
            event.id = Some(*id);
            self.highest_shown = self.highest_shown.max(*id);
        }
        let next = page.events.last().map_or(offset, |(id, _)| id + 1);
        if page.next_offset != next {
            return Err(format!("next offset {}, expected {next}", page.next_offset));
        }
        if page.has_more != (count >= limit) {
            return Err(format!("{} of {limit}, has more: {}", count, page.has_more));
        }
        Ok(())
    }
}

/// The right of one bot to answer in one dialog.
#[derive(Default)]
pub(crate) struct Window {
    last_command: Option<u64>,
}

impl Window {
    /// A command of the bot was called in the dialog.
    pub(crate) fn command(&mut self, now: u64) {
        self.last_command = Some(now);
    }

    /// Whether an answer to a message is posted; `None` at the very edge.
    pub(crate) fn posts(&self, now: u64, typed_in_private: bool) -> Option<bool> {
        if typed_in_private {
            return Some(true);
        }
        match self.last_command.map(|at| now - at) {
            None => Some(false),
            Some(RIGHT) => None,
            Some(passed) => Some(passed < RIGHT),
        }
    }
}
