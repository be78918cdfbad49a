//! Adds a portal's credential to a call, and is the only place that knows it.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use super::{
    Call, Cause,
    batch::Load,
    bot_key::Lease,
    tokens::Keyring,
    transport::{Body, SecretUrl},
    wire::{
        Method,
        batch::looks_like_reference,
        form::{self, Booleans},
        method::BotToken,
    },
};
use crate::ids::Invalid;

/// The URL of an incoming webhook, `https://{portal}/rest/{user}/{code}/`. A secret: whoever has it
/// acts as its owner.
#[derive(Debug, Clone)]
pub struct WebhookUrl(SecretUrl);

/// What a portal lets us in by.
#[derive(Debug)]
pub(super) enum Credential {
    /// An incoming webhook: the code is part of the address, bots identify by their token.
    Webhook,
    /// Tokens of an installed application, which owns its bots: Bitrix24 ignores theirs (C1).
    OAuth(Keyring),
}

/// What a request goes out with.
#[derive(Debug)]
pub(super) enum Pass {
    /// Its address and the tokens of its bots.
    Webhook,
    /// The access token of the pair with this number.
    OAuth(SecretString, u64),
}

impl WebhookUrl {
    /// Reads such a URL, with or without the last slash.
    ///
    /// # Errors
    ///
    /// The rule it breaks; never the text itself.
    pub fn parse(text: &SecretString) -> Result<Self, Invalid> {
        let text = text.expose_secret().trim();
        let url: SecretUrl = text
            .parse()
            .map_err(|_| Invalid("it is not a URL with a host"))?;
        let exposed = url.expose();
        if exposed.scheme() != "https" {
            return Err(Invalid(
                "it must begin with https://, Bitrix24 refuses webhooks without",
            ));
        }
        if !exposed.username().is_empty() || exposed.password().is_some() {
            return Err(Invalid("it must not contain a user or password"));
        }
        if exposed.query().is_some() || exposed.fragment().is_some() {
            return Err(Invalid(
                "it must end with the webhook code, without `?` or `#`",
            ));
        }
        let path: Vec<_> = exposed.path().trim_matches('/').split('/').collect();
        match path[..] {
            // A portal may live below a path of its own.
            [.., "rest", user, code] if user.parse::<u64>().is_ok() && !code.is_empty() => {
                Ok(Self(url))
            }
            _ => Err(Invalid(
                "its path must be /rest/{user id}/{code}/, without a method name",
            )),
        }
    }
}

impl WebhookUrl {
    /// Host and port: what shares one address shares one limit.
    pub(super) fn place(&self) -> String {
        self.0.place()
    }

    /// Number of the user that it acts for.
    pub(super) fn user(&self) -> Option<String> {
        Self::user_of(&self.0)
    }

    /// The same of an address that was such a URL.
    pub(super) fn user_of(address: &SecretUrl) -> Option<String> {
        let path: Vec<_> = address.expose().path_segments()?.collect();
        let rest = path.iter().rposition(|part| *part == "rest")?;
        path.get(rest + 1).map(|user| (*user).to_owned())
    }

    /// The address itself. For sending only.
    pub(super) fn into_address(self) -> SecretUrl {
        self.0
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host()
    }
}

impl Credential {
    /// What a request goes out with now.
    pub(super) fn pass(&self) -> Result<Pass, Cause> {
        match self {
            Self::Webhook => Ok(Pass::Webhook),
            Self::OAuth(keyring) => keyring.pass().ok_or(Cause::TokenOver),
        }
    }

    /// A call as an entry of a batch; nothing when it must travel alone.
    pub(super) fn entry(&self, load: &Load, call: &Call, lease: Option<&Lease>) -> Option<String> {
        let entry = load.text();
        let token = match self {
            Self::Webhook => lease,
            // The tokens of the batch are those of its entries.
            Self::OAuth(_) => None,
        };
        let Some(token) = token else {
            return Some(entry.to_owned());
        };
        let token = token.token().expose_secret();
        if call.method.bot_token() != BotToken::Top || looks_like_reference(token) {
            return None;
        }
        let and = if entry.contains('?') { '&' } else { '?' };
        let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
        Some(format!("{entry}{and}botToken={token}"))
    }

