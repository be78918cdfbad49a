//! Between protobuf's `Struct` and JSON.

use prost_types::{ListValue, Struct, Value as PbValue, value::Kind};
use serde_json::{Map, Number, Value};

/// Integers up to this are exact in a double, which is all `Struct` knows.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// JSON of a `Value`. Whole numbers become integers; what is not a number becomes null.
pub(crate) fn from_value(value: &PbValue) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(truth)) => Value::Bool(*truth),
        Some(Kind::NumberValue(number)) => self::number(*number),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::ListValue(list)) => list.values.iter().map(from_value).collect(),
        Some(Kind::StructValue(fields)) => Value::Object(from_struct(fields)),
    }
}

/// JSON of a `Struct`.
pub(crate) fn from_struct(fields: &Struct) -> Map<String, Value> {
    fields
        .fields
        .iter()
        .map(|(key, value)| (key.clone(), from_value(value)))
        .collect()
}

/// A `Value` of JSON. Integers beyond 2^53 become text, so that no digit is lost.
pub(crate) fn to_value(value: &Value) -> PbValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::Number(number) => match number.as_f64() {
            Some(double) if double.abs() <= EXACT || number.is_f64() => Kind::NumberValue(double),
            _ => Kind::StringValue(number.to_string()),
        },
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(list) => Kind::ListValue(ListValue {
            values: list.iter().map(to_value).collect(),
        }),
        Value::Object(fields) => Kind::StructValue(to_struct(fields)),
    };
    PbValue { kind: Some(kind) }
}

/// A `Struct` of a JSON object.
pub(crate) fn to_struct(fields: &Map<String, Value>) -> Struct {
    Struct {
        fields: fields
            .iter()
            .map(|(key, value)| (key.clone(), to_value(value)))
            .collect(),
    }
}

fn number(double: f64) -> Value {
    if double.fract() == 0.0 && double.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Value::from(double as i64);
    }
    Number::from_f64(double).map_or(Value::Null, Value::Number)
}
