//! The parameters of a call, from whatever way they travelled (C1).
//!
//! Query and body are merged and the body wins. A body is JSON only under exactly
//! `application/json`; broken JSON is not reported but leaves no parameters at all; every other
//! body is read as a form.

use std::borrow::Cow;
use std::fmt;

use hyper::header::AUTHORIZATION;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::http::Asked;
use crate::journal::Encoding;
use crate::php;

/// Names the REST core keeps for itself; methods never see them.
const RESERVED: [&str; 8] = [
    "auth",
    "access_token",
    "auth_connector",
    "aplogin",
    "ap",
    "start",
    "state",
    "token",
];

/// All parameters of one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    pub(crate) map: Map<String, Value>,
    /// The keys of `cmd` as they were sent: a batch runs in that order.
    pub(crate) cmd_order: Vec<String>,
    /// The form variables of the HTTP request, as far as there are any.
    pub(crate) has_form: bool,
    /// The download switch was among the names.
    pub(crate) asks_for_download: bool,
    /// The access token among the names.
    pub(crate) auth: Option<String>,
}

impl Params {
    /// Reads query, content type and body of a request.
    pub(crate) fn read(query: &str, content_type: &str, body: &[u8]) -> (Self, Encoding) {
        let mut params = Self {
            map: php::parse_form(query),
            ..Self::default()
        };
        params.cmd_order = php::form_order(query, "cmd");
        let encoding = if is_json(content_type) {
            if let Ok(Value::Object(map)) = serde_json::from_slice(body) {
                if map.contains_key("cmd") {
                    params.cmd_order = json_order(body);
                }
                params.map.extend(map);
            }
            Encoding::Json
        } else if body.is_empty() {
            Encoding::Query
        } else {
            let text = String::from_utf8_lossy(body);
            let form = php::parse_form(&text);
            if form.contains_key("cmd") {
                params.cmd_order = php::form_order(&text, "cmd");
            }
            params.map.extend(form);
            params.has_form = true;
            Encoding::Form
        };
        params.without_reserved(encoding)
    }

    /// The parameters of a command inside a batch.
    pub(crate) fn of_entry(map: Map<String, Value>) -> Self {
        Self {
            map,
            ..Self::default()
        }
        .without_reserved(Encoding::BatchEntry)
        .0
    }

    /// The same, with this access token if the parameters had none.
    pub(crate) fn with_auth(mut self, token: Option<String>) -> Self {
        self.auth = self.auth.or(token);
        self
    }

    fn without_reserved(mut self, encoding: Encoding) -> (Self, Encoding) {
        self.asks_for_download = self.map.contains_key("token");
        let token = |name| self.map.get(name).and_then(php::text);
        let auth = token("auth").or_else(|| token("access_token"));
        self.auth = auth.map(Cow::into_owned);
        for name in RESERVED {
            self.map.remove(name);
        }
        (self, encoding)
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields(Cow::Borrowed(&self.map))
    }
}

/// A map of named values, each also known by its UPPER_CASE name.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(Cow<'a, Map<String, Value>>);

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value) -> Option<Self> {
        php::map(value).map(Fields)
    }

    /// The value of this name; null counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.raw(name).filter(|value| !value.is_null())
    }

    /// The value of this name, null included.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        if self.0.is_empty() {
            return None;
        }
        self.0
            .get(name)
            .or_else(|| self.0.get(&php::upper_snake(name)))
    }

    pub(crate) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).and_then(php::text)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(php::int)
    }

    pub(crate) fn truth(&self, name: &str) -> Option<bool> {
        self.get(name).map(php::truth)
    }

    /// A nested map; anything that is no map counts as absent.
    pub(crate) fn inner(&self, name: &str) -> Option<Fields<'_>> {
        self.get(name).and_then(Fields::of)
    }

    pub(crate) fn to_value(&self) -> Value {
        Value::Object(self.0.clone().into_owned())
    }
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(asked: &Asked) -> Option<String> {
    let (scheme, token) = asked.header(&AUTHORIZATION).split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

fn is_json(content_type: &str) -> bool {
    content_type
        .split(';')
        .next()
        .is_some_and(|media| media.trim() == "application/json")
}

/// The order of the keys under `cmd`: the map type sorts, a batch must not.
fn json_order(body: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Outer {
        cmd: Keys,
    }
    serde_json::from_slice(body)
        .map(|outer: Outer| outer.cmd.0)
        .unwrap_or_default()
}

struct Keys(Vec<String>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Keys;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map or a list of commands")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys: Vec<String> = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    if !keys.contains(&key) {
                        keys.push(key);
                    }
                }
                Ok(Keys(keys))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    keys.push(keys.len().to_string());
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_any(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_body_wins_over_the_query() {
        let (params, encoding) = Params::read(
            "botId=1&x=2",
            "application/json; charset=utf-8",
            br#"{"botId":5}"#,
        );
        assert_eq!(Value::Object(params.map), json!({"botId": 5, "x": "2"}));
        assert_eq!(encoding, Encoding::Json);
    }

    #[test]
    fn broken_json_leaves_no_parameters() {
        let (params, _) = Params::read("", "application/json", b"{\"botId\":5");
        assert!(params.map.is_empty());
    }

    #[test]
    fn another_media_type_is_a_form() {
        let (params, encoding) = Params::read("", "application/json+x", b"botId=5");
        assert_eq!(Value::Object(params.map), json!({"botId": "5"}));
        assert_eq!(encoding, Encoding::Form);
    }

    #[test]
    fn reserved_names_never_reach_a_method() {
        let (params, _) = Params::read("", "application/json", br#"{"start":5,"auth":"x","a":1}"#);
        assert_eq!(Value::Object(params.map), json!({"a": 1}));
    }

    #[test]
    fn upper_case_names_are_the_same_names() {
        let (params, _) = Params::read("BOT_ID=7", "", b"");
        assert_eq!(params.fields().int("botId"), Some(7));
    }

    #[test]
    fn commands_keep_the_order_they_were_sent_in() {
        let (params, _) = Params::read("", "application/json", br#"{"cmd":{"z":"a","b":"c"}}"#);
        assert_eq!(params.cmd_order, ["z", "b"]);
        let (params, _) = Params::read("", "text/plain", b"cmd[z]=a&cmd%5Bb%5D=c");
        assert_eq!(params.cmd_order, ["z", "b"]);
    }
}
