//! Things that go wrong on the way, on purpose.
//!
//! A [`Fault`] waits in the portal until a request meets it, and is then used up. Each says
//! whether the call is executed first ([`When::After`]) or not at all ([`When::Before`]), because
//! that is the question a client cannot answer from the outside.

use std::time::Duration;

use serde_json::Value;

use crate::place::Place;

/// Whether the call takes effect before the fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The fault replaces the call: nothing was executed.
    Before,
    /// The call is executed, then the fault spoils the answer.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// A JSON error with this status.
    Error {
        /// HTTP status.
        status: u16,
        /// The member `error`: a string or a number.
        code: Value,
        /// The member `error_description`.
        description: String,
    },
    /// Any answer at all.
    Raw {
        /// HTTP status.
        status: u16,
        /// Header names and values.
        headers: Vec<(String, String)>,
        /// The body as it is.
        body: Vec<u8>,
    },
    /// The connection closes in the middle of the body.
    CutBody,
    /// The connection is reset and no answer comes.
    Reset,
    /// No answer ever comes; the connection stays open.
    Hang,
    /// The answer arrives in pieces of `bytes`, one every `pause`.
    Drip {
        /// Size of a piece; at least 1.
        bytes: usize,
        /// Time between two pieces.
        pause: Duration,
    },
    /// The answer comes later by this much.
    Latency(Duration),
    /// A correct answer is followed by this many spaces.
    Enormous {
        /// Extra length of the body, in bytes.
        bytes: u64,
    },
}

/// A fault to hand to [`Faults`].
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) when: When,
    /// How often it happens; `None` = until cleared.
    pub(crate) times: Option<u32>,
    /// Whether it happens to commands inside a batch only.
    pub(crate) in_batch: bool,
}

impl Fault {
    /// A fault of this kind that happens once, before the call takes effect.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            when: When::Before,
            times: Some(1),
            in_batch: false,
        }
    }

    /// An error body as Bitrix24 writes it. Inside a batch it fails that command alone.
    #[must_use]
    pub fn error(status: u16, code: &str, description: &str) -> Self {
        Self::new(FaultKind::Error {
            status,
            code: code.into(),
            description: description.into(),
        })
    }

    /// An HTML page, as a proxy or a portal under maintenance sends it.
    #[must_use]
    pub fn html(status: u16) -> Self {
        let body = format!("<!DOCTYPE html><html><body><h1>{status}</h1></body></html>");
        Self::raw(
            status,
            &[("content-type", "text/html; charset=UTF-8")],
            body,
        )
    }

    /// Any answer at all.
    #[must_use]
    pub fn raw(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Self::new(FaultKind::Raw {
            status,
            headers,
            body: body.into(),
        })
    }

    /// The portal has moved: 302 to this address (C9).
    #[must_use]
    pub fn redirect(location: &str) -> Self {
        Self::raw(
            302,
            &[("location", location), ("content-type", "text/html")],
            "",
        )
    }

    /// The connection closes in the middle of the body.
    #[must_use]
    pub fn cut_body() -> Self {
        Self::new(FaultKind::CutBody).after_effect()
    }

    /// The connection is reset and no answer comes.
    #[must_use]
    pub fn reset() -> Self {
        Self::new(FaultKind::Reset)
    }

    /// No answer ever comes.
    #[must_use]
    pub fn hang() -> Self {
        Self::new(FaultKind::Hang)
    }

    /// The answer arrives in pieces of `bytes`, one every `pause`.
    #[must_use]
    pub fn drip(bytes: usize, pause: Duration) -> Self {
        Self::new(FaultKind::Drip { bytes, pause }).after_effect()
    }

    /// The answer comes later by this much. The effect comes late too, unless
    /// [`after_effect`](Self::after_effect) is added.
    #[must_use]
    pub fn latency(by: Duration) -> Self {
        Self::new(FaultKind::Latency(by))
    }

    /// A correct answer is followed by this many spaces.
    #[must_use]
    pub fn enormous(bytes: u64) -> Self {
        Self::new(FaultKind::Enormous { bytes }).after_effect()
    }

    /// The call takes effect, then the fault shows.
    #[must_use]
    pub fn after_effect(mut self) -> Self {
        self.when = When::After;
        self
    }

    /// The fault shows and the call never takes effect.
    #[must_use]
    pub fn before_effect(mut self) -> Self {
        self.when = When::Before;
        self
    }

    /// A [`Fault::error`] that happens to commands inside a batch only, never to a request of its own.
    #[must_use]
    pub fn in_batch(mut self) -> Self {
        self.in_batch = true;
        self
    }

    /// Happens this many times instead of once.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Happens until [`Faults::clear`].
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }
}

