//! Adds a portal's credential to a call, and is the only place that knows it.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use super::{
    Call, Cause,
    batch::Load,
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
        let port = self.0.expose().port_or_known_default();
        format!("{}:{}", self.0.host(), port.unwrap_or_default())
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
    /// The body of a call.
    pub(super) fn authorize(&self, call: &Call) -> Result<Body, Cause> {
        let Self::Webhook = self;
        Ok(if call.method == Method::MessageCommand {
            // In private dialogs Bitrix24 reads this method's form variables only (C19).
            let form =
                form::encode(&call.params, Booleans::YesNo).map_err(|_| Cause::BadArguments)?;
            Body::Form(form.into())
        } else {
            let json = serde_json::to_vec(&WithToken(call)).map_err(|_| Cause::BadArguments)?;
            Body::Json(json.into())
        })
    }

    /// A call as an entry of a batch; nothing when it must travel alone.
    pub(super) fn entry(&self, load: &Load, call: &Call) -> Option<String> {
        let Self::Webhook = self;
        let entry = load.text();
        let Some(token) = &call.bot_token else {
            return Some(entry.to_owned());
        };
        let token = token.expose_secret();
        if call.method.bot_token() != BotToken::Top || looks_like_reference(token) {
            return None;
        }
        let and = if entry.contains('?') { '&' } else { '?' };
        let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
        Some(format!("{entry}{and}botToken={token}"))
    }
}

/// The parameters of a call with its bot's token in its place.
struct WithToken<'a>(&'a Call);

impl Serialize for WithToken<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(Call {
            method,
            params,
            bot_token,
            ..
        }) = self;
        let token = bot_token.as_ref().map(ExposeSecret::expose_secret);
        let mut map = serializer.serialize_map(None)?;
        if let (Some(token), BotToken::Top) = (token, method.bot_token()) {
            map.serialize_entry("botToken", token)?;
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
