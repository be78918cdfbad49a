//! What the portal tells us by calling us (C8.2, C11).
//!
//! A callback is a claim by a stranger until its `application_token` was compared. So this only reads:
//! who says it, and, for events about the application itself, what. Events of bots are read as
//! [`PostedEvent`](super::event::PostedEvent) after verification and without their `auth`.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::{
    answer::scopes,
    lenient::{Fields, Unreadable},
};

/// A call of the portal.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Name of the event.
    pub event: String,
    /// Number of the subscription.
    pub handler_id: Option<i64>,
    /// When the portal sent it.
    pub ts: Option<Timestamp>,
    /// Who claims to say it.
    pub auth: Auth,
    /// What is said about the application; none for other events.
    pub app: Option<AppEvent>,
}

/// Who claims to call, with the tokens that came along. Its secrets do not show in logs.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    /// The proof, once compared with the stored one. Only the one at the top level counts: the one
    /// inside the bot's data must not be used.
    pub application_token: Option<SecretString>,
    /// Identity of the portal for ever.
    pub member_id: Option<String>,
    /// Host of the portal, as claimed.
    pub domain: Option<String>,
    /// REST base of the portal, as claimed.
    pub client_endpoint: Option<String>,
    /// REST base of the authorization server, as claimed.
    pub server_endpoint: Option<String>,
    /// What the tokens may use.
    pub scope: Vec<String>,
    /// How the application is licensed.
    pub status: Option<String>,
    /// For calls to the portal.
    pub access_token: Option<SecretString>,
    /// For the next pair; only with events like an installation.
    pub refresh_token: Option<SecretString>,
    /// How long the access token lives.
    pub expires_in: Option<Duration>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// User of the tokens.
    pub user_id: Option<i64>,
}

/// Something happened to our application.
#[derive(Debug, Clone)]
pub enum AppEvent {
    /// Installed.
    Install {
        /// Version.
        version: Option<String>,
        /// It is active.
        active: Option<bool>,
        /// The installation is finished.
        installed: Option<bool>,
        /// Language of the portal.
        language: Option<String>,
    },
    /// Updated.
    Update {
        /// New version.
        version: Option<String>,
        /// Old version.
        previous_version: Option<String>,
        /// Language of the portal.
        language: Option<String>,
    },
    /// Removed.
    Uninstall {
        /// The user asked to delete the data too.
        clean: bool,
        /// Language of the portal.
        language: Option<String>,
    },
    /// Paid or no longer paid. Carries no proof: a hint to ask the authorization server.
    Payment {
        /// Code of the application.
        code: Option<String>,
        /// Version.
        version: Option<String>,
        /// How the application is licensed.
        status: Option<String>,
        /// The paid time is over.
        payment_expired: Option<bool>,
        /// Days left.
        days: Option<i64>,
        /// Language of the portal.
        language: Option<String>,
    },
    /// An administrator decided about a method.
    MethodConfirm {
        /// The access token that had asked.
        token: Option<SecretString>,
        /// The method.
        method: Option<String>,
        /// Allowed.
        confirmed: bool,
        /// Language of the portal.
        language: Option<String>,
    },
    /// A trial of the developer's page.
    Test,
}

impl Callback {
    /// Reads a decoded form, or the same as JSON.
    ///
    /// # Errors
    /// When it is no object or does not name its event.
    pub fn from_value(body: &Value) -> Result<Self, Unreadable> {
        let fields = Fields::of(body)?;
        let event = fields.require_text("event")?;
        Ok(Self {
            handler_id: fields.int("event_handler_id"),
            ts: fields.time("ts"),
            auth: Auth::read(&Fields::or_none(fields.get("auth"))),
            app: AppEvent::read(&event, &Fields::or_none(fields.get("data"))),
            event,
        })
    }
}

impl Auth {
    pub(super) fn read(fields: &Fields<'_>) -> Self {
        let secret = |name| fields.filled(name).map(SecretString::from);
        let seconds = fields
            .int("expires_in")
            .and_then(|it| u64::try_from(it).ok());
        Self {
            application_token: secret("application_token"),
            member_id: fields.filled("member_id"),
            domain: fields.filled("domain"),
            client_endpoint: fields.filled("client_endpoint"),
            server_endpoint: fields.filled("server_endpoint"),
            scope: fields.get("scope").map(scopes).unwrap_or_default(),
            status: fields.filled("status"),
            access_token: secret("access_token"),
            refresh_token: secret("refresh_token"),
            expires_in: seconds.map(Duration::from_secs),
            expires: fields.time("expires"),
            user_id: fields.int("user_id"),
        }
    }
}

impl AppEvent {
    fn read(event: &str, data: &Fields<'_>) -> Option<Self> {
        let language = data.filled("LANGUAGE_ID");
        Some(match event.to_ascii_uppercase().as_str() {
            "ONAPPINSTALL" => Self::Install {
                version: data.filled("VERSION"),
                active: data.flag("ACTIVE"),
                installed: data.flag("INSTALLED"),
                language,
            },
            "ONAPPUPDATE" => Self::Update {
                version: data.filled("VERSION"),
                previous_version: data.filled("PREVIOUS_VERSION"),
                language,
            },
            "ONAPPUNINSTALL" => Self::Uninstall {
                clean: data.flag("CLEAN").unwrap_or(false),
                language,
            },
            "ONAPPPAYMENT" => Self::Payment {
                code: data.filled("CODE"),
                version: data.filled("VERSION"),
                status: data.filled("STATUS"),
                payment_expired: data.flag("PAYMENT_EXPIRED"),
                days: data.int("DAYS"),
                language,
            },
            "ONAPPMETHODCONFIRM" => Self::MethodConfirm {
                token: data.filled("TOKEN").map(SecretString::from),
                method: data.filled("METHOD"),
                confirmed: data.flag("CONFIRMED").unwrap_or(false),
                language,
            },
            "ONAPPTEST" => Self::Test,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
