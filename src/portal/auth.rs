//! Adds a portal's credential to a call, and is the only place that knows it.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::{
    Call, Cause,
    transport::{Body, SecretUrl},
    wire::{
        Method,
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
    Webhook(WebhookUrl),
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

impl Credential {
    /// The address and the body of a call.
    pub(super) fn authorize(&self, call: Call) -> Result<(SecretUrl, Body), Cause> {
        let Self::Webhook(WebhookUrl(base)) = self;
        let Call {
            method,
            mut params,
            bot_token,
        } = call;
        if let Some(token) = bot_token {
            place(&mut params, method.bot_token(), token.expose_secret());
        }
        let body = if method == Method::MessageCommand {
            // In private dialogs Bitrix24 reads this method's form variables only (C19).
            let form = form::encode(&params, Booleans::YesNo).map_err(|_| Cause::BadArguments)?;
            Body::Form(form.into())
        } else {
            let json = serde_json::to_vec(&params).map_err(|_| Cause::BadArguments)?;
            Body::Json(json.into())
        };
        Ok((base.method(method.as_str()), body))
    }
}

fn place(params: &mut Map<String, Value>, at: BotToken, token: &str) {
    match at {
        BotToken::None => {}
        BotToken::Top => {
            params.insert("botToken".to_owned(), token.into());
        }
        BotToken::Fields => {
            let fields = params
                .entry("fields")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(fields) = fields {
                fields.insert("botToken".to_owned(), token.into());
            }
        }
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
