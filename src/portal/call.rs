//! One call of a method, and the patience of whoever waits for it.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::wire::Method;

/// A method with its parameters, without any credential of the portal.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Its parameters as documented.
    pub params: Map<String, Value>,
    /// The token of the bot that calls, where the method wants one.
    pub bot_token: Option<SecretString>,
}

impl Call {
    /// A call without parameters.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self {
            method,
            params: Map::new(),
            bot_token: None,
        }
    }

    /// The same with one more parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    /// The same on behalf of a bot.
    #[must_use]
    pub fn as_bot(mut self, token: SecretString) -> Self {
        self.bot_token = Some(token);
        self
    }
}

const WAITING: u8 = 0;
const SENT: u8 = 1;
const GONE: u8 = 2;

/// How long somebody waits, and the answer to "was anything sent before they left?".
///
/// One request of a caller may need several calls; they share one patience. Once the first of them
/// was sent the rest follow, whoever left: half a registration helps nobody. Before that, leaving
/// means that nothing is ever sent.
#[derive(Debug, Clone)]
pub struct Patience {
    deadline: Option<Instant>,
    state: Arc<AtomicU8>,
    left: CancellationToken,
}

impl Patience {
    /// Of somebody who waits until then.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        Self::new(Some(deadline))
    }

    /// Of a task of ours, which has time.
    #[must_use]
    pub fn endless() -> Self {
        Self::new(None)
    }

    fn new(deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            state: Arc::new(AtomicU8::new(WAITING)),
            left: CancellationToken::new(),
        }
    }

    /// When it ends, if it does.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Asked right before a call is sent: true unless whoever waited left before anything was sent.
    #[must_use]
    pub fn begin_sending(&self) -> bool {
        match self
            .state
            .compare_exchange(WAITING, SENT, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => true,
            Err(state) => state == SENT,
        }
    }

    /// Completes when whoever waited left before anything was sent.
    pub async fn left(&self) {
        self.left.cancelled().await;
    }

    /// Whoever waited leaves. True if nothing was sent, and then nothing will be.
    #[must_use]
    pub fn leave(&self) -> bool {
        match self
            .state
            .compare_exchange(WAITING, GONE, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => {
                self.left.cancel();
                true
            }
            Err(state) => state == GONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_before_the_first_call_stops_all() {
        let patience = Patience::endless();
        assert!(patience.leave());
        assert!(!patience.begin_sending());
    }

    #[test]
    fn who_leaves_after_the_first_call_stops_nothing() {
        let patience = Patience::endless();
        assert!(patience.begin_sending());
        assert!(!patience.leave());
        assert!(patience.begin_sending());
    }
}
