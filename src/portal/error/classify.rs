//! From an answer to its cause: the table of the portal's codes (C4, C16, C17–C22).

use std::net::IpAddr;

use url::Url;

use super::{Cause, Credential, Error};
use crate::portal::{
    transport::{Answer, Failure, SecretUrl},
    wire::{
        Method, Refusal, Reply, Unreadable,
        envelope::{self, NoReply},
    },
};

/// Turns whatever came of a request into a reply or an error.
///
/// # Errors
/// Everything but a readable success.
pub fn judge(
    method: Method,
    asked: &SecretUrl,
    outcome: Result<Answer, Failure>,
) -> Result<Reply, Error> {
    let answer = outcome.map_err(|failure| {
        Error::new(
            method,
            match failure {
                Failure::Held => Cause::Restored,
                Failure::NotSent(_) => Cause::Unreachable(failure),
                Failure::Lost(_) => Cause::NoAnswer(failure),
                Failure::TooLarge { limit } => Cause::Unreadable(Unreadable::TooLarge { limit }),
            },
        )
    })?;
    if (300..400).contains(&answer.status) {
        let mut error = Error::new(method, redirect(asked, answer.location.as_deref()));
        error.0.status = Some(answer.status);
        return Err(error);
    }
    let content_type = answer.content_type.as_deref();
    envelope::decode(answer.status, content_type, &answer.body).map_err(|trouble| {
        let mut error = classify(method, answer.status, trouble);
        error.0.retry_after = answer.retry_after.or(error.0.retry_after);
        error
    })
}

/// Names the cause of a failure that came with an answer.
#[must_use]
pub fn classify(method: Method, status: u16, trouble: NoReply) -> Error {
    let (cause, code) = match trouble {
        NoReply::Refused(refusal) => (refused(method, status, &refusal), Some(refusal.code)),
        NoReply::Unreadable(unreadable) => (not_understood(status, unreadable), None),
    };
    let mut error = Error::new(method, cause);
    error.0.status = Some(status);
    error.0.code = code.map(String::into_boxed_str);
    error
}

fn refused(method: Method, status: u16, refusal: &Refusal) -> Cause {
    if refusal.is("ACCESS_DENIED") {
        return access_denied(method, status, refusal);
    }
    by_code(&refusal.code).unwrap_or_else(|| by_status(status))
}

/// The code is both "REST is not in your plan" and "this bot may not do that here". Methods refuse
/// with 400 in code and with 400 or 403 by the documentation, the system with 403 or 401; only where
/// that leaves it open does the text give the hint.
fn access_denied(method: Method, status: u16, refusal: &Refusal) -> Cause {
    let of_the_system = match status {
        401 => true,
        403 => !method.denies() || speaks_of_plans(&refusal.description),
        _ => false,
    };
    if of_the_system {
        Cause::Plan
    } else {
        Cause::AccessDenied
    }
}

fn speaks_of_plans(description: &str) -> bool {
    let description = description.to_lowercase();
    ["plan", "тариф", "tarif", "licen"]
        .iter()
        .any(|word| description.contains(word))
}

fn by_status(status: u16) -> Cause {
    match status {
        429 => Cause::Throttled,
        408 => Cause::Ambiguous,
        400..500 => Cause::Refused,
        _ => Cause::Ambiguous,
    }
}

fn not_understood(status: u16, unreadable: Unreadable) -> Cause {
    match (status, &unreadable) {
        (429, _) => Cause::Throttled,
        (403, Unreadable::Html) => Cause::Blocked,
        _ => Cause::Unreadable(unreadable),
    }
}

/// Where a redirect leads. Only another host's REST interface is the same portal's new address; the
/// same host sends us away when its licence is over.
fn redirect(asked: &SecretUrl, location: Option<&str>) -> Cause {
    let Some(target) = location.and_then(|location| asked.expose().join(location).ok()) else {
        return Cause::Redirected;
    };
    if target.host_str() == asked.expose().host_str() {
        return Cause::Plan;
    }
    if is_plausible(&target) {
        return Cause::Moved {
            origin: target.origin().ascii_serialization(),
        };
    }
    Cause::Redirected
}

fn is_plausible(target: &Url) -> bool {
    let host = target.host_str().unwrap_or_default();
    target.scheme() == "https"
        && target.path().starts_with("/rest/")
        && target.username().is_empty()
        && target.password().is_none()
        && host.contains('.')
        && host.parse::<IpAddr>().is_err()
}

