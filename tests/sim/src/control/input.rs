//! Typed access to the members of a JSON object, with refusals that name the member.

use serde_json::{Map, Value};

use super::Refused;

/// The members of a request's body or query.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    map: &'a Map<String, Value>,
}

impl<'a> Input<'a> {
    pub(super) fn of(map: &'a Map<String, Value>) -> Self {
        Self { map }
    }

    /// Refuses members that nobody would look at.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refused> {
        match self.map.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Refused::field(name, "is not known here")),
            None => Ok(()),
        }
    }

    /// The value of this name; null counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn all(&self) -> &'a Map<String, Value> {
        self.map
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, Refused> {
        required(name, self.optional_text(name)?)
    }

    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&'a str>, Refused> {
        self.read(name, Value::as_str, "has to be a text")
    }

    pub(super) fn id(&self, name: &str) -> Result<i64, Refused> {
        required(name, self.optional_id(name)?)
    }

    /// A whole number; in a query it comes as text.
    pub(super) fn optional_id(&self, name: &str) -> Result<Option<i64>, Refused> {
        self.read(name, crate::php::int, "has to be a whole number")
    }

    pub(super) fn count(&self, name: &str) -> Result<Option<u64>, Refused> {
        self.read(name, Value::as_u64, "has to be a whole number from 0")
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Refused> {
        self.read(name, Value::as_f64, "has to be a number")
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refused> {
        self.read(name, Value::as_bool, "has to be true or false")
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Input<'a>>, Refused> {
        let map = self.read(name, Value::as_object, "has to be an object")?;
        Ok(map.map(Self::of))
    }

    pub(super) fn ids(&self, name: &str) -> Result<Vec<i64>, Refused> {
        self.list(name, Value::as_i64, "has to be a whole number")
    }

    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Refused> {
        if self.get(name).is_none() {
            return Ok(None);
        }
        let owned = |value: &Value| value.as_str().map(ToOwned::to_owned);
        self.list(name, owned, "has to be a text").map(Some)
    }

    fn list<T>(
        &self,
        name: &str,
        read: impl Fn(&Value) -> Option<T>,
        rule: &str,
    ) -> Result<Vec<T>, Refused> {
        let list = self.read(name, Value::as_array, "has to be a list")?;
        let members = required(name, list)?.iter().enumerate();
        members
            .map(|(index, value)| {
                read(value).ok_or_else(|| Refused::field(format!("{name}[{index}]"), rule))
            })
            .collect()
    }

    fn read<T>(
        &self,
        name: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        rule: &str,
    ) -> Result<Option<T>, Refused> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(Refused::field(name, rule)),
        }
    }
}

fn required<T>(name: &str, value: Option<T>) -> Result<T, Refused> {
    value.ok_or_else(|| Refused::field(name, "is required"))
}
