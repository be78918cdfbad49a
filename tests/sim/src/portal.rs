//! One simulated portal, as a test holds it.
//!
//! A [`Portal`] is a handle: clones are the same portal. What people do in it goes through
//! [`User`]; what a client does goes through HTTPS.

mod apps;
mod user;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

pub use user::User;

use crate::clock::Clock;
use crate::config::{UserConfig, WebhookConfig};
use crate::fault::Faults;
use crate::http::{self, PortalSite};
use crate::journal::Journal;
use crate::limits::Limits;
use crate::place::Place;
use crate::quirks::Quirks;
use crate::sim::Error;
use crate::state::State;
use crate::view::{BotView, Chat, CommandView, Message};

/// Why somebody cannot do in the portal what a test asked of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such user, or the id is a bot's.
    #[error("no user {0}")]
    NoUser(i64),
    /// There is no such bot.
    #[error("no bot {0}")]
    NoBot(i64),
    /// There is no such chat or dialog.
    #[error("no dialog `{0}`")]
    NoDialog(String),
    /// There is no such message, or it was deleted.
    #[error("no message {0}")]
    NoMessage(i64),
    /// The user is not in that chat.
    #[error("user {user_id} is not in chat {chat_id}")]
    NotInChat {
        /// The user.
        user_id: i64,
        /// The chat.
        chat_id: i64,
    },
    /// The message has no button of that text.
    #[error("message {message_id} has no button `{text}`")]
    NoButton {
        /// The message.
        message_id: i64,
        /// The text asked for.
        text: String,
    },
    /// The button cannot be pressed.
    #[error("button `{0}` is disabled")]
    ButtonDisabled(String),
    /// The message belongs to somebody else.
    #[error("message {0} was written by somebody else")]
    NotTheAuthor(i64),
    /// The portal knows no such application.
    #[error("no application `{0}`")]
    NoApplication(String),
    /// The application has no page to open.
    #[error("application `{0}` has no page")]
    NoPage(String),
    /// The application is known and not installed.
    #[error("application `{0}` is not installed")]
    NotInstalled(String),
}

/// What all handles of one portal share.
pub(crate) struct Inner {
    pub(crate) number: u32,
    pub(crate) clock: Clock,
    pub(crate) state: Mutex<State>,
    /// The host and port of today; older ones lead to it.
    pub(crate) here: Mutex<String>,
    /// Where requests to the newest listener are sent on to, once it is not the newest any more.
    pub(crate) newest: Mutex<Arc<OnceLock<String>>>,
    pub(crate) tls: TlsAcceptor,
    pub(crate) http_port: u16,
    pub(crate) stop: tokio_util::sync::CancellationToken,
}

impl fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Inner");
        shown.field("number", &self.number).finish_non_exhaustive()
    }
}

/// Whether a portal serves REST at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// It does.
    #[default]
    Open,
    /// It is closed or gone: `PORTAL_DELETED`.
    Closed,
    /// Its plan has no REST: `ACCESS_DENIED`, which means something else for methods.
    NoRest,
    /// It is blocked by hand: `OVERLOAD_LIMIT`.
    Overloaded,
    /// Everything leads to a page about licences on the same host.
    LicencePage,
    /// Everything leads to a login page on the same host.
    LoginPage,
    /// A page of HTML with status 503.
    Maintenance,
}

/// A handle to one portal.
#[derive(Clone, Debug)]
pub struct Portal {
    pub(crate) inner: Arc<Inner>,
}

