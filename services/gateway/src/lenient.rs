//! Reads JSON the way Mender's servers do, so that no body they take is refused here.
//!
//! Their decoder matches the names of members without regard to case, ignores unknown members
//! and takes the last of several with one name; `null` leaves a member at its default. All of
//! that is true for members of structs alone: the keys of free-form maps stay as they are. A
//! value of a wrong type is an error that names its place.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess,
        SeqAccess, Unexpected, VariantAccess, Visitor, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

/// Reads a value from a whole body.
pub(crate) fn from_slice<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let tree: Tree = serde_json::from_slice(body).map_err(de::Error::custom)?;
    T::deserialize(tree)
}

/// What is wrong with a body, and where: `messages[2].level: invalid type: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    path: String,
    message: String,
}

impl Error {
    fn at_member(mut self, name: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{separator}{}", self.path);
        self
    }

    fn at_index(mut self, index: usize) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{separator}{}", self.path);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: String::new(), message: message.to_string() }
    }
}

/// A JSON value with its members in the order they came.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn unexpected(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Other("null"),
            Self::Bool(value) => Unexpected::Bool(*value),
            Self::Unsigned(value) => Unexpected::Unsigned(*value),
            Self::Signed(value) => Unexpected::Signed(*value),
            Self::Float(value) => Unexpected::Float(*value),
            Self::Text(_) => Unexpected::Other("string"),
            Self::List(_) => Unexpected::Other("list"),
            Self::Object(_) => Unexpected::Other("object"),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Object(members))
    }
}

