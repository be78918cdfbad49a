//! Why a bot could not do what was asked.

use std::time::Duration;

use super::Name;
use crate::{
    fault::{Executed, Fault, Kind, Origin, Reason, Violation},
    ids::{BotCode, DialogId, PortalId},
    portal, store,
};

/// Why a bot could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No portal of this name is configured.
    #[error("there is no portal `{0}`")]
    UnknownPortal(PortalId),
    /// No bot of this code was registered here.
    #[error("there is no bot `{}` in portal `{}`: register it first", .0.1, .0.0)]
    UnknownBot(Name),
    /// The event happened to another bot than the one named.
    #[error("there is no such event of this bot")]
    UnknownEvent,
    /// Another caller registered the bot.
    #[error("bot `{0}` belongs to another caller")]
    NotYours(BotCode),
    /// The event is of a kind that cannot be answered.
    #[error("event is not a slash command")]
    NotACommand,
    /// The portal left out the ids that an answer needs.
    #[error(
        "the portal did not tell which message the command belongs to, so it cannot be answered"
    )]
    Unanswerable,
    /// Bitrix24 would take the answer and post nothing.
    #[error(
        "10 minutes passed since the last command of this bot in dialog `{0}`: Bitrix24 would not post the answer"
    )]
    WindowClosed(DialogId),
    /// An earlier answer may have been posted.
    #[error("an earlier answer to this event may have been posted")]
    AnswerUnknown,
    /// Success was answered, the name stayed.
    #[error(
        "the portal kept the name `{kept}`; everything else of the call was applied. Unregister the command and register it under its new name"
    )]
    RenameNotApplied {
        /// The name the command has.
        kept: String,
    },
    /// Bitrix24 would reset properties whose values nobody knows.
    #[error("Bitrix24 would reset properties that the call leaves out: give {} as well", fields(.0))]
    IncompleteProperties(Vec<Violation>),
    /// The bot has no such command.
    #[error("bot `{bot}` has no command `{command}`")]
    UnknownCommand {
        /// The bot.
        bot: BotCode,
        /// The command as it was named.
        command: String,
    },
    /// The code is taken by a bot whose token we do not have.
    #[error("bot code `{0}` is taken in this portal by a bot with another token")]
    CodeTaken(BotCode),
    /// The portal cannot replace the token of a bot.
    #[error("the portal cannot replace the token of a bot: {0}")]
    RotationUnsupported(&'static str),
    /// The token cannot be replaced just now.
    #[error(
        "the token of bot `{0}` cannot be replaced now: calls of the bot are under way, or another token may still come into force"
    )]
    TokenInUse(BotCode),
    /// Portals cannot reach us.
    #[error(
        "the portal cannot post events to this gateway: its operator has to set `http.listen` and `http.public_url`"
    )]
    NoPublicUrl,
    /// The portal never told by what its events are known to be genuine.
    #[error(
        "portal `{0}` has not told the token that proves its events: install or update the application there again"
    )]
    NothingProvesEvents(PortalId),
    /// Events still wait in the portal, which a change of the mode would drop.
    #[error(
        "the events of bot `{0}` that wait in the portal could not all be fetched in time: nothing was changed"
    )]
    NotDrained(BotCode),
    /// The portal did what was asked; what had to follow failed.
    #[error("the portal did what was asked, but it could not be recorded or checked: {0}")]
    Afterwards(Box<Error>),
    /// The portal call failed.
    #[error(transparent)]
    Portal(#[from] portal::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

fn fields(violations: &[Violation]) -> String {
    let names: Vec<_> = violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    names.join(", ")
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownPortal(_)
            | Self::UnknownBot(_)
            | Self::UnknownEvent
            | Self::UnknownCommand { .. } => Kind::Missing,
            Self::NotYours(_) | Self::CodeTaken(_) => Kind::Exists,
            Self::NotACommand => Kind::Invalid,
            Self::Unanswerable
            | Self::WindowClosed(_)
            | Self::AnswerUnknown
            | Self::RenameNotApplied { .. }
            | Self::RotationUnsupported(_)
            | Self::NoPublicUrl
            | Self::NothingProvesEvents(_)
            | Self::IncompleteProperties(_) => Kind::Unready,
            Self::TokenInUse(_) | Self::NotDrained(_) => Kind::Unavailable,
            Self::Afterwards(_) => Kind::Internal,
            Self::Portal(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::UnknownPortal(_) => Reason::UnknownPortal,
            Self::UnknownBot(_) => Reason::UnknownBot,
            Self::UnknownEvent => Reason::UnknownEvent,
            Self::NotYours(_) => Reason::BotOwnedByAnotherCaller,
            Self::NotACommand => Reason::InvalidRequest,
            Self::Unanswerable => Reason::PortalRefused,
            Self::WindowClosed(_) => Reason::AnswerWindowClosed,
            Self::AnswerUnknown => Reason::AnswerOutcomeUnknown,
            Self::RenameNotApplied { .. } => Reason::RenameNotApplied,
            Self::IncompleteProperties(_) => Reason::IncompleteProperties,
            Self::UnknownCommand { .. } => Reason::CommandNotFound,
            Self::CodeTaken(_) => Reason::BotCodeTaken,
            Self::RotationUnsupported(_) => Reason::BotTokenRotationNotSupported,
            Self::TokenInUse(_) => Reason::BotTokenChanging,
            Self::NoPublicUrl => Reason::NoPublicUrl,
            Self::NothingProvesEvents(_) => Reason::ApplicationTokenUnknown,
            Self::NotDrained(_) => Reason::EventsNotDrained,
            Self::Afterwards(error) => error.reason(),
            Self::Portal(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Unanswerable
            | Self::RenameNotApplied { .. }
            | Self::RotationUnsupported(_)
            | Self::CodeTaken(_) => Origin::Portal,
            Self::AnswerUnknown
            | Self::TokenInUse(_)
            | Self::NoPublicUrl
            | Self::NothingProvesEvents(_)
            | Self::NotDrained(_) => Origin::Gateway,
            Self::Afterwards(error) => error.origin(),
            Self::Portal(error) => error.origin(),
            Self::Store(error) => error.origin(),
            _ => Origin::Caller,
        }
    }

    fn executed(&self) -> Executed {
        match self {
            Self::AnswerUnknown => Executed::Unknown,
            Self::Afterwards(_) | Self::RenameNotApplied { .. } => Executed::Yes,
            Self::Portal(error) => error.executed(),
            Self::Store(error) => error.executed(),
            _ => Executed::No,
        }
    }

    fn portal_code(&self) -> Option<&str> {
        match self {
            Self::Portal(error) => error.portal_code(),
            _ => None,
        }
    }

    fn portal(&self) -> Option<&str> {
        match self {
            Self::UnknownPortal(portal) | Self::NothingProvesEvents(portal) => {
                Some(portal.as_str())
            }
            Self::UnknownBot((portal, _)) => Some(portal.as_str()),
            Self::Portal(error) => error.portal(),
            _ => None,
        }
    }

    fn method(&self) -> Option<&str> {
        match self {
            Self::Portal(error) => error.method(),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TokenInUse(_) | Self::NotDrained(_) => Some(Duration::from_secs(10)),
            Self::Portal(error) => error.retry_after(),
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::IncompleteProperties(violations) => violations,
            Self::Portal(error) => error.violations(),
            _ => &[],
        }
    }
}

impl Error {
    /// The same failure, of something that had to follow what the portal did already.
    pub(super) fn afterwards(self) -> Self {
        Self::Afterwards(Box::new(self))
    }
}
