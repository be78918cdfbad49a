//! What went wrong with a call, and above all: did it run?
//!
//! The code decides, then the status, never the text (C4). Every [`Cause`] is something a different
//! reaction exists for; the table of codes is in [`classify`].

mod classify;
mod fault;

use std::{error, fmt, time::Duration};

use crate::{
    ids::PortalId,
    portal::{
        transport,
        wire::{Method, Unreadable, method::Effect},
    },
};

pub use classify::{classify, judge};

/// A call that did not succeed.
#[derive(Debug, Clone)]
pub struct Error(Box<Detail>);

/// The parts of an [`Error`], boxed to keep results small.
#[derive(Debug, Clone)]
struct Detail {
    portal: Option<PortalId>,
    method: Method,
    status: Option<u16>,
    code: Option<Box<str>>,
    retry_after: Option<Duration>,
    /// It was not sent because an earlier call found this cause.
    held_back: bool,
    cause: Cause,
}

/// What is wrong with our credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// The access token is over: refresh and repeat once.
    Expired,
    /// The access token is none: refresh once, then give up.
    Invalid,
    /// No such token or webhook code.
    NotFound,
    /// The user has not the rights, or the webhook code is wrong.
    Rejected,
    /// The user is dismissed or cannot be authorized.
    UserGone,
    /// An administrator keeps the application from this user.
    UserRestricted,
    /// The refresh token is over, replaced or revoked.
    Spent,
    /// A refresh brought tokens of another account or user.
    Foreign,
    /// It refuses a webhook that has ended by the configuration.
    WebhookEnded,
}

/// What went wrong, as far as a reaction depends on it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Cause {
    /// Too many requests from this address.
    #[error("the portal asks us to slow down")]
    Throttled,
    /// This credential used up its execution time in this method.
    #[error("the portal bans this method for a while")]
    OperatingLimit,
    /// The portal is blocked by hand; only support lifts that.
    #[error("the portal is blocked for overload")]
    Overloaded,
    /// The portal refuses our credential.
    #[error("the portal refuses our credential: {0}")]
    Credential(Credential),
    /// The access token is over, and another one is on its way or here.
    #[error("the access token is over and is being replaced")]
    TokenOver,
    /// Our application was not installed yet, or was removed: there are no tokens.
    #[error("the application is not installed in this portal")]
    NotInstalled,
    /// The authorization server does not accept our application, or must not be told of it.
    #[error("the authorization server does not accept the gateway's application")]
    ApplicationRefused,
    /// The authorization server gives no tokens just now.
    #[error("the authorization server gives no tokens just now")]
    AuthorizationServer,
    /// The credential was not granted this part of the interface.
    #[error("our credential lacks the scope")]
    Scope,
    /// The portal's plan, or its expired licence, has no REST.
    #[error("the portal's plan has no REST interface")]
    Plan,
    /// The portal is closed or deleted.
    #[error("the portal is gone")]
    Gone,
    /// Our application is not installed there.
    #[error("our application is not installed")]
    Uninstalled,
    /// Our application is not paid there.
    #[error("our application is not paid")]
    PaymentRequired,
    /// An administrator has yet to allow this method.
    #[error("an administrator must allow this method")]
    ConfirmWaiting,
    /// An administrator refused this method.
    #[error("an administrator refused this method")]
    ConfirmDenied,
    /// The portal's revision has no such method.
    #[error("the portal does not have this method")]
    MethodMissing,
    /// We are set up wrongly: address, transport, application data.
    #[error("the gateway is set up wrongly for this portal")]
    Misconfigured,
    /// The portal could not reach its authorization server.
    #[error("the portal could not check our credential just now")]
    AuthorizationDown,
    /// Something in front of the portal turned us away with a page.
    #[error("something in front of the portal turned us away")]
    Blocked,
    /// The batch must be cut differently: a method that may not be in one, or too many entries.
    #[error("the portal does not take this call in a batch")]
    NotInBatch,
    /// No such bot.
    #[error("the bot does not exist")]
    BotMissing,
    /// The bot is there, but it belongs to another token or application than ours.
    #[error("the portal does not accept our token of this bot")]
    BotToken,
    /// Another token of this bot takes the place of ours just now.
    #[error("the bot's token is being replaced")]
    BotTokenChanging,
    /// The portal did not take another token for this bot.
    #[error("the portal does not replace the bot's token")]
    RotationRefused,
    /// The token itself is not one the portal takes, or none was sent.
    #[error("the portal does not take our token of this bot for one")]
    BotTokenUnusable,
    /// Somebody else owns this bot code.
    #[error("the bot code belongs to somebody else")]
    BotCodeTaken,
    /// No more bots for this application.
    #[error("there are too many bots")]
    BotLimit,
    /// No such command.
    #[error("the command does not exist")]
    CommandMissing,
    /// The bot has another command of this name.
    #[error("the command exists already")]
    CommandExists,
    /// No such message.
    #[error("the message does not exist")]
    MessageMissing,
    /// No such chat.
    #[error("the chat does not exist")]
    ChatMissing,
    /// The bot may not do this here.
    #[error("the portal denies this")]
    AccessDenied,
    /// An argument is wrong.
    #[error("the portal finds an argument wrong")]
    BadArguments,
    /// Refused for good for a reason we do not know better.
    #[error("the portal refused")]
    Refused,
    /// An error that leaves open whether the call took place.
    #[error("the portal failed, perhaps after acting")]
    Ambiguous,
    /// Whoever asked stopped waiting before anything was sent.
    #[error("the caller left before the call was sent")]
    CallerLeft,
    /// What the call was for is gone since; it was not sent.
    #[error("the call was withdrawn before it was sent")]
    Withdrawn,
    /// Too many calls wait for this portal already.
    #[error("too many calls wait for this portal")]
    QueueFull,
    /// The portal's limit would let the call through only after its deadline.
    #[error("the call would have to wait longer than its deadline allows")]
    WaitTooLong,
    /// Nothing leaves for any portal: the store was restored, and nobody said that it is to be used.
    #[error("the store was restored and is not activated")]
    Restored,
    /// The portal has another address now, where we may follow.
    #[error("the portal has moved to {origin}")]
    Moved {
        /// Scheme, host and port to repeat the same request at.
        origin: String,
    },
    /// Sent elsewhere, but not to a portal: a login page, another site.
    #[error("the portal sent us to a page that is not its REST interface")]
    Redirected,
    /// The request never left.
    #[error("the portal cannot be reached")]
    Unreachable(#[source] transport::Failure),
    /// The request left, the answer did not come.
    #[error("the portal did not answer")]
    NoAnswer(#[source] transport::Failure),
    /// An answer came that says nothing we understand.
    #[error("the answer cannot be understood")]
    Unreadable(#[source] Unreadable),
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "it has expired",
            Self::Invalid => "it is not valid",
            Self::NotFound => "it is not known",
            Self::Rejected => "it is wrong or lacks rights",
            Self::UserGone => "its user cannot be authorized",
            Self::UserRestricted => "its user may not use the application",
            Self::Spent => "its refresh token is no longer good",
            Self::WebhookEnded => "its `webhook_expires_at` is over",
            Self::Foreign => "its refresh brought tokens of another account or user",
        })
    }
}

