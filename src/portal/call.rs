//! One call of a method, and the patience of whoever waits for it.

mod params;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use secrecy::SecretString;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::params::Params;
use super::{BotSecret, Cause, bot_key::Lease, wire::Method};

/// A method with its parameters, without any credential of the portal.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Its parameters as documented.
    pub(super) params: Params,
    /// The token of the bot that calls, where the method wants one.
    pub bot_token: Option<BotSecret>,
    /// The token that is to take its place.
    pub next_token: Option<SecretString>,
    /// Asked at the moment of sending.
    pub guard: Option<Guard>,
    /// Whether it must not travel with others.
    pub alone: bool,
    /// Whether whatever somebody waits for goes first.
    yields: bool,
}

/// Decides at the moment of sending whether a call is still to be sent.
#[derive(Clone)]
pub struct Guard(Arc<dyn Fn() -> bool + Send + Sync>);

impl Guard {
    /// Lets a call through while this is true.
    pub fn new(wanted: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(wanted))
    }

    /// Whether to send.
    #[must_use]
    pub fn lets_through(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Who goes first when a portal's rate does not suffice for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// What a person waits for.
    Answers,
    /// Everything else that a caller waits for.
    Calls,
    /// Fetching of events, and what has as much time.
    Polls,
}

/// Calls of one order leave one at a time, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Order {
    what: &'static str,
    bot: i64,
    object: String,
}

impl Call {
    /// A call without parameters.
    #[must_use]
    pub fn new(method: Method) -> Self {
        Self {
            method,
            params: Params::default(),
            bot_token: None,
            next_token: None,
            guard: None,
            alone: false,
            yields: false,
        }
    }

    /// The same with one more parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.params.add(name, &value.into());
        self
    }

    /// The same, to be sent only if something still holds then.
    #[must_use]
    pub fn only_if(mut self, guard: Guard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// The same, which comes behind whatever somebody waits for.
    #[must_use]
    pub fn yielding(mut self) -> Self {
        self.yields = true;
        self
    }

    /// Who goes first.
    #[must_use]
    pub fn lane(&self) -> Lane {
        if self.yields {
            return Lane::Polls;
        }
        match self.method {
            Method::EventGet => Lane::Polls,
            Method::CommandAnswer
            | Method::MessageSend
            | Method::MessageUpdate
            | Method::MessageDelete
            | Method::InputActionNotify
            | Method::MessageCommand => Lane::Answers,
            _ => Lane::Calls,
        }
    }

    /// The bot it is for; 0 when that is not told.
    #[must_use]
    pub fn bot(&self) -> i64 {
        let id = self
            .params
            .get("botId")
            .or_else(|| self.params.get("BOT_ID"));
        id.and_then(|id| serde_json::from_slice(id).ok())
            .unwrap_or(0)
    }

    /// The key under which the portal posts a message once: not together with forwards or in the
    /// system's name (C20.1).
    #[must_use]
    pub fn message_key(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            template_id: String,
            forward_ids: Option<IgnoredAny>,
            system: Option<IgnoredAny>,
        }
        if self.method != Method::MessageSend {
            return None;
        }
        let fields: Fields = serde_json::from_slice(self.params.get("fields")?).ok()?;
        let bare = fields.forward_ids.is_none() && fields.system.is_none();
        bare.then_some(fields.template_id)
    }

    /// Bytes of its parameters, about.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.params.json().len()
    }

    /// What it must not overtake.
    #[must_use]
    pub fn order(&self) -> Option<Order> {
        let text = |name: &str| {
            self.params
                .get(name)
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .unwrap_or_default()
        };
        let (what, object) = match self.method {
            Method::CommandAnswer | Method::MessageSend => ("dialog", text("dialogId")),
            Method::MessageUpdate | Method::MessageDelete => ("message", text("messageId")),
            Method::BotRegister | Method::BotUpdate | Method::BotUnregister => {
                ("bot", String::new())
            }
            Method::CommandRegister | Method::CommandUpdate | Method::CommandUnregister => {
                ("commands", String::new())
            }
            _ => return None,
        };
        Some(Order {
            what,
            bot: self.bot(),
            object,
        })
    }

    /// The same without room for more: thousands may wait.
    pub(super) fn shrunk(mut self) -> Self {
        self.params.shrink();
        self
    }

    /// The same on behalf of a bot.
    #[must_use]
    pub fn as_bot(mut self, token: BotSecret) -> Self {
        self.bot_token = Some(token);
        self
    }

    /// The same with the token that is to take the place of its bot's, in its fields.
    #[must_use]
    pub fn with_next_token(mut self, token: SecretString) -> Self {
        self.next_token = Some(token);
        self.alone = true;
        self
    }

    /// The token of its bot to go out with now.
    pub(super) fn lease(&self) -> Result<Option<Lease>, Cause> {
        let Some(token) = &self.bot_token else {
            return Ok(None);
        };
        token.lease().map(Some).ok_or(Cause::BotTokenChanging)
    }
}