fn by_code(code: &str) -> Option<Cause> {
    Some(match code.to_ascii_uppercase().as_str() {
        // Limits.
        "QUERY_LIMIT_EXCEEDED" => Cause::Throttled,
        "OPERATION_TIME_LIMIT" => Cause::OperatingLimit,
        "OVERLOAD_LIMIT" => Cause::Overloaded,

        // Our credential.
        "EXPIRED_TOKEN" => Cause::Credential(Credential::Expired),
        "INVALID_TOKEN" => Cause::Credential(Credential::Invalid),
        "NO_AUTH_FOUND" => Cause::Credential(Credential::NotFound),
        "INVALID_CREDENTIALS" => Cause::Credential(Credential::Rejected),
        "AUTHORIZATION_ERROR" => Cause::Credential(Credential::UserGone),
        "USER_ACCESS_ERROR" => Cause::Credential(Credential::UserRestricted),
        "INSUFFICIENT_SCOPE" | "SCOPE_ERROR" => Cause::Scope,
        "METHOD_CONFIRM_WAITING" => Cause::ConfirmWaiting,
        "METHOD_CONFIRM_DENIED" => Cause::ConfirmDenied,

        // The portal and our application in it.
        "APPLICATION_NOT_FOUND" | "ERROR_OAUTH" | "NOT_INSTALLED" => Cause::Uninstalled,
        "PAYMENT_REQUIRED" => Cause::PaymentRequired,
        "PORTAL_DELETED" => Cause::Gone,
        "CONNECTION_ERROR" => Cause::AuthorizationDown,
        "INVALID_REQUEST" | "INTERNAL_WRONG_TRANSPORT" | "WRONG_CLIENT" => Cause::Misconfigured,
        "ERROR_METHOD_NOT_FOUND" | "ERROR_MANIFEST_IS_NOT_AVAILABLE" => Cause::MethodMissing,
        "ERROR_BATCH_METHOD_NOT_ALLOWED" | "ERROR_BATCH_LENGTH_EXCEEDED" => Cause::NotInBatch,

        // Nobody can tell. The last ones are the methods' "something went wrong".
        "ERROR_CORE"
        | "INTERNAL_SERVER_ERROR"
        | "ERROR_UNEXPECTED_ANSWER"
        | "WRONG_ENCODING"
        | "REST_SERVER_NOT_FOUND"
        | "SENDING_FAILED"
        | "MESSAGE_DUPLICATED_BY_UUID"
        | "BOT_REGISTER_FAILED"
        | "BOT_UPDATE_FAILED"
        | "BOT_UNREGISTER_FAILED"
        | "COMMAND_REGISTER_FAILED"
        | "FILE_SEND_FAILED"
        | "SEND_FAILED"
        | "FILE_UPLOAD_FAILED"
        | "UPLOAD_FAILED" => Cause::Ambiguous,

        // Bots, commands, chats, messages.
        "BOT_NOT_FOUND" => Cause::BotMissing,
        "BOT_OWNERSHIP_ERROR" => Cause::BotToken,
        "BOT_TOKEN_NOT_SPECIFIED" | "CLIENT_ID_NOT_SPECIFIED" | "BOT_TOKEN_INVALID_LENGTH" => {
            Cause::BotTokenUnusable
        }
        "BOT_TOKEN_ROTATION_FAILED" => Cause::RotationRefused,
        "BOT_CODE_ALREADY_TAKEN" => Cause::BotCodeTaken,
        "BOT_LIMIT_EXCEEDED" => Cause::BotLimit,
        "BOT_INVALID_CALLBACK" | "BOT_WEBHOOK_URL_REQUIRED" => Cause::Misconfigured,
        "COMMAND_NOT_FOUND" => Cause::CommandMissing,
        "COMMAND_ALREADY_EXISTS" => Cause::CommandExists,
        "MESSAGE_NOT_FOUND" => Cause::MessageMissing,
        "CHAT_NOT_FOUND" => Cause::ChatMissing,
        "MESSAGE_ACCESS_DENIED"
        | "MESSAGE_ACCESS_DENIED_BY_TARIFF"
        | "MANAGE_ACCESS_DENIED"
        | "BOT_TYPE_NOT_ALLOWED"
        | "TEXT_FIELD_DISABLED"
        | "FILE_ACCESS_ERROR" => Cause::AccessDenied,

        // What a caller wrote.
        "100"
        | "ERROR_ARGUMENT"
        | "BOT_ID_REQUIRED"
        | "PARAMS_REQUIRED"
        | "BOT_CODE_REQUIRED"
        | "BOT_PROPERTIES_REQUIRED"
        | "BOT_INVALID_TYPE"
        | "BOT_INVALID_EVENT_MODE"
        | "BOT_AVATAR_INCORRECT_TYPE"
        | "BOT_AVATAR_INCORRECT_SIZE"
        | "COMMAND_NAME_INVALID"
        | "COMMAND_NAME_EMPTY"
        | "COMMAND_REQUIRED"
        | "COMMAND_TITLE_REQUIRED"
        | "COMMAND_TITLE_INVALID"
        | "EMPTY_MESSAGE"
        | "ATTACH_ERROR"
        | "ATTACH_OVERSIZE"
        | "KEYBOARD_ERROR"
        | "REPLY_ERROR"
        | "TOO_MANY_MESSAGES"
        | "WRONG_UUID"
        | "MESSAGE_ID_ERROR"
        | "BOT_ID_ERROR"
        | "COMMAND_ERROR"
        | "PARAMS_ERROR"
        | "EMPTY_USER_IDS"
        | "WRONG_CHAT_TYPE"
        | "WRONG_COLOR"
        | "FILE_EMPTY"
        | "FILE_INVALID_CONTENT"
        | "FILE_TOO_LARGE" => Cause::BadArguments,
        "ERROR_EVENT_NOT_FOUND" => Cause::BadArguments,

        // Refused whatever the status; nothing more to say.
        "COMMAND_ANSWER_FAILED"
        | "USER_NOT_SUBSCRIBED"
        | "AUTH_ERROR"
        | "REACTION_ALREADY_SET"
        | "REACTION_NOT_FOUND"
        | "MESSAGE_TOO_OLD_FOR_DELETION"
        | "FILE_NOT_FOUND"
        | "FILE_FOLDER_ERROR"
        | "FOLDER_ERROR" => Cause::Refused,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
