//! A device's identity: a JSON object, and the hash of its canonical form that finds it again.

use std::fmt::Write;

use serde_json::{Map, Value};

/// The longest identity data, in bytes of JSON text. Identities are a few addresses and serial
/// numbers; what is longer belongs into the inventory.
pub(crate) const MAX_IDENTITY_BYTES: usize = 16 * 1024;

/// The deepest nesting of identity data: events and answers wrap it, and what reads those gives
/// up at 128.
const MAX_DEPTH: usize = 32;

/// The largest whole number that a double holds exactly: 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Attributes that tell a device from all others of its tenant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identity {
    data: Map<String, Value>,
    hash: [u8; 32],
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidIdentity {
    #[error("identity data must be at most {MAX_IDENTITY_BYTES} bytes long")]
    TooLong,
    #[error("identity data must be a JSON object: {0}")]
    NotJson(String),
    #[error("identity data must not contain the character U+0000")]
    Nul,
    #[error("identity data must be nested at most {MAX_DEPTH} deep")]
    TooDeep,
}

impl Identity {
    /// Reads the text of a JSON object.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidIdentity> {
        if text.len() > MAX_IDENTITY_BYTES {
            return Err(InvalidIdentity::TooLong);
        }
        let data: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| InvalidIdentity::NotJson(error.to_string()))?;
        if data.iter().any(|(name, value)| name.contains('\0') || has_nul(value)) {
            return Err(InvalidIdentity::Nul);
        }
        if data.values().any(|value| depth(value) >= MAX_DEPTH) {
            return Err(InvalidIdentity::TooDeep);
        }
        Ok(Self::from_data(data))
    }

    /// An identity that was parsed before.
    pub(crate) fn from_data(data: Map<String, Value>) -> Self {
        let mut canonical = String::new();
        write_object(&data, &mut canonical);
        let digest = ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self { data, hash }
    }

    pub(crate) fn data(&self) -> &Map<String, Value> {
        &self.data
    }

    /// SHA-256 of the canonical form: keys sorted, no spaces, whole numbers without fraction.
    /// Two texts that say the same have the same.
    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

/// Whether a text somewhere in `value` holds what no text in Postgres can.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// How many lists and objects lie within each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => write_object(members, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < MAX_EXACT => {
                // Writing to a string cannot fail.
                let _ = write!(out, "{float:.0}");
            }
            _ => out.push_str(&number.to_string()),
        },
        Value::String(_) | Value::Bool(_) | Value::Null => out.push_str(&value.to_string()),
    }
}

/// Sorts by itself: whether a map of `serde_json` keeps the order of arrival is up to whoever
/// else is built with it.
fn write_object(members: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| name.as_str());
    out.push('{');
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&Value::from(name.as_str()).to_string());
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> [u8; 32] {
        *Identity::parse(text).unwrap().hash()
    }

    #[test]
    fn what_says_the_same_is_the_same_identity() {
        let one = hash(r#"{"mac":"a","serial":{"x":1,"y":[1,2]}}"#);
        assert_eq!(one, hash(r#"{ "serial" : {"y":[1.0,2e0], "x":1}, "mac":"\u0061" }"#));
        assert_ne!(one, hash(r#"{"mac":"a","serial":{"x":1,"y":[2,1]}}"#));
        assert_ne!(hash(r#"{"a":1}"#), hash(r#"{"a":"1"}"#));
        assert_ne!(hash(r#"{"a":1.5}"#), hash(r#"{"a":1}"#));
        assert_eq!(hash(r#"{"a":1,"a":2}"#), hash(r#"{"a":2}"#));
    }

    #[test]
    fn only_objects_of_bearable_size_are_identities() {
        for text in ["", "foo", "[]", "\"{}\"", "null", "{\"a\":1} x"] {
            assert!(matches!(Identity::parse(text), Err(InvalidIdentity::NotJson(_))), "{text}");
        }
        let deep = format!("{}{}", "{\"a\":".repeat(300), "1".to_owned() + &"}".repeat(300));
        assert!(matches!(Identity::parse(&deep), Err(InvalidIdentity::NotJson(_))));
        let nested =
            |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(Identity::parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(Identity::parse(&nested(MAX_DEPTH + 1)), Err(InvalidIdentity::TooDeep));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_IDENTITY_BYTES));
        assert_eq!(Identity::parse(&long), Err(InvalidIdentity::TooLong));
    }

    #[test]
    fn nul_is_refused_wherever_it_hides() {
        for text in [r#"{"a":"\u0000"}"#, r#"{"\u0000":1}"#, r#"{"a":[{"b":"x\u0000"}]}"#] {
            assert_eq!(Identity::parse(text), Err(InvalidIdentity::Nul), "{text}");
        }
    }
}
