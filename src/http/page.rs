//! What pages there are, and which one a failure has.

use axum::http::StatusCode;

use crate::portal::{ClaimError, InstallError};

/// What a page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// We are let in, and this page tells the portal so.
    Finish,
    /// There is nothing to do.
    Installed,
    /// Installed, but we have no tokens.
    NotConnected,
    /// A person let us in.
    Authorized,
    /// It is not true, or nobody can tell.
    NotVerified,
    /// It is meant for another application.
    OtherApplication,
    /// Of an authorization server that we do not speak to.
    OtherServer,
    /// The authorization server keeps silent.
    Unanswered,
    /// Another person let us in before.
    OtherUser,
    /// Nothing can be kept.
    CannotStore,
    /// The link works no more.
    LinkOver,
    /// That was done before.
    StateUsed,
    /// That took too long.
    StateLate,
    /// Begun in another browser, or nowhere.
    StateForeign,
    /// Another portal than the link is for.
    OtherPortal,
    /// No tokens for the code.
    CodeRefused,
}

impl Page {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Finish | Self::Installed | Self::NotConnected | Self::Authorized => {
                StatusCode::OK
            }
            Self::Unanswered | Self::CannotStore => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        }
    }
}

impl From<&ClaimError> for Page {
    fn from(error: &ClaimError) -> Self {
        match error {
            ClaimError::Unanswered => Self::Unanswered,
            ClaimError::NoApplication | ClaimError::OtherApplication => Self::OtherApplication,
            ClaimError::Malformed
            | ClaimError::ForbiddenHost
            | ClaimError::OtherPortal
            | ClaimError::Refused(_)
            | ClaimError::Unclear => Self::NotVerified,
        }
    }
}

impl From<&InstallError> for Page {
    fn from(error: &InstallError) -> Self {
        match error {
            InstallError::AnotherUser { .. } => Self::OtherUser,
            InstallError::ForbiddenServer => Self::OtherServer,
            InstallError::ForbiddenHost => Self::NotVerified,
            InstallError::NoApplication => Self::OtherApplication,
            InstallError::NoName | InstallError::NameTaken(_) | InstallError::Store(_) => {
                Self::CannotStore
            }
        }
    }
}
