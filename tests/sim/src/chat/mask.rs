//! Takes secrets out of what is shown of requests and answers.
//!
//! Members are known by name, and the portal knows which secrets it gave out or was given, so those are
//! found wherever they stand, also inside the commands of a batch.

use serde_json::Value;

use crate::php;
use crate::state::{Owner, State};

/// What stands in place of a secret.
const MASK: &str = "•••";

/// Names of members that are secrets, in lower case without `_`.
const NAMES: [&str; 12] = [
    "auth",
    "authid",
    "refreshid",
    "accesstoken",
    "refreshtoken",
    "applicationtoken",
    "bottoken",
    "clientsecret",
    "token",
    "secret",
    "webhookurl",
    "downloadurl",
];

/// The secrets a portal knows.
pub(super) struct Mask {
    secrets: Vec<String>,
}

impl Mask {
    pub(super) fn of(state: &State) -> Self {
        let codes = state.credentials.values().map(|known| known.secret.clone());
        let tokens = state.bots.values().filter_map(|bot| match &bot.owner {
            Owner::Token(token) => Some(token.clone()),
            Owner::Application(_) | Owner::Portal => None,
        });
        let urls = state.bots.values().map(|bot| bot.webhook_url.clone());
        let all = codes.chain(tokens).chain(urls);
        let mut secrets: Vec<String> = all
            .filter(|secret| !secret.is_empty())
            .flat_map(|secret| [php::url_encode(&secret), secret])
            .collect();
        // The longest first: a secret can be part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets }
    }

    /// A text without the secrets in it.
    pub(super) fn text(&self, text: &str) -> String {
        let known = self.secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) {
                text.replace(secret.as_str(), MASK)
            } else {
                text
            }
        });
        named(&known)
    }

    /// A value without the secrets in it.
    pub(super) fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(list) => list.iter().map(|value| self.value(value)).collect(),
            Value::Object(map) => {
                let members = map.iter().map(|(name, value)| {
                    let shown = match value {
                        Value::String(text) if is_secret(name) && !text.is_empty() => MASK.into(),
                        value => self.value(value),
                    };
                    (self.text(name), shown)
                });
                Value::Object(members.collect())
            }
            scalar => scalar.clone(),
        }
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.replace('_', "").to_ascii_lowercase();
    NAMES.contains(&name.as_str())
}

/// The last part of a name with brackets, encoded or not: `data[bot][auth]` is `auth`.
fn last_part(name: &str) -> &str {
    let ends = |end: &str| name.strip_suffix(end);
    let Some(inner) = ends("]").or_else(|| ends("%5D")).or_else(|| ends("%5d")) else {
        return name;
    };
    let from = ["[", "%5B", "%5b"]
        .iter()
        .filter_map(|open| Some(inner.rfind(open)? + open.len()));
    inner.get(from.max().unwrap_or(0)..).unwrap_or(inner)
}

/// Masks values of secret names in what may be a form or a query.
fn named(text: &str) -> String {
    if !text.contains('=') {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let end = rest.find(['&', '?']).unwrap_or(rest.len());
        let pair = rest.get(..end).unwrap_or_default();
        match pair.split_once('=') {
            Some((name, value)) if is_secret(last_part(name)) && !value.is_empty() => {
                shown.extend([name, "=", MASK]);
            }
            _ => shown.push_str(pair),
        }
        let Some(mark) = rest.get(end..).and_then(|rest| rest.chars().next()) else {
            return shown;
        };
        shown.push(mark);
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mask() -> Mask {
        Mask {
            secrets: vec!["s3cret".to_owned()],
        }
    }

    #[test]
    fn secrets_are_found_by_name_and_by_what_they_are() {
        let value = json!({
            "botToken": "x", "auth": {"access_token": "y", "domain": "d"}, "s3cret": 1,
            "cmd": {"a": "imbot.v2.Event.get?botId=5&botToken=z&auth=&offset=1"},
            "list": ["https://p/rest/1/s3cret/"], "code": "weather", "fields": {"webhookUrl": "u"},
        });
        let shown = mask().value(&value);
        let expected = json!({
            "botToken": MASK, "auth": {"access_token": MASK, "domain": "d"}, MASK: 1,
            "cmd": {"a": format!("imbot.v2.Event.get?botId=5&botToken={MASK}&auth=&offset=1")},
            "list": [format!("https://p/rest/1/{MASK}/")], "code": "weather",
            "fields": {"webhookUrl": MASK},
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn secrets_in_forms_are_found_behind_brackets() {
        let form =
            "event=X&data%5Bbot%5D%5Bauth%5D%5Baccess_token%5D=a&auth[application_token]=b&x=1";
        let shown = mask().text(form);
        let expected = format!(
            "event=X&data%5Bbot%5D%5Bauth%5D%5Baccess_token%5D={MASK}&auth[application_token]={MASK}&x=1"
        );
        assert_eq!(shown, expected);
    }
}