impl<'de> Deserializer<'de> for Tree {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Float(value) => visitor.visit_f64(value),
            Self::Text(value) => visitor.visit_string(value),
            Self::List(items) => visitor.visit_seq(Items { rest: items.into_iter(), index: 0 }),
            Self::Object(members) => visitor.visit_map(Members::all(members)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_str(""),
            value => value.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => Self::List(Vec::new()).deserialize_any(visitor),
            value => value.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Null => Self::Object(Vec::new()).deserialize_any(visitor),
            value => value.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Null => visitor.visit_map(Members::all(Vec::new())),
            Self::Object(members) => visitor.visit_map(Members::of(fields, members)),
            // A derived visitor would take a list for the fields in their order.
            other => Err(de::Error::invalid_type(other.unexpected(), &"an object")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Text(word) => visitor.visit_enum(Word(word)),
            other => Err(de::Error::invalid_type(other.unexpected(), &"a string")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit
        unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The word of an enum without data.
struct Word(String);

impl<'de> EnumAccess<'de> for Word {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let variant: StrDeserializer<'_, Error> = self.0.as_str().into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Error> {
        Err(de::Error::custom("expected an object"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("expected an object"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(de::Error::custom("expected an object"))
    }
}

struct Items {
    rest: std::vec::IntoIter<Tree>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(item) = self.rest.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(item).map(Some).map_err(|error| error.at_index(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The members of an object, under the names that the target knows.
struct Members {
    rest: std::vec::IntoIter<(String, Tree)>,
    current: Option<(String, Tree)>,
}

impl Members {
    fn all(members: Vec<(String, Tree)>) -> Self {
        Self { rest: members.into_iter(), current: None }
    }

    /// The members that a struct with these fields takes: the last of each.
    fn of(fields: &'static [&'static str], members: Vec<(String, Tree)>) -> Self {
        let mut taken: Vec<(String, Tree)> = Vec::with_capacity(members.len().min(fields.len()));
        for (name, value) in members {
            let Some(field) = field(fields, &name) else { continue };
            match (value, taken.iter_mut().find(|(name, _)| name == field)) {
                (Tree::Null, _) => {}
                (value, Some(earlier)) => earlier.1 = value,
                (value, None) => taken.push((field.to_owned(), value)),
            }
        }
        Self::all(taken)
    }
}

/// The field that a member's name means: the same, or else the same in another case.
fn field(fields: &'static [&'static str], name: &str) -> Option<&'static str> {
    let exact = fields.iter().find(|field| **field == name);
    exact.or_else(|| fields.iter().find(|field| field.eq_ignore_ascii_case(name))).copied()
}

impl<'de> MapAccess<'de> for Members {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        self.current = self.rest.next();
        let Some((name, _)) = &self.current else { return Ok(None) };
        let name: StrDeserializer<'_, Error> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((name, value)) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its name"));
        };
        seed.deserialize(value).map_err(|error| error.at_member(&name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Sample {
        device_type: String,
        count: u32,
        flag: bool,
        tags: Vec<String>,
        provides: BTreeMap<String, String>,
        inner: Option<Inner>,
        value: Option<Value>,
    }

    #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        #[serde(rename = "type")]
        kind: String,
    }

    fn read(text: &str) -> Result<Sample, String> {
        from_slice(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_of_members_have_no_case_but_keys_of_maps_do() {
        let sample = read(
            r#"{"Device_Type":"a","COUNT":3,"Provides":{"Rootfs.Version":"1"},
                "INNER":{"Type":"x"},"value":{"Key":[{"K":null}]},"unknown":[1]}"#,
        )
        .unwrap();
        assert_eq!((sample.device_type.as_str(), sample.count), ("a", 3));
        assert_eq!(sample.provides, BTreeMap::from([("Rootfs.Version".into(), "1".into())]));
        assert_eq!(sample.inner, Some(Inner { kind: "x".into() }));
        assert_eq!(sample.value, Some(serde_json::json!({"Key": [{"K": null}]})));
    }

    #[test]
    fn the_last_of_one_name_counts_and_null_changes_nothing() {
        let sample = read(r#"{"count":1,"COUNT":2,"Count":null,"device_type":null}"#).unwrap();
        assert_eq!((sample.count, sample.device_type.as_str()), (2, ""));
        assert_eq!(read("null").unwrap(), Sample::default());
        assert_eq!(read(r#"{"tags":["a",null]}"#).unwrap().tags, ["a", ""]);
    }

    #[test]
    fn wrong_types_are_named_with_their_place() {
        let error = |text| read(text).unwrap_err();
        assert!(error(r#"{"count":"1"}"#).starts_with("count: invalid type"));
        assert!(error(r#"{"count":1.5}"#).starts_with("count: invalid type"));
        assert!(error(r#"{"count":-1}"#).starts_with("count: invalid value"));
        assert!(error(r#"{"tags":["a",7]}"#).starts_with("tags[1]: invalid type"));
        assert!(error(r#"{"inner":{"type":{}}}"#).starts_with("inner.type: invalid type"));
        assert!(error(r#"{"inner":[]}"#).starts_with("inner: invalid type: list"));
        assert!(error("[]").starts_with("invalid type: list, expected an object"));
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for text in ["", "{", "{]", "{} {}", r#"{"a":}"#, "nul", "\u{0}"] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "[a-zA-Z_. ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z_]{0,8}", inner, 0..6)
                    .prop_map(|members| members.into_iter().collect::<Value>()),
            ]
        })
    }

    fn swap_case(text: &str, pattern: u64) -> String {
        let swap = |(index, letter): (usize, char)| {
            if pattern >> (index % 64) & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
        };
        text.chars().enumerate().map(swap).collect()
    }

    proptest! {
        #[test]
        fn free_form_values_come_through_unchanged(value in any_json()) {
            let text = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(from_slice::<Value>(&text).unwrap(), value);
        }

        #[test]
        fn any_case_of_a_name_means_the_field(count: u32, pattern: u64) {
            let name = swap_case("count", pattern);
            let sample = read(&format!(r#"{{"{name}":{count}}}"#)).unwrap();
            prop_assert_eq!(sample.count, count);
        }

        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_slice::<Sample>(&body);
        }

        #[test]
        fn what_strict_reading_takes_lenient_reading_takes_too(value in any_json()) {
            let text = serde_json::to_vec(&value).unwrap();
            if let Ok(strict) = serde_json::from_slice::<Inner>(&text)
                && value.is_object()
            {
                let lenient: Inner = from_slice(&text).unwrap();
                // Another spelling of the name may say something, which strict reading ignores.
                let spelled = value.as_object().unwrap().keys()
                    .any(|key| key != "type" && key.eq_ignore_ascii_case("type"));
                prop_assert!(spelled || strict == lenient);
            }
        }
    }
}
