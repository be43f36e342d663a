//! Values of attributes: a string, a number, a boolean, or a list of strings or of numbers.

use rota_proto::inventory::v1::{NumberList, TextList, Value as Wire, value::Kind};
use serde_json::{Number, Value};

use super::Malformed;
use crate::error::Problem;

/// Reads a value; `what` names it in the error.
pub(super) fn to_wire(value: Value, what: &str) -> Result<Wire, Problem> {
    let kind = match value {
        Value::String(text) => Kind::Text(text),
        Value::Number(number) => Kind::Number(float(&number)),
        Value::Bool(flag) => Kind::Flag(flag),
        Value::Array(items) => list(items, what)?,
        Value::Null => return Err(Problem::invalid(format!("{what}: value is missing"))),
        Value::Object(_) => {
            let error = format!("{what}: value must be a string, a number or a list of them");
            return Err(Problem::invalid(error));
        }
    };
    Ok(Wire { kind: Some(kind) })
}

fn list(items: Vec<Value>, what: &str) -> Result<Kind, Problem> {
    let wrong = || {
        let error = format!("{what}: a list must hold either strings or numbers");
        Problem::invalid(error)
    };
    if matches!(items.first(), Some(Value::Number(_))) {
        let numbers = items.iter().map(|item| match item {
            Value::Number(number) => Some(float(number)),
            _ => None,
        });
        let values = numbers.collect::<Option<_>>().ok_or_else(wrong)?;
        return Ok(Kind::Numbers(NumberList { values }));
    }
    let texts = items.into_iter().map(|item| match item {
        Value::String(text) => Some(text),
        _ => None,
    });
    let values = texts.collect::<Option<_>>().ok_or_else(wrong)?;
    Ok(Kind::Texts(TextList { values }))
}

/// JSON's numbers are floats to Mender's servers, whatever their size.
fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or(0.0)
}

/// A text as a value.
pub(super) fn text(text: &str) -> Wire {
    Wire { kind: Some(Kind::Text(text.to_owned())) }
}

/// A number as a value.
pub(super) fn number(number: f64) -> Wire {
    Wire { kind: Some(Kind::Number(number)) }
}

/// A truth value as a value.
pub(super) fn flag(flag: bool) -> Wire {
    Wire { kind: Some(Kind::Flag(flag)) }
}

/// Writes a value.
pub(super) fn to_rest(value: Option<Wire>) -> Result<Value, Malformed> {
    let kind = value.and_then(|value| value.kind).ok_or(Malformed("attribute value"))?;
    Ok(match kind {
        Kind::Text(text) => Value::String(text),
        Kind::Number(number) => json_number(number),
        Kind::Flag(flag) => Value::Bool(flag),
        Kind::Texts(list) => list.values.into_iter().map(Value::String).collect(),
        Kind::Numbers(list) => list.values.into_iter().map(json_number).collect(),
    })
}

/// Writes whole numbers without a fraction, as Mender's servers do.
fn json_number(number: f64) -> Value {
    /// 2^53: up to here every whole number is a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 2^53")]
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_every_kind_survive() {
        for value in [
            json!("a"),
            json!(""),
            json!(7),
            json!(-2.5),
            json!(true),
            json!(["a", "b"]),
            json!([1, 2.5]),
            json!([]),
        ] {
            let wire = to_wire(value.clone(), "x").unwrap();
            assert_eq!(to_rest(Some(wire)).unwrap(), value);
        }
    }

    #[test]
    fn mixed_and_nested_values_are_refused() {
        for value in
            [json!(null), json!({}), json!(["a", 1]), json!([1, "a"]), json!([[]]), json!([true])]
        {
            assert!(to_wire(value.clone(), "x").is_err(), "{value}");
        }
    }
}