const WAITING: u8 = 0;
const SENT: u8 = 1;
const GONE: u8 = 2;
const LEFT: u8 = 3;

/// How long somebody waits, and the answer to "was anything sent before they left?".
///
/// One request of a caller may need several calls; they share one patience. Once the first of them
/// was sent the rest follow, whoever left: half a registration helps nobody. Before that, leaving
/// means that nothing is ever sent.
#[derive(Debug, Clone)]
pub struct Patience {
    caller: Arc<str>,
    deadline: Option<Instant>,
    state: Arc<AtomicU8>,
    left: CancellationToken,
}

impl Patience {
    /// Of a caller who waits until then.
    #[must_use]
    pub fn until(caller: Arc<str>, deadline: Instant) -> Self {
        Self::new(caller, Some(deadline))
    }

    /// Of a task of ours, which has time.
    #[must_use]
    pub fn endless() -> Self {
        Self::new(Arc::from(""), None)
    }

    fn new(caller: Arc<str>, deadline: Option<Instant>) -> Self {
        Self {
            caller,
            deadline,
            state: Arc::new(AtomicU8::new(WAITING)),
            left: CancellationToken::new(),
        }
    }

    /// Who waits, for fairness among callers; empty for ourselves.
    #[must_use]
    pub fn caller(&self) -> &Arc<str> {
        &self.caller
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
            Err(state) => state == SENT || state == LEFT,
        }
    }

    /// Whether something was sent, or is about to be.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire), SENT | LEFT)
    }

    /// Whether whoever waited left before anything was sent.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.state.load(Ordering::Acquire) == GONE
    }

    /// Completes when whoever waited left before anything was sent.
    pub async fn left(&self) {
        self.left.cancelled().await;
    }

    /// Whoever waited leaves. True if nothing was sent, and then nothing will be.
    #[must_use]
    pub fn leave(&self) -> bool {
        let left = self.change(|state| match state {
            WAITING => Some(GONE),
            SENT => Some(LEFT),
            _ => None,
        });
        if left == Ok(WAITING) {
            self.left.cancel();
        }
        matches!(left, Ok(WAITING) | Err(GONE))
    }

    /// What might have been sent was not after all: leaving stops everything again. False if whoever
    /// waited left meanwhile, and then nothing will be sent.
    #[must_use]
    pub fn nothing_was_sent(&self) -> bool {
        let before = self.change(|state| match state {
            SENT => Some(WAITING),
            LEFT => Some(GONE),
            _ => None,
        });
        if before == Ok(LEFT) {
            self.left.cancel();
        }
        matches!(before, Ok(SENT) | Err(WAITING))
    }

    /// Tells the state before; `Err` if it stays.
    fn change(&self, next: impl FnMut(u8) -> Option<u8>) -> Result<u8, u8> {
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_that_yields_comes_behind_what_anybody_waits_for() {
        for method in Method::ALL {
            let call = Call::new(*method);
            assert!(call.lane() <= call.yielding().lane(), "{method}");
        }
        let call = Call::new(Method::MessageSend).yielding();
        assert_eq!(call.lane(), Lane::Polls);
    }

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

    #[test]
    fn who_leaves_a_call_that_was_not_sent_after_all_stops_it() {
        let patience = Patience::endless();
        assert!(patience.begin_sending());
        assert!(patience.nothing_was_sent());
        assert!(patience.leave());

        let patience = Patience::endless();
        assert!(patience.begin_sending());
        assert!(!patience.leave());
        assert!(!patience.nothing_was_sent());
        assert!(!patience.begin_sending());
        assert!(patience.has_left());
    }
}
