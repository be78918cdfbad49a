//! The parameters of a call, written down once.
//!
//! A call may wait long and be sent more than once, and ten thousand may wait: what waits is the text
//! that is sent, which is a fraction of the tree that it was made of.

use std::{fmt, ops::Range};

use serde_json::{Map, Value};

use crate::portal::wire::form;

/// The parameters of a call as documented, in the order in which they were given.
#[derive(Clone, Default)]
pub(in crate::portal) struct Params {
    /// The members of a JSON object, without its braces.
    json: Vec<u8>,
    members: Vec<Member>,
}

#[derive(Clone)]
struct Member {
    name: &'static str,
    /// Where its value is written.
    value: Range<u32>,
}

impl Params {
    /// Adds one, whose name is not there yet and needs no escapes.
    pub(in crate::portal) fn add(&mut self, name: &'static str, value: &Value) {
        debug_assert!(self.get(name).is_none(), "{name} is given twice");
        if !self.json.is_empty() {
            self.json.push(b',');
        }
        self.json.push(b'"');
        self.json.extend_from_slice(name.as_bytes());
        self.json.extend_from_slice(b"\":");
        let from = self.json.len();
        serde_json::to_writer(&mut self.json, value)
            .expect("a JSON value can be written, and memory does not fail");
        // What a caller sends is bounded far below 4 GB.
        let offset = |at| u32::try_from(at).unwrap_or(u32::MAX);
        let value = offset(from)..offset(self.json.len());
        self.members.push(Member { name, value });
    }

    /// The members as JSON, without the braces around them.
    pub(in crate::portal) fn json(&self) -> &[u8] {
        &self.json
    }

    /// Each name with its value as JSON.
    pub(in crate::portal) fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let value = |member: &Member| {
            let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
            let written = self.json.get(at(member.value.start)..at(member.value.end));
            (member.name, written.unwrap_or_default())
        };
        self.members.iter().map(value)
    }

    /// A value as JSON.
    pub(in crate::portal) fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find_map(|(other, value)| (other == name).then_some(value))
    }

    /// As a tree, to be looked through.
    pub(in crate::portal) fn to_map(&self) -> Map<String, Value> {
        let read = |value| serde_json::from_slice(value).unwrap_or_default();
        self.iter()
            .map(|(name, value)| (name.to_owned(), read(value)))
            .collect()
    }

    /// As a form.
    pub(in crate::portal) fn to_form(&self) -> Result<String, form::Unsayable> {
        form::encode(&self.to_map(), form::Booleans::YesNo)
    }

    /// Gives back what is not used.
    pub(in crate::portal) fn shrink(&mut self) {
        self.json.shrink_to_fit();
        self.members.shrink_to_fit();
    }
}

/// Names only: values are what people say.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.members.iter().map(|member| member.name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_found_as_they_were_given() {
        let fields = json!({"message": "a \"b\", {c}: \u{e9}", "attach": [1, null, {"x": []}]});
        let mut params = Params::default();
        params.add("botId", &json!(456));
        params.add("fields", &fields);
        params.add("dialogId", &json!("chat1"));
        assert_eq!(params.get("botId"), Some(&b"456"[..]));
        assert_eq!(params.get("dialogId"), Some(&b"\"chat1\""[..]));
        assert_eq!(params.get("botid"), None);
        let whole = [b"{", params.json(), b"}"].concat();
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        let wanted = json!({"botId": 456, "fields": fields, "dialogId": "chat1"});
        assert_eq!(whole, wanted);
        assert_eq!(Value::Object(params.to_map()), wanted);
    }

    #[test]
    fn no_parameters_are_an_empty_text() {
        let params = Params::default();
        assert!(params.json().is_empty());
        assert!(params.to_map().is_empty());
        assert_eq!(params.to_form().unwrap(), "");
    }
}
