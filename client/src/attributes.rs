//! What scripts tell about the device: lines of `key=value`.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

/// Attributes by key, sorted; a key that occurs several times has several values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(BTreeMap<String, Vec<String>>);

/// A line is not of the form `key=value`.
#[derive(Debug, PartialEq, Eq)]
pub struct MalformedLine(String);

impl fmt::Display for MalformedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected lines of the form key=value, found {:?}", self.0)
    }
}

impl std::error::Error for MalformedLine {}

impl Attributes {
    /// Reads a script's output. Empty lines are skipped; values may contain `=`.
    pub fn parse(output: &[u8]) -> Result<Self, MalformedLine> {
        let mut attributes = Self::default();
        for line in String::from_utf8_lossy(output).lines().filter(|line| !line.trim().is_empty()) {
            match line.split_once('=') {
                Some((key, value)) if !key.is_empty() => attributes.add(key, value),
                _ => return Err(MalformedLine(line.to_owned())),
            }
        }
        Ok(attributes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub fn has(&self, key: &str, value: &str) -> bool {
        self.0.get(key).is_some_and(|values| values.iter().any(|present| present == value))
    }

    pub fn add(&mut self, key: &str, value: &str) {
        self.0.entry(key.to_owned()).or_default().push(value.to_owned());
    }

    /// Adds all values of `other` behind those that are there.
    pub fn merge(&mut self, other: Self) {
        for (key, values) in other.0 {
            self.0.entry(key).or_default().extend(values);
        }
    }

    /// In JSON: one value is a string, several are a list.
    pub fn into_json(self) -> impl Iterator<Item = (String, Value)> {
        self.0.into_iter().map(|(key, mut values)| {
            let value = match values.pop() {
                Some(only) if values.is_empty() => Value::from(only),
                Some(last) => {
                    values.push(last);
                    Value::from(values)
                }
                None => Value::from(values),
            };
            (key, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_repeated_keys_are_lists() {
        let parsed = Attributes::parse(b"b=2\na=1\n\nb=3=x\n").unwrap();
        let json: serde_json::Map<_, _> = parsed.into_json().collect();
        assert_eq!(Value::from(json).to_string(), r#"{"a":"1","b":["2","3=x"]}"#);
    }

    #[test]
    fn a_line_without_a_key_is_refused() {
        assert!(Attributes::parse(b"a=1\noops\n").is_err());
        assert!(Attributes::parse(b"=1\n").is_err());
    }
}
