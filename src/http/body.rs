//! Reads what strangers post: so much, in so much time, and as what it says it is.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;
use tokio::time::timeout;

use crate::portal::wire::form;

/// The longest body of a callback or a page, bytes. They have some two thousand.
pub(super) const CALLBACK: usize = 64 << 10;

/// The longest body of an event. A command of 20,000 characters stands there twice, and a character can
/// take 12 bytes.
pub(super) const EVENT: usize = form::LONGEST;

/// How long its sender may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a body of at most so many bytes to its end.
///
/// # Errors
///
/// The status to answer: it is too long, too slow, or broke off.
pub(super) async fn read(body: Body, most: usize) -> Result<Bytes, StatusCode> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let reading = Limited::new(body, most).collect();
    match timeout(PATIENCE, reading).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Its fields: JSON where the headers say so, else a form, as Bitrix24 sends it. `None` when it is
/// neither.
pub(super) fn fields(headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let media = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media = media.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") {
        serde_json::from_slice(body).ok()
    } else if media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        form::decode(body).ok()
    } else {
        None
    }
}