impl Portal {
    /// The state, locked. A test that failed while holding it must not hide behind poison.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Its number in the simulation, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.inner.number
    }

    /// `https://127.0.0.1:PORT`, or another host once the portal was renamed to it.
    #[must_use]
    pub fn address(&self) -> String {
        let here = self.inner.here.lock();
        format!("https://{}", here.unwrap_or_else(PoisonError::into_inner))
    }

    /// The identity that stays when the address changes.
    #[must_use]
    pub fn member_id(&self) -> String {
        self.state().identity.member_id.clone()
    }

    /// `http://127.0.0.1:PORT`: the same portal without TLS, where webhooks are refused.
    #[must_use]
    pub fn plain_address(&self) -> String {
        format!("http://127.0.0.1:{}", self.inner.http_port)
    }

    /// The base address of the default incoming webhook, with its secret, ending in `/`.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        let code = self.state().default_code.clone();
        format!("{}/rest/1/{code}/", self.address())
    }

    /// Makes another incoming webhook; the answer is its base address.
    #[must_use]
    pub fn add_webhook(&self, config: WebhookConfig) -> String {
        let user_id = config.user_id;
        let code = self.state().add_webhook(config);
        format!("{}/rest/{user_id}/{code}/", self.address())
    }

    /// Somebody deletes the incoming webhook with this base address (or code).
    pub fn remove_webhook(&self, url: &str) {
        self.state().remove_webhook(url);
    }

    /// Adds a person; the answer is their id.
    #[must_use]
    pub fn add_user(&self, config: UserConfig) -> i64 {
        self.state().add_user(config)
    }

    /// Adds a group chat of these people and bots, owned by the first of them. Bots among them
    /// are told that they joined. Unknown ids are left out.
    #[must_use]
    pub fn add_group_chat(&self, title: &str, members: &[i64]) -> Chat {
        let now = self.inner.clock.now();
        Chat {
            id: self.state().add_group_chat(title, members, now),
        }
    }

    /// `by_user` brings a bot into a chat, which raises `ONIMBOTV2JOINCHAT`.
    ///
    /// # Errors
    /// When there is no such bot, chat or user, or the user is not in the chat.
    pub fn add_bot_to_chat(&self, bot_id: i64, chat_id: i64, by_user: i64) -> Result<(), Refusal> {
        let now = self.inner.clock.now();
        self.state().add_bot_to_chat(bot_id, chat_id, by_user, now)
    }

    /// Somebody shows a bot or a person the door of a chat.
    ///
    /// # Errors
    /// When there is no such chat.
    pub fn remove_from_chat(&self, user_id: i64, chat_id: i64) -> Result<(), Refusal> {
        self.state().remove_from_chat(user_id, chat_id)
    }

    /// A message of the system in a chat, as for a changed title.
    ///
    /// # Errors
    /// When there is no such chat.
    pub fn posts_system(&self, chat_id: i64, text: &str) -> Result<i64, Refusal> {
        let now = self.inner.clock.now();
        self.state().post_system(chat_id, text, now)
    }

    /// Somebody dismisses a person, or takes them back. False when there is no such user.
    pub fn set_active(&self, user_id: i64, active: bool) -> bool {
        self.state().set_active(user_id, active)
    }

    /// Acts as this person.
    #[must_use]
    pub fn user(&self, id: i64) -> User {
        User::of(self.clone(), id)
    }

    /// All messages of a chat, oldest first, `chatN`. For a private dialog name both people:
    /// `1:25`. Messages deleted completely are not there.
    #[must_use]
    pub fn messages(&self, dialog_id: &str) -> Vec<Message> {
        self.state().messages_of(dialog_id)
    }

    /// One message.
    #[must_use]
    pub fn message(&self, message_id: i64) -> Option<Message> {
        self.state().message_view(message_id)
    }

    /// All bots registered by clients, by id.
    #[must_use]
    pub fn bots(&self) -> Vec<BotView> {
        self.state().bot_views()
    }

    /// The bot of this code.
    #[must_use]
    pub fn bot_by_code(&self, code: &str) -> Option<BotView> {
        self.bots().into_iter().find(|bot| bot.code == code)
    }

    /// The commands of a bot, by id.
    #[must_use]
    pub fn commands(&self, bot_id: i64) -> Vec<CommandView> {
        self.state().command_views(bot_id)
    }

    /// Somebody deletes the bot in the portal. False when there is none.
    pub fn remove_bot(&self, bot_id: i64) -> bool {
        let now = self.inner.clock.now();
        self.state().remove_bot(bot_id, now)
    }

    /// Ids of the events in a bot's log, oldest first.
    #[must_use]
    pub fn pending_events(&self, bot_id: i64) -> Vec<u64> {
        let now = self.inner.clock.now();
        self.state().pending_events(bot_id, now)
    }

    /// Keeps back everything the portal sends, until [`release`](Self::release_deliveries).
    pub fn hold_deliveries(&self) {
        self.state().outbox.hold();
    }

    /// Sends what was kept back, the newest first when `reversed`, each this many times (0 = it is
    /// lost). Later deliveries leave at once again.
    pub fn release_deliveries(&self, reversed: bool, copies: usize) {
        self.state().outbox.release(reversed, copies);
    }

    /// Addresses that hear of bot events, each with the bot for which it was subscribed.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<(i64, String)> {
        self.state().subscriptions()
    }

    /// The record of requests and effects.
    #[must_use]
    pub fn journal(&self) -> Journal {
        Journal::of(Place::Portal(self.clone()))
    }

    /// The faults waiting for requests.
    #[must_use]
    pub fn faults(&self) -> Faults {
        Faults::of(Place::Portal(self.clone()))
    }

    /// Changes how the portal behaves where sources disagree.
    pub fn set_quirks(&self, change: impl FnOnce(&mut Quirks)) {
        change(&mut self.state().quirks);
    }

    /// How the portal behaves where sources disagree.
    #[must_use]
    pub fn quirks(&self) -> Quirks {
        self.state().quirks.clone()
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.state().limits.clone()
    }

    /// Replaces the limits. Counters keep their levels.
    pub fn set_limits(&self, limits: Limits) {
        self.state().limits = limits;
    }

    /// Every call, or every call of one method, takes this long from now on; its effect comes at
    /// the end of that time. Commands of a batch add up.
    pub fn set_latency(&self, method: Option<&str>, latency: Duration) {
        self.state().set_latency(method, latency);
    }

    /// Whether the portal serves REST at all.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.state().condition
    }

    /// Opens or closes the portal, in one of several ways.
    pub fn set_condition(&self, condition: Condition) {
        self.state().condition = condition;
    }

    /// The portal moves to a new address; requests to the old one are answered with 302 and
    /// where to go. Answers the new address.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn rename(&self) -> Result<String, Error> {
        self.rename_to("127.0.0.1").await
    }

    /// The same, to an address with this host, which leads nowhere by itself: a client has to know
    /// that it means 127.0.0.1. Certificates are for names of the form `NAME.portal.test`.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn rename_to(&self, host: &str) -> Result<String, Error> {
        let listener = crate::sim::listen(0).await?;
        let port = crate::sim::port_of(&listener)?;
        let site = PortalSite::new(self.inner.clone());
        let moved = site.moved_to.clone();
        let tls = Some(self.inner.tls.clone());
        tokio::spawn(http::serve(site, listener, tls, self.inner.stop.clone()));
        let here = format!("{host}:{port}");
        self.state().identity.domain.clone_from(&here);
        let mut newest = self
            .inner
            .newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Each listener moves once, since the newest is replaced under the same lock.
        let _first = std::mem::replace(&mut *newest, moved).set(here.clone());
        drop(newest);
        *self
            .inner
            .here
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = here;
        Ok(self.address())
    }

    /// Ends the listeners and all open connections. Later calls find nobody.
    pub fn stop(&self) {
        self.inner.stop.cancel();
    }
}
