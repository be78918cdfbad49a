//! What the outcome of a call says of the portal.

use crate::portal::Cause;

/// What an outcome says of the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It serves us, whatever it thought of the call.
    Serves,
    /// It serves nobody who comes with our credential.
    Refuses,
    /// Nobody spoke who speaks for it.
    Silent,
    /// Nothing.
    Nothing,
}

impl Sign {
    pub(super) fn of(cause: &Cause) -> Self {
        match cause {
            Cause::Overloaded
            | Cause::Credential(_)
            | Cause::NotInstalled
            | Cause::ApplicationRefused
            | Cause::Plan
            | Cause::Gone
            | Cause::Uninstalled
            | Cause::PaymentRequired => Self::Refuses,
            Cause::Unreachable(_)
            | Cause::NoAnswer(_)
            | Cause::Unreadable(_)
            | Cause::Blocked
            | Cause::AuthorizationDown
            | Cause::AuthorizationServer
            | Cause::Redirected => Self::Silent,
            Cause::Ambiguous
            | Cause::Moved { .. }
            | Cause::TokenOver
            | Cause::BotTokenChanging
            | Cause::NotInBatch
            | Cause::CallerLeft
            | Cause::Restored
            | Cause::Withdrawn
            | Cause::QueueFull
            | Cause::WaitTooLong => Self::Nothing,
            _ => Self::Serves,
        }
    }
}
