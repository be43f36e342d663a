//! Reading JSON documents as Mender's tools do: keys in any case, `null` like absent.

use serde_json::{Map, Value};

use crate::Error;

/// One JSON object whose fields are taken out by name.
pub(crate) struct Object {
    document: &'static str,
    fields: Map<String, Value>,
}

impl Object {
    /// Reads a whole document; anything but white space after the object is refused.
    pub(crate) fn parse(document: &'static str, bytes: &[u8]) -> Result<Self, Error> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| Error::Json { document, reason: error.to_string() })?;
        Self::from_value(document, "the top level", value)
    }

    fn from_value(document: &'static str, what: &str, value: Value) -> Result<Self, Error> {
        match value {
            Value::Object(fields) => Ok(Self { document, fields }),
            _ => Err(Error::Json { document, reason: format!("{what} is not an object") }),
        }
    }

    pub(crate) fn into_fields(self) -> Map<String, Value> {
        self.fields
    }

    /// Whether there is a field of exactly this key.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Takes a field; an exact key wins over one in another case.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        let value = self.fields.remove(key).or_else(|| {
            let other =
                self.fields.keys().find(|other| other.eq_ignore_ascii_case(key)).cloned()?;
            self.fields.remove(&other)
        });
        value.filter(|value| !value.is_null())
    }

    pub(crate) fn take_string(&mut self, key: &str) -> Result<Option<String>, Error> {
        self.take(key).map(|value| self.string(key, value)).transpose()
    }

    pub(crate) fn take_unsigned(&mut self, key: &str) -> Result<Option<u64>, Error> {
        self.take(key)
            .map(|value| value.as_u64().ok_or_else(|| self.wrong(key, "is not a whole number")))
            .transpose()
    }

    pub(crate) fn take_list(&mut self, key: &str) -> Result<Option<Vec<Value>>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(_) => Err(self.wrong(key, "is not a list")),
        }
    }

    pub(crate) fn take_strings(&mut self, key: &str) -> Result<Option<Vec<String>>, Error> {
        self.take_list(key)?
            .map(|values| values.into_iter().map(|value| self.string(key, value)).collect())
            .transpose()
    }

    pub(crate) fn take_object(&mut self, key: &str) -> Result<Option<Self>, Error> {
        self.take(key).map(|value| Self::from_value(self.document, key, value)).transpose()
    }

    /// Refuses fields that nobody took.
    pub(crate) fn deny_others(&self) -> Result<(), Error> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(key) => Err(self.wrong(key, "is not a known field")),
        }
    }

    pub(crate) fn string(&self, key: &str, value: Value) -> Result<String, Error> {
        match value {
            Value::String(text) => Ok(text),
            _ => Err(self.wrong(key, "is not a string")),
        }
    }

    fn wrong(&self, key: &str, what: &str) -> Error {
        Error::Json { document: self.document, reason: format!("{key:?} {what}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        Object::parse("test", text.as_bytes()).unwrap()
    }

    #[test]
    fn keys_match_in_any_case_and_null_is_absent() {
        let mut fields = object(r#"{"Name":"a","name":"b","GROUP":null,"list":["x"]}"#);
        assert_eq!(fields.take_string("name").unwrap(), Some("b".into()));
        assert_eq!(fields.take_string("group").unwrap(), None);
        assert_eq!(fields.take_strings("LIST").unwrap(), Some(vec!["x".into()]));
    }

    #[test]
    fn wrong_shapes_name_the_field() {
        let error = object(r#"{"name":1}"#).take_string("name").unwrap_err();
        assert_eq!(error.to_string(), r#"test is not valid: "name" is not a string"#);
        assert!(Object::parse("test", b"[]").is_err());
        assert!(Object::parse("test", b"{} x").is_err());
        assert!(object(r#"{"x":1}"#).deny_others().is_err());
    }
}
