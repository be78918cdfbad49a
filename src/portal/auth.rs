//! Adds a portal's credential to a call, and is the only place that knows it.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

use super::{
    Call, Cause,
    bot_key::Lease,
    tokens::Keyring,
    transport::{Body, SecretUrl},
    wire::{Method, batch::looks_like_reference, method::BotToken},
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
            Self::OAuth(keyring) => {
                let (token, generation) = keyring.pass().ok_or(Cause::TokenOver)?;
                Ok(Pass::OAuth(token, generation))
            }
        }
    }

    /// The entry of a batch with the token of the call's bot; nothing when it must travel alone.
    pub(super) fn entry(
        &self,
        entry: String,
        call: &Call,
        lease: Option<&Lease>,
    ) -> Option<String> {
        let token = match self {
            Self::Webhook => lease,
            // The tokens of the batch are those of its entries.
            Self::OAuth(_) => None,
        };
        let Some(token) = token else {
            return Some(entry);
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
            return Ok(Body::Json(self.json(call, lease).into()));
        }
        // In private dialogs Bitrix24 reads this method's form variables only (C19).
        let mut form = call.params.to_form().map_err(|_| Cause::BadArguments)?;
        if let Some(access) = access {
            let token = utf8_percent_encode(access.expose_secret(), NON_ALPHANUMERIC);
            let and = if form.is_empty() { "" } else { "&" };
            form = format!("{form}{and}auth={token}");
        }
        Ok(Body::Form(form.into()))
    }

    /// The parameters with the access token, or else the token of the call's bot, in their places.
    fn json(&self, call: &Call, lease: Option<&Lease>) -> Vec<u8> {
        let (auth, bot) = match (self, lease.map(Lease::token)) {
            (Self::OAuth(access, _), _) => (Some(("auth", access)), None),
            (Self::Webhook, Some(token)) => match call.method.bot_token() {
                BotToken::Top => (Some(("botToken", token)), None),
                BotToken::Fields => (None, Some(token)),
                BotToken::None => (None, None),
            },
            (Self::Webhook, None) => (None, None),
        };
        let mut body = Vec::with_capacity(call.params.json().len() + 128);
        body.push(b'{');
        if let Some((name, secret)) = auth {
            member(&mut body, name, &quoted(secret));
        }
        if let Some(next) = &call.next_token {
            member(&mut body, "fields", &with_token(next, b"}"));
        }
        match bot {
            None => more(&mut body, call.params.json()),
            Some(token) => {
                for (name, value) in call.params.iter() {
                    match (name, value.strip_prefix(b"{")) {
                        ("fields", Some(fields)) => {
                            member(&mut body, name, &with_token(token, fields));
                        }
                        _ => member(&mut body, name, value),
                    }
                }
            }
        }
        body.push(b'}');
        body
    }
}

/// An object that begins with a bot's token; `rest` is what follows the brace that opens it.
fn with_token(token: &SecretString, rest: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut object = b"{".to_vec();
    member(&mut object, "botToken", &quoted(token));
    if rest != b"}" {
        object.push(b',');
    }
    object.extend_from_slice(rest);
    Zeroizing::new(object)
}

/// Adds a member to an open object; `value` is JSON.
fn member(object: &mut Vec<u8>, name: &str, value: &[u8]) {
    more(object, format!("\"{name}\":").as_bytes());
    object.extend_from_slice(value);
}

/// Adds members to an open object.
fn more(object: &mut Vec<u8>, members: &[u8]) {
    if object.last() != Some(&b'{') && !members.is_empty() {
        object.push(b',');
    }
    object.extend_from_slice(members);
}

/// A secret as JSON.
fn quoted(secret: &SecretString) -> Zeroizing<Vec<u8>> {
    let json = serde_json::to_vec(secret.expose_secret());
    Zeroizing::new(json.expect("a text can always be written"))
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
