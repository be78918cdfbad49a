//! What we rely on without a promise.
//!
//! Some of what we know of Bitrix24 was seen in one revision only (marked C in the contract). Each
//! such fact has a switch per portal: relied upon, not relied upon, or left to what the portal shows.
//!
//! Rule: what was not shown yet is relied upon only where being wrong does no harm.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use super::wire::Method;

/// Message keys remembered with what they were answered.
const KEYS: usize = 1_000;

/// Whether a fact is relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Always.
    On,
    /// Never.
    Off,
    /// As the portal shows.
    #[default]
    Auto,
}

impl Switch {
    /// As it is written in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Auto => "auto",
        }
    }
}

/// The switches of a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Assume {
    /// Calls may travel together without touching each other (C6). `Auto` relies on it until the
    /// portal refuses to take calls together.
    pub batched_calls: Switch,
    /// The same of the fetching of events for several bots. `Auto` relies on it until the portal refuses
    /// to take such a call together with others.
    pub batched_polls: Switch,
    /// Answers to commands are posted for ten minutes only (C18.5). `Auto` relies on it.
    pub answer_window: Switch,
    /// A second message with the same key is not posted (C20.1). `Auto` relies on it once the portal
    /// answered a key twice with the same message.
    pub message_keys: Switch,
}

/// What a portal has shown of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// It holds.
    Holds,
    /// It does not hold.
    Fails,
}

/// A fact, as operators see it.
#[derive(Debug, Clone, Copy)]
pub struct Assumption {
    /// The name of its setting.
    pub name: &'static str,
    /// What the operator decided.
    pub switch: Switch,
    /// What the portal has shown since our start.
    pub shown: Shown,
    /// Whether it is relied upon now.
    pub relied_upon: bool,
}

/// What we rely on in one portal.
#[derive(Debug)]
pub(super) struct Assumptions {
    assume: Assume,
    batched_calls: Learned,
    batched_polls: Learned,
    message_keys: Learned,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Learned(AtomicU8);

/// The messages that keys were answered with, as many as are remembered.
#[derive(Debug, Default)]
struct Keys {
    messages: HashMap<String, i64>,
    order: VecDeque<String>,
}

impl Assumptions {
    pub(super) fn new(assume: Assume) -> Self {
        Self {
            assume,
            batched_calls: Learned::default(),
            batched_polls: Learned::default(),
            message_keys: Learned::default(),
            keys: Mutex::default(),
        }
    }

    /// Whether calls of a method may travel with others.
    pub(super) fn batched(&self, method: Method) -> bool {
        let (switch, learned) = match method {
            Method::EventGet => (self.assume.batched_polls, &self.batched_polls),
            _ => (self.assume.batched_calls, &self.batched_calls),
        };
        match switch {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => learned.get() != Shown::Fails,
        }
    }

    pub(super) fn answer_window(&self) -> bool {
        self.assume.answer_window != Switch::Off
    }

    pub(super) fn message_keys(&self) -> bool {
        match self.assume.message_keys {
            Switch::On => true,
            Switch::Off => false,
            Switch::Auto => self.message_keys.get() == Shown::Holds,
        }
    }

    /// A call of a method was taken together with others, or refused for that.
    pub(super) fn batch_was_taken(&self, method: Method, taken: bool) {
        match method {
            Method::EventGet => self.batched_polls.learn(taken),
            _ => self.batched_calls.learn(taken),
        }
    }

    /// A message with a key was answered. What was refuted once stays so.
    pub(super) fn key_was_answered(&self, key: &str, message: i64) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.messages.get(key) {
            Some(known) if *known != message => self.message_keys.learn(false),
            Some(_) if self.message_keys.get() == Shown::Nothing => self.message_keys.learn(true),
            Some(_) => {}
            None => keys.remember(key, message),
        }
    }

    /// All of them, for operators.
    pub(super) fn all(&self) -> [Assumption; 4] {
        [
            Assumption {
                name: "batched_calls",
                switch: self.assume.batched_calls,
                shown: self.batched_calls.get(),
                relied_upon: self.batched(Method::Batch),
            },
            Assumption {
                name: "batched_polls",
                switch: self.assume.batched_polls,
                shown: self.batched_polls.get(),
                relied_upon: self.batched(Method::EventGet),
            },
            Assumption {
                name: "answer_window",
                switch: self.assume.answer_window,
                shown: Shown::Nothing,
                relied_upon: self.answer_window(),
            },
            Assumption {
                name: "message_keys",
                switch: self.assume.message_keys,
                shown: self.message_keys.get(),
                relied_upon: self.message_keys(),
            },
        ]
    }
}

impl Learned {
    fn get(&self) -> Shown {
        match self.0.load(Ordering::Relaxed) {
            0 => Shown::Nothing,
            1 => Shown::Holds,
            _ => Shown::Fails,
        }
    }

    fn learn(&self, holds: bool) {
        self.0.store(if holds { 1 } else { 2 }, Ordering::Relaxed);
    }
}

impl Keys {
    fn remember(&mut self, key: &str, message: i64) {
        if self.order.len() == KEYS
            && let Some(oldest) = self.order.pop_front()
        {
            self.messages.remove(&oldest);
        }
        self.order.push_back(key.to_owned());
        self.messages.insert(key.to_owned(), message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto() -> Assumptions {
        Assumptions::new(Assume::default())
    }

    #[test]
    fn keys_are_relied_upon_once_one_was_answered_twice_alike() {
        let assumptions = auto();
        assumptions.key_was_answered("a", 1);
        assumptions.key_was_answered("b", 2);
        assert!(!assumptions.message_keys());
        assumptions.key_was_answered("a", 1);
        assert!(assumptions.message_keys());
        assumptions.key_was_answered("b", 3);
        assumptions.key_was_answered("a", 1);
        assert!(!assumptions.message_keys(), "refuted for good");
    }

    #[test]
    fn fetches_and_other_calls_are_judged_apart() {
        let assumptions = auto();
        assumptions.batch_was_taken(Method::EventGet, false);
        assert!(!assumptions.batched(Method::EventGet));
        assert!(assumptions.batched(Method::MessageSend));
    }

    #[test]
    fn memory_of_keys_is_bounded() {
        let assumptions = auto();
        for number in 0..=KEYS {
            assumptions.key_was_answered(&number.to_string(), 1);
        }
        assert_eq!(assumptions.keys.lock().unwrap().messages.len(), KEYS);
        assumptions.key_was_answered("0", 1);
        assert!(!assumptions.message_keys());
    }

    #[test]
    fn switches_outweigh_what_was_shown() {
        let assume = |switch| Assume {
            batched_calls: switch,
            batched_polls: switch,
            answer_window: switch,
            message_keys: switch,
        };
        for (switch, relied_upon) in [(Switch::On, true), (Switch::Off, false)] {
            let assumptions = Assumptions::new(assume(switch));
            assumptions.batch_was_taken(Method::MessageSend, !relied_upon);
            assumptions.batch_was_taken(Method::EventGet, !relied_upon);
            assumptions.message_keys.learn(!relied_upon);
            for assumption in assumptions.all() {
                assert_eq!(assumption.relied_upon, relied_upon, "{assumption:?}");
            }
        }
    }
}
