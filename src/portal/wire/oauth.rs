//! What the authorization server answers (C7). Decoding only: asking is another module's work.
//!
//! A refusal may come with status 200, so `error` is looked for before any token. Only a definitive
//! refusal may end a refresh token; whatever is unclear keeps the stored pair.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::{
    answer::scopes,
    envelope::{self, Refusal},
    lenient::{Fields, Unreadable},
};

/// A new pair of tokens.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// For calls to the portal.
    pub access_token: SecretString,
    /// For the next pair; replaces the one just used.
    pub refresh_token: SecretString,
    /// How long the access token lives. One hour when the answer does not say.
    pub expires_in: Duration,
    /// When it ends, when the answer says so.
    pub expires: Option<Timestamp>,
    /// REST base of the portal: the address to use from now on.
    pub client_endpoint: Option<String>,
    /// REST base of the authorization server.
    pub server_endpoint: Option<String>,
    /// Host of the **authorization server**, not of the portal.
    pub domain: Option<String>,
    /// Identity of the portal for ever.
    pub member_id: Option<String>,
    /// What the tokens may use.
    pub scope: Vec<String>,
    /// `L`, `F`, `D`, `T`, `P`, or others. For people only.
    pub status: Option<String>,
    /// User of the tokens.
    pub user_id: Option<i64>,
}

/// Our application as the authorization server knows it: the only trusted word about an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppInfo {
    /// The application the token belongs to.
    pub client_id: Option<String>,
    /// What the token may use.
    pub scope: Vec<String>,
    /// When the token ends.
    pub expires: Option<Timestamp>,
    /// User of the token.
    pub user_id: Option<i64>,
    /// The installation is finished.
    pub installed: Option<bool>,
    /// Installed version.
    pub version: Option<String>,
    /// How it is licensed.
    pub status: Option<String>,
    /// Host of the **portal**.
    pub domain: Option<String>,
    /// REST base of the portal.
    pub client_endpoint: Option<String>,
    /// Identity of the portal for ever.
    pub member_id: Option<String>,
}

/// Why there are no new tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// Our application data are wrong, or asked for too much. Nothing about the pair.
    Misconfigured,
    /// The refresh token or code is over, replaced or revoked. Definitive, unless another process
    /// has refreshed meanwhile.
    Spent,
    /// Not paid.
    PaymentRequired,
    /// Not installed.
    NotInstalled,
    /// The portal is gone.
    PortalGone,
    /// Trouble over there: keep the pair, try again later.
    Unavailable,
    /// Something else: keep the pair.
    Unclear,
}

/// A failed request to the authorization server.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It said no.
    #[error("the authorization server refused ({denial:?})")]
    Denied {
        /// What it means.
        denial: Denial,
        /// HTTP status.
        status: u16,
        /// In its own words.
        #[source]
        refusal: Refusal,
    },
    /// It did not say anything readable.
    #[error("the authorization server's answer with status {status} cannot be read")]
    Unreadable {
        /// What it means.
        denial: Denial,
        /// HTTP status.
        status: u16,
        /// What was wrong with the answer.
        #[source]
        what: Unreadable,
    },
}

impl Error {
    /// What it means for the stored pair.
    #[must_use]
    pub fn denial(&self) -> Denial {
        match self {
            Self::Denied { denial, .. } | Self::Unreadable { denial, .. } => *denial,
        }
    }
}

/// Reads the answer to a refresh or to the exchange of a code.
///
/// # Errors
/// When there is no readable pair, whatever the status.
pub fn tokens(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Tokens, Error> {
    let body = open(status, content_type, body)?;
    read_tokens(&body).map_err(|what| unreadable(status, what))
}

/// Reads the answer of the authorization server's `app.info`, which is not the portal's.
///
/// # Errors
/// When there is no readable result, whatever the status.
pub fn app_info(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<AppInfo, Error> {
    let body = open(status, content_type, body)?;
    let outer = Fields::or_none(Some(&body));
    let fields = match outer.get("result") {
        Some(result) => Fields::of(result),
        None => Err(Unreadable::shape("result", "an object", None)),
    };
    let fields = fields.map_err(|what| unreadable(status, what))?;
    let install = Fields::or_none(fields.get("install"));
    Ok(AppInfo {
        client_id: fields.filled("client_id"),
        scope: fields.get("scope").map(scopes).unwrap_or_default(),
        expires: fields.time("expires"),
        user_id: fields.int("user_id"),
        installed: install.flag("installed"),
        version: install.filled("version"),
        status: install.filled("status"),
        domain: install.filled("domain"),
        client_endpoint: install.filled("client_endpoint"),
        member_id: install.filled("member_id"),
    })
}

/// The object of a body that holds no error.
fn open(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Value, Error> {
    let body = envelope::parse(content_type, body).map_err(|what| unreadable(status, what))?;
    match &body {
        Value::Object(members) if members.get("error").is_some_and(|error| !error.is_null()) => {
            let refusal = Refusal::from_members(members);
            Err(Error::Denied {
                denial: denial(status, &refusal),
                status,
                refusal,
            })
        }
        Value::Object(_) if (200..300).contains(&status) => Ok(body),
        Value::Object(_) => Err(unreadable(
            status,
            Unreadable::shape("error", "present", None),
        )),
        other => Err(unreadable(
            status,
            Unreadable::shape("", "an object", Some(other)),
        )),
    }
}

fn read_tokens(body: &Value) -> Result<Tokens, Unreadable> {
    const HOUR: Duration = Duration::from_secs(3600);
    let fields = Fields::of(body)?;
    let lifetime = fields
        .int("expires_in")
        .and_then(|seconds| u64::try_from(seconds).ok());
    Ok(Tokens {
        access_token: fields.require_text("access_token")?.into(),
        refresh_token: fields.require_text("refresh_token")?.into(),
        expires_in: lifetime.map_or(HOUR, Duration::from_secs),
        expires: fields.time("expires"),
        client_endpoint: fields.filled("client_endpoint"),
        server_endpoint: fields.filled("server_endpoint"),
        domain: fields.filled("domain"),
        member_id: fields.filled("member_id"),
        scope: fields.get("scope").map(scopes).unwrap_or_default(),
        status: fields.filled("status"),
        user_id: fields.int("user_id"),
    })
}

fn denial(status: u16, refusal: &Refusal) -> Denial {
    match refusal.code.to_ascii_uppercase().as_str() {
        "INVALID_REQUEST" | "INVALID_CLIENT" | "WRONG_CLIENT" | "INVALID_SCOPE"
        | "INSUFFICIENT_SCOPE" => Denial::Misconfigured,
        "INVALID_GRANT" | "BAD_VERIFICATION_CODE" => Denial::Spent,
        "PAYMENT_REQUIRED" => Denial::PaymentRequired,
        "NOT_INSTALLED" => Denial::NotInstalled,
        "PORTAL_DELETED" => Denial::PortalGone,
        _ => by_status(status),
    }
}

fn by_status(status: u16) -> Denial {
    match status {
        408 | 429 | 500.. => Denial::Unavailable,
        404 => Denial::PortalGone,
        _ => Denial::Unclear,
    }
}

/// A page for people says nothing for certain, not even with status 404.
fn unreadable(status: u16, what: Unreadable) -> Error {
    let denial = match by_status(status) {
        Denial::Unavailable => Denial::Unavailable,
        _ => Denial::Unclear,
    };
    Error::Unreadable {
        denial,
        status,
        what,
    }
}

#[cfg(test)]
mod tests;