    /// The tokens, where there are any to renew.
    pub(super) fn keyring(&self) -> Option<&Keyring> {
        match self {
            Self::Webhook => None,
            Self::OAuth(keyring) => Some(keyring),
        }
    }

    /// A request was served.
    pub(super) fn served(&self, pass: &Pass) {
        if let (Self::OAuth(keyring), Pass::OAuth(_, generation)) = (self, pass) {
            keyring.served(*generation);
        }
    }

    /// A request was refused for its access token. Says whether another one is here or on its way.
    pub(super) fn refused(&self, pass: &Pass) -> bool {
        match (self, pass) {
            (Self::OAuth(keyring), Pass::OAuth(_, generation)) => keyring.refused(*generation),
            _ => false,
        }
    }
}

impl Pass {
    /// The body of a call.
    pub(super) fn authorize(&self, call: &Call, lease: Option<&Lease>) -> Result<Body, Cause> {
        let access = match self {
            Self::Webhook => None,
            Self::OAuth(token, _) => Some(token),
        };
        if call.method != Method::MessageCommand {
            let json = serde_json::to_vec(&WithTokens {
                call,
                access,
                lease,
            });
            return Ok(Body::Json(json.map_err(|_| Cause::BadArguments)?.into()));
        }
        // In private dialogs Bitrix24 reads this method's form variables only (C19).
        let form = form::encode(&call.params, Booleans::YesNo);
        let mut form = form.map_err(|_| Cause::BadArguments)?;
        if let Some(access) = access {
            let token = utf8_percent_encode(access.expose_secret(), NON_ALPHANUMERIC);
            let and = if form.is_empty() { "" } else { "&" };
            form = format!("{form}{and}auth={token}");
        }
        Ok(Body::Form(form.into()))
    }
}

/// The parameters of a call with the access token, or else its bot's token, in their places.
struct WithTokens<'a> {
    call: &'a Call,
    access: Option<&'a SecretString>,
    lease: Option<&'a Lease>,
}

impl Serialize for WithTokens<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Call {
            method,
            params,
            next_token,
            ..
        } = self.call;
        let token = self.lease.filter(|_| self.access.is_none());
        let token = token.map(|lease| lease.token().expose_secret());
        let mut map = serializer.serialize_map(None)?;
        if let Some(access) = self.access {
            map.serialize_entry("auth", access.expose_secret())?;
        }
        if let (Some(token), BotToken::Top) = (token, method.bot_token()) {
            map.serialize_entry("botToken", token)?;
        }
        if let Some(next) = next_token {
            let fields = [("botToken", next.expose_secret())];
            map.serialize_entry("fields", &BTreeMap::from(fields))?;
        }
        for (name, value) in params {
            match (token, method.bot_token(), value) {
                (Some(token), BotToken::Fields, Value::Object(fields)) if name == "fields" => {
                    let mut fields = fields.clone();
                    fields.insert("botToken".to_owned(), token.into());
                    map.serialize_entry(name, &fields)?;
                }
                _ => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_url_needs_https_and_its_path() {
        for right in [
            "https://acme.bitrix24.com/rest/1/abc123/",
            "https://acme.bitrix24.com/rest/1/abc123",
            " https://bitrix.acme.com:8443/portal/rest/17/x/ \n",
        ] {
            assert!(WebhookUrl::parse(&right.into()).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "acme.bitrix24.com/rest/1/abc123/",
            "http://acme.bitrix24.com/rest/1/abc123/",
            "https://acme.bitrix24.com/",
            "https://acme.bitrix24.com/rest/1/",
            "https://acme.bitrix24.com/rest/1/abc123/profile.json",
            "https://acme.bitrix24.com/rest/1/abc123/?x=1",
            "https://user:word@acme.bitrix24.com/rest/1/abc123/",
        ] {
            assert!(WebhookUrl::parse(&wrong.into()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn webhook_url_cannot_be_printed() {
        let url = WebhookUrl::parse(&"https://acme.bitrix24.com/rest/1/abc123/".into()).unwrap();
        assert!(!format!("{url:?}").contains("abc123"));
    }
}