impl Error {
    /// A failure of `method`.
    #[must_use]
    pub fn new(method: Method, cause: Cause) -> Self {
        Self(Box::new(Detail {
            portal: None,
            method,
            status: None,
            code: None,
            retry_after: None,
            held_back: false,
            cause,
        }))
    }

    /// An answer that does not hold what the method promises.
    #[must_use]
    pub fn unreadable(method: Method, what: Unreadable) -> Self {
        Self::new(method, Cause::Unreadable(what))
    }

    /// The same failure for one of the calls that travelled in a batch: it is what *that* method does
    /// that decides what an open outcome means.
    #[must_use]
    pub fn of(&self, method: Method) -> Self {
        let mut error = self.clone();
        error.0.method = method;
        error
    }

    /// The failure of a call that is not sent, because another one failed like this; it may be tried
    /// again after a wait.
    #[must_use]
    pub fn held_back(&self, method: Method, wait: Duration) -> Self {
        let mut error = self.of(method).wait(wait);
        error.0.held_back = true;
        error.0.status = None;
        error
    }

    /// The same failure for another cause.
    pub(super) fn because(mut self, cause: Cause) -> Self {
        self.0.cause = cause;
        self
    }

    /// The same failure, with the code that was told.
    pub(super) fn coded(mut self, code: Option<String>) -> Self {
        self.0.code = code.map(String::into_boxed_str);
        self
    }

    /// Whether the call was not sent because an earlier one failed.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        self.0.held_back
    }

    /// The same, knowing the portal.
    #[must_use]
    pub fn at(mut self, portal: &PortalId) -> Self {
        self.0.portal = Some(portal.clone());
        self
    }

    /// The same, knowing how long to wait.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// The method that was called.
    #[must_use]
    pub fn called(&self) -> Method {
        self.0.method
    }

    /// The HTTP status of the answer, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Whether the call left nothing behind, run or not.
    fn left_nothing(&self) -> bool {
        self.0.held_back || self.0.method.effect() == Effect::Reads
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` failed", self.0.method)?;
        match &self.0.portal {
            Some(portal) => write!(f, " in portal `{portal}`"),
            None => Ok(()),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.0.cause)
    }
}

impl Cause {
    /// Whether the call may have run all the same.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(
            self,
            Self::Ambiguous | Self::NoAnswer(_) | Self::Unreadable(_)
        )
    }

    /// Whether the method itself answered so: the portal had begun to work for it.
    pub(super) fn came_from_the_method(&self) -> bool {
        matches!(
            self,
            Self::BotMissing
                | Self::BotToken
                | Self::BotTokenUnusable
                | Self::RotationRefused
                | Self::BotCodeTaken
                | Self::BotLimit
                | Self::CommandMissing
                | Self::CommandExists
                | Self::MessageMissing
                | Self::ChatMissing
                | Self::AccessDenied
                | Self::BadArguments
                | Self::Refused
                | Self::Ambiguous
                | Self::Unreadable(_)
        )
    }

    /// A wait that fits when nobody knows better.
    fn usual_wait(&self) -> Option<Duration> {
        match self {
            Self::Throttled
            | Self::AuthorizationDown
            | Self::AuthorizationServer
            | Self::BotTokenChanging
            | Self::Unreachable(_) => Some(Duration::from_secs(1)),
            Self::Blocked => Some(Duration::from_secs(10)),
            Self::OperatingLimit => Some(Duration::from_secs(300)),
            _ => None,
        }
    }
}
