//! How times are written as JSON, and how settings are changed by name.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Whole milliseconds.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// Seconds with a fraction.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }
}

/// A named setting that cannot be what was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsuitable {
    pub(crate) name: String,
    pub(crate) rule: String,
}

/// The settings with some of them replaced, each checked by itself.
pub(crate) fn patched<T>(current: &T, changes: &Map<String, Value>) -> Result<T, Unsuitable>
where
    T: Clone + Serialize + DeserializeOwned,
{
    let mut settings = current.clone();
    for (name, value) in changes {
        let unsuitable = |rule: String| Unsuitable {
            name: name.clone(),
            rule,
        };
        let written = serde_json::to_value(&settings).map_err(|e| unsuitable(e.to_string()))?;
        let Value::Object(mut all) = written else {
            return Err(unsuitable("settings are no map".to_owned()));
        };
        let Some(place) = all.get_mut(name) else {
            return Err(unsuitable("there is no setting of this name".to_owned()));
        };
        *place = value.clone();
        settings =
            serde_json::from_value(Value::Object(all)).map_err(|e| unsuitable(e.to_string()))?;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::quirks::{IdShape, Quirks};

    fn change(name: &str, value: Value) -> Result<Quirks, Unsuitable> {
        let changes = [(name.to_owned(), value)].into_iter().collect();
        patched(&Quirks::default(), &changes)
    }

    #[test]
    fn a_setting_is_changed_by_its_name_and_the_others_stay() {
        let quirks = change("ids", json!("strings")).unwrap();
        assert_eq!(quirks.ids, IdShape::Strings);
        assert!(quirks.escaped_slashes);
    }

    #[test]
    fn unknown_names_and_wrong_values_are_refused_by_name() {
        assert_eq!(change("idz", json!(1)).unwrap_err().name, "idz");
        let wrong = change("ids", json!("sideways")).unwrap_err();
        assert_eq!(wrong.name, "ids");
        assert!(wrong.rule.contains("sideways"));
    }
}