/// The faults waiting in a portal or at the authorization server. They happen in the order they were added.
#[derive(Clone, Debug)]
pub struct Faults {
    place: Place,
}

impl Faults {
    pub(crate) fn of(place: Place) -> Self {
        Self { place }
    }

    /// The next request of any method meets `fault`.
    pub fn next(&self, fault: Fault) {
        self.place.with_faults(|queue| queue.add(None, fault));
    }

    /// The next call of `method` meets `fault`. A [`Fault::error`] also meets the method inside a
    /// batch and then fails that entry alone; faults of the wire meet whole requests, so name
    /// `batch` for those.
    pub fn on(&self, method: &str, fault: Fault) {
        let method = Some(method.to_owned());
        self.place.with_faults(|queue| queue.add(method, fault));
    }

    /// How many faults still wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.place.with_faults(|queue| queue.waiting.len())
    }

    /// Forgets all waiting faults.
    pub fn clear(&self) {
        self.place.with_faults(|queue| queue.waiting.clear());
    }
}

/// The queue behind [`Faults`].
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Vec<(Option<String>, Fault)>,
}

impl Queue {
    fn add(&mut self, method: Option<String>, fault: Fault) {
        if fault.times != Some(0) {
            self.waiting.push((method, fault));
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The fault a request of this method meets, if any.
    pub(crate) fn meet_request(&mut self, method: &str) -> Option<Fault> {
        self.meet(|name, fault| {
            !fault.in_batch && name.is_none_or(|name| name.eq_ignore_ascii_case(method))
        })
    }

    /// The fault a command inside a batch meets, if any.
    pub(crate) fn meet_entry(&mut self, method: &str) -> Option<Fault> {
        self.meet(|name, fault| {
            name.is_some_and(|name| name.eq_ignore_ascii_case(method))
                && matches!(fault.kind, FaultKind::Error { .. })
        })
    }

    fn meet(&mut self, mut matches: impl FnMut(Option<&str>, &Fault) -> bool) -> Option<Fault> {
        if self.waiting.is_empty() {
            return None;
        }
        let at = self
            .waiting
            .iter()
            .position(|(name, fault)| matches(name.as_deref(), fault))?;
        let (_, fault) = self.waiting.get_mut(at)?;
        let met = fault.clone();
        if let Some(times) = &mut fault.times {
            *times -= 1;
            if *times == 0 {
                self.waiting.remove(at);
            }
        }
        Some(met)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_used_up_and_the_next_one_follows() {
        let mut queue = Queue::default();
        queue.add(None, Fault::hang().times(2));
        queue.add(Some("profile".into()), Fault::reset());
        assert_eq!(
            queue.meet_request("scope").map(|f| f.kind),
            Some(FaultKind::Hang)
        );
        assert_eq!(
            queue.meet_request("profile").map(|f| f.kind),
            Some(FaultKind::Hang)
        );
        assert_eq!(queue.meet_request("scope"), None);
        assert_eq!(
            queue.meet_request("profile").map(|f| f.kind),
            Some(FaultKind::Reset)
        );
        assert!(queue.waiting.is_empty());
    }

    #[test]
    fn a_fault_of_commands_inside_a_batch_does_not_meet_requests() {
        let mut queue = Queue::default();
        let fault = Fault::error(405, "X", "").in_batch();
        queue.add(Some("profile".into()), fault);
        assert_eq!(queue.meet_request("profile"), None);
        assert!(queue.meet_entry("profile").is_some());
    }

    #[test]
    fn faults_of_the_wire_do_not_meet_commands_inside_a_batch() {
        let mut queue = Queue::default();
        queue.add(Some("profile".into()), Fault::reset());
        queue.add(Some("profile".into()), Fault::error(400, "X", ""));
        assert!(matches!(
            queue.meet_entry("profile").map(|f| f.kind),
            Some(FaultKind::Error { .. })
        ));
        assert_eq!(queue.meet_entry("profile"), None);
    }
}
