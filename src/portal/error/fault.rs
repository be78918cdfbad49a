//! What a failed call says of itself to the edge.

use std::time::Duration;

use super::{Cause, Credential, Error};
use crate::{
    fault::{Executed, Fault, Kind, Origin, Reason},
    ids::PortalId,
};

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self.cause() {
            Cause::Throttled | Cause::OperatingLimit | Cause::BotLimit | Cause::WaitTooLong => {
                Kind::Exhausted
            }
            Cause::QueueFull => Kind::Exhausted,
            Cause::CallerLeft => Kind::Late,
            Cause::Withdrawn => Kind::Unready,
            Cause::Overloaded
            | Cause::Restored
            | Cause::Credential(_)
            | Cause::NotInstalled
            | Cause::ApplicationRefused
            | Cause::Scope
            | Cause::Plan
            | Cause::Gone
            | Cause::Uninstalled
            | Cause::PaymentRequired
            | Cause::ConfirmWaiting
            | Cause::Misconfigured
            | Cause::BotToken
            | Cause::BotTokenUnusable
            | Cause::RotationRefused
            | Cause::Refused => Kind::Unready,
            Cause::ConfirmDenied | Cause::AccessDenied => Kind::Denied,
            Cause::MethodMissing => Kind::Unsupported,
            Cause::AuthorizationDown
            | Cause::AuthorizationServer
            | Cause::TokenOver
            | Cause::BotTokenChanging
            | Cause::Blocked
            | Cause::Moved { .. }
            | Cause::Redirected
            | Cause::Unreachable(_) => Kind::Unavailable,
            Cause::NotInBatch => Kind::Internal,
            Cause::BotMissing
            | Cause::CommandMissing
            | Cause::MessageMissing
            | Cause::ChatMissing => Kind::Missing,
            Cause::BotCodeTaken | Cause::CommandExists => Kind::Exists,
            Cause::BadArguments => Kind::Invalid,
            Cause::Ambiguous | Cause::NoAnswer(_) | Cause::Unreadable(_) => {
                if self.left_nothing() {
                    Kind::Unavailable
                } else {
                    Kind::Ambiguous
                }
            }
        }
    }

    fn reason(&self) -> Reason {
        match self.cause() {
            Cause::Throttled => Reason::PortalThrottled,
            Cause::CallerLeft => Reason::DeadlineExceeded,
            Cause::QueueFull => Reason::QueueFull,
            Cause::Withdrawn => Reason::AnswerWindowClosed,
            Cause::WaitTooLong => Reason::DeadlineTooShort,
            Cause::OperatingLimit => Reason::PortalOperatingLimit,
            Cause::Overloaded => Reason::PortalParked,
            Cause::Restored => Reason::Restored,
            Cause::Credential(Credential::WebhookEnded) => Reason::WebhookExpired,
            Cause::Credential(_) => Reason::ReauthorizationRequired,
            Cause::Scope => Reason::InsufficientScope,
            Cause::Plan => Reason::PortalPlanWithoutRest,
            Cause::Gone => Reason::PortalGone,
            Cause::Uninstalled | Cause::NotInstalled => Reason::ApplicationNotInstalled,
            Cause::ApplicationRefused => Reason::ApplicationRefused,
            Cause::AuthorizationServer | Cause::TokenOver => Reason::AuthorizationServerUnavailable,
            Cause::PaymentRequired => Reason::PaymentRequired,
            Cause::ConfirmWaiting | Cause::ConfirmDenied => Reason::MethodConfirmationRequired,
            Cause::MethodMissing => Reason::MethodNotSupported,
            Cause::AuthorizationDown
            | Cause::Blocked
            | Cause::Moved { .. }
            | Cause::Redirected
            | Cause::Unreachable(_) => Reason::PortalUnreachable,
            Cause::BotMissing => Reason::BotNotFound,
            Cause::BotToken | Cause::BotTokenUnusable => Reason::BotTokenRejected,
            Cause::BotTokenChanging => Reason::BotTokenChanging,
            Cause::RotationRefused => Reason::BotTokenRotationFailed,
            Cause::BotCodeTaken => Reason::BotCodeTaken,
            Cause::BotLimit => Reason::BotLimitExceeded,
            Cause::CommandMissing => Reason::CommandNotFound,
            Cause::CommandExists => Reason::CommandExists,
            Cause::MessageMissing => Reason::MessageNotFound,
            Cause::ChatMissing => Reason::ChatNotFound,
            Cause::AccessDenied => Reason::AccessDenied,
            Cause::Misconfigured | Cause::BadArguments | Cause::Refused => Reason::PortalRefused,
            Cause::NotInBatch => Reason::InternalError,
            Cause::Unreadable(_) => Reason::UnreadableAnswer,
            Cause::NoAnswer(_) if self.left_nothing() => Reason::PortalUnreachable,
            Cause::Ambiguous if self.left_nothing() => Reason::PortalRefused,
            Cause::Ambiguous | Cause::NoAnswer(_) => Reason::OutcomeUnknown,
        }
    }

    fn origin(&self) -> Origin {
        match self.cause() {
            Cause::BadArguments
            | Cause::CallerLeft
            | Cause::BotMissing
            | Cause::BotCodeTaken
            | Cause::CommandMissing
            | Cause::CommandExists
            | Cause::MessageMissing
            | Cause::ChatMissing => Origin::Caller,
            Cause::QueueFull
            | Cause::Restored
            | Cause::ApplicationRefused
            | Cause::TokenOver
            | Cause::BotTokenChanging
            | Cause::Misconfigured
            | Cause::NotInBatch
            | Cause::BotTokenUnusable => Origin::Gateway,
            _ => Origin::Portal,
        }
    }

    /// A read leaves nothing behind, so the operation did not "take place" in a way that a repeat
    /// could duplicate, whatever became of the answer.
    fn executed(&self) -> Executed {
        if self.cause().is_ambiguous() && !self.left_nothing() {
            Executed::Unknown
        } else {
            Executed::No
        }
    }

    fn portal_code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    fn portal(&self) -> Option<&str> {
        self.0.portal.as_ref().map(PortalId::as_str)
    }

    fn method(&self) -> Option<&str> {
        Some(self.0.method.as_str())
    }

    fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after.or_else(|| self.cause().usual_wait())
    }
}
