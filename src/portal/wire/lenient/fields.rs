//! One object, read field by field.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Unreadable, filled, flag, float, int, list, map, object, text, time};

/// The fields of one object, read leniently by name.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(Option<&'a Map<String, Value>>);

impl<'a> Fields<'a> {
    /// The fields of an object, or of PHP's empty one.
    ///
    /// # Errors
    /// When the value is anything else.
    pub fn of(value: &'a Value) -> Result<Self, Unreadable> {
        match value {
            Value::Object(members) => Ok(Self(Some(members))),
            Value::Array(items) if items.is_empty() => Ok(Self(None)),
            other => Err(Unreadable::shape("", "an object", Some(other))),
        }
    }

    /// The fields of an object, none of anything else.
    #[must_use]
    pub fn or_none(value: Option<&'a Value>) -> Self {
        Self(value.and_then(object))
    }

    /// A field as it stands. `null` is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.0?.get(name).filter(|value| !value.is_null())
    }

    /// See [`int`].
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(int)
    }

    /// An id that points at something: zero points at nothing.
    #[must_use]
    pub fn reference(&self, name: &str) -> Option<i64> {
        self.int(name).filter(|id| *id != 0)
    }

    /// See [`float`].
    #[must_use]
    pub fn float(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(float)
    }

    /// See [`flag`].
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).and_then(flag)
    }

    /// See [`text`].
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(text)
    }

    /// See [`filled`].
    #[must_use]
    pub fn filled(&self, name: &str) -> Option<String> {
        self.get(name).and_then(filled)
    }

    /// See [`time`].
    #[must_use]
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        self.get(name).and_then(time)
    }

    /// The whole numbers of a list; what is no number is left out.
    #[must_use]
    pub fn ints(&self, name: &str) -> Vec<i64> {
        let items = self.get(name).and_then(list).unwrap_or_default();
        items.into_iter().filter_map(int).collect()
    }

    /// A map as it stands; empty when absent, `[]` or of another shape.
    #[must_use]
    pub fn map(&self, name: &str) -> Map<String, Value> {
        self.get(name).cloned().and_then(map).unwrap_or_default()
    }

    /// An embedded thing that may be absent, empty or beyond understanding, all of which read as none.
    #[must_use]
    pub fn maybe<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Result<T, Unreadable>,
    ) -> Option<T> {
        self.get(name).and_then(|value| read(value).ok())
    }

    /// A required whole number.
    ///
    /// # Errors
    /// Names the field when it is missing or no number.
    pub fn require_int(&self, name: &str) -> Result<i64, Unreadable> {
        self.int(name)
            .ok_or_else(|| Unreadable::shape(name, "a whole number", self.get(name)))
    }

    /// A required text with at least one character.
    ///
    /// # Errors
    /// Names the field when it is missing, empty or no text.
    pub fn require_text(&self, name: &str) -> Result<String, Unreadable> {
        self.filled(name)
            .ok_or_else(|| Unreadable::shape(name, "a text", self.get(name)))
    }

    /// A required embedded thing.
    ///
    /// # Errors
    /// Names the field, or the field inside it, that cannot be read.
    pub fn require<T>(
        &self,
        name: &str,
        read: impl FnOnce(&'a Value) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        match self.get(name) {
            Some(value) => read(value).map_err(|error| error.within(name)),
            None => Err(Unreadable::shape(name, "an object", None)),
        }
    }

    /// A required list of things.
    ///
    /// # Errors
    /// Names the field when it is no list, or the first item that cannot be read.
    pub fn require_all<T>(
        &self,
        name: &str,
        read: impl Fn(&'a Value) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, Unreadable> {
        let items = self
            .0
            .and_then(|members| members.get(name))
            .and_then(list)
            .ok_or_else(|| Unreadable::shape(name, "a list", self.get(name)))?;
        let read_one =
            |(index, item)| read(item).map_err(|error| error.within(&format!("{name}[{index}]")));
        items.into_iter().enumerate().map(read_one).collect()
    }

    /// A list of things of which those beyond understanding are left out.
    #[must_use]
    pub fn all<T>(&self, name: &str, read: impl Fn(&'a Value) -> Result<T, Unreadable>) -> Vec<T> {
        let items = self.get(name).and_then(list).unwrap_or_default();
        items
            .into_iter()
            .filter_map(|item| read(item).ok())
            .collect()
    }
}
