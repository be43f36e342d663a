//! A scope's attributes as the JSON that a row holds.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::model::{Attributes, Held, Value};

/// What is written: name -> {"v": value, "d": description, "t": time}.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Stored<'a>(BTreeMap<&'a str, StoredHeld<'a>>);

#[derive(Serialize)]
struct StoredHeld<'a> {
    #[serde(rename = "v")]
    value: StoredValue<'a>,
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    time: Option<DateTime<Utc>>,
}

struct StoredValue<'a>(&'a Value);

/// What is read. Values stay text at first: a number must come back to the last bit, because
/// the index is derived from it, and only the standard library's parser promises that.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Loaded(BTreeMap<String, LoadedHeld>);

#[derive(Deserialize)]
struct LoadedHeld {
    #[serde(rename = "v")]
    value: Box<RawValue>,
    #[serde(rename = "d")]
    description: Option<String>,
    #[serde(rename = "t")]
    time: Option<DateTime<Utc>>,
}

impl<'a> From<&'a Attributes> for Stored<'a> {
    fn from(attributes: &'a Attributes) -> Self {
        let stored = attributes.iter().map(|(name, held)| {
            let Held { value, description, time } = held;
            let description = description.as_deref();
            (name.as_str(), StoredHeld { value: StoredValue(value), description, time: *time })
        });
        Self(stored.collect())
    }
}

impl TryFrom<Loaded> for Attributes {
    type Error = serde_json::Error;

    fn try_from(loaded: Loaded) -> Result<Self, Self::Error> {
        let held = |(name, held): (String, LoadedHeld)| {
            let LoadedHeld { value, description, time } = held;
            Ok((name, Held { value: read_value(value.get())?, description, time }))
        };
        loaded.0.into_iter().map(held).collect()
    }
}

impl Serialize for StoredValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Text(text) => text.serialize(serializer),
            Value::Number(number) => number.serialize(serializer),
            Value::Flag(flag) => flag.serialize(serializer),
            Value::Texts(texts) => texts.serialize(serializer),
            Value::Numbers(numbers) => numbers.serialize(serializer),
            // Only Rota's own attributes hold times, and those are columns.
            Value::Time(time) => time.serialize(serializer),
        }
    }
}

fn read_value(json: &str) -> Result<Value, serde_json::Error> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).map(Value::Text),
        Some(b't' | b'f') => serde_json::from_str(json).map(Value::Flag),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(json)?;
            if elements.iter().all(|element| element.get().starts_with('"')) {
                return serde_json::from_str(json).map(Value::Texts);
            }
            let numbers: Result<_, _> =
                elements.into_iter().map(|element| read_number(element.get())).collect();
            numbers.map(Value::Numbers)
        }
        _ => read_number(json).map(Value::Number),
    }
}

fn read_number(json: &str) -> Result<f64, serde_json::Error> {
    json.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn survives(value: Value) -> Result<(), TestCaseError> {
        let held = Held { value, description: Some("d".to_owned()), time: None };
        let attributes = Attributes::from([("a".to_owned(), held)]);
        let json = serde_json::to_string(&Stored::from(&attributes)).unwrap();
        let loaded: Loaded = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(Attributes::try_from(loaded).unwrap(), attributes);
        Ok(())
    }

    proptest! {
        #[test]
        fn every_value_comes_back_to_the_bit(
            number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL,
            text: String,
            flag: bool,
        ) {
            survives(Value::Number(number))?;
            survives(Value::Numbers(vec![number, 0.0]))?;
            survives(Value::Texts(vec![text.clone(), String::new()]))?;
            survives(Value::Text(text))?;
            survives(Value::Flag(flag))?;
            survives(Value::Texts(Vec::new()))?;
        }
    }
}
