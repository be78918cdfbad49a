//! Requests that no service of ours gets to see.
//!
//! The server library refuses them by itself, with a bare status. Here they are given what every
//! failure carries.

use std::collections::HashMap;

use tonic::{
    Code, Status,
    codegen::http::{HeaderMap, Response},
};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::status::DOMAIN;
use crate::fault::{Executed, Origin, Reason};

/// Completes the status of a response that the library made.
pub(super) fn explain<B>(mut response: Response<B>) -> Response<B> {
    if let Some(status) = explained(response.headers())
        && let Err(status) = status.add_header(response.headers_mut())
    {
        tracing::error!(%status, "a refusal could not be explained");
    }
    response
}

fn explained(headers: &HeaderMap) -> Option<Status> {
    // What failed before its first message has its status in the headers; all else is of no concern.
    headers.get(Status::GRPC_STATUS)?;
    let status = Status::from_header_map(headers)?;
    if !status.details().is_empty() {
        return None;
    }
    let (reason, message) = match status.code() {
        Code::Unimplemented if status.message().is_empty() => (
            Reason::UnknownRpc,
            "this version of the gateway has no such RPC",
        ),
        Code::OutOfRange | Code::Unimplemented | Code::Internal => {
            (Reason::UnreadableRequest, status.message())
        }
        // Health and reflection speak for themselves.
        _ => return None,
    };
    let metadata = HashMap::from([
        ("executed".to_owned(), Executed::No.as_str().to_owned()),
        ("fault".to_owned(), Origin::Caller.as_str().to_owned()),
    ]);
    let details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, metadata);
    Some(Status::with_error_details(status.code(), message, details))
}
