//! One attribute of a device: a name within a scope, and a value.

use chrono::{DateTime, Utc};

/// The longest name, in bytes (server API, inventory semantics: 1..1024).
pub(super) const MAX_NAME_BYTES: usize = 1024;
/// The longest description, in bytes.
pub(super) const MAX_DESCRIPTION_BYTES: usize = 4096;
/// The longest text, alone or in a list, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 65_536;
/// The longest list. Search sees the first [`super::term::INDEXED_ELEMENTS`] of it.
pub(super) const MAX_ELEMENTS: usize = 10_000;

/// The most that one scope of a device holds, names and descriptions counted in, in bytes.
pub(super) const MAX_SCOPE_BYTES: usize = 1 << 20;

/// Whose word an attribute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// What deviceauth knows: the identity data and the status.
    Identity,
    /// What the device reports.
    Inventory,
    /// What monitoring found.
    Monitor,
    /// What Rota keeps: times and the group.
    System,
    /// What people wrote.
    Tags,
}

impl Scope {
    /// Every scope, in the order of their words.
    pub const ALL: [Self; 5] =
        [Self::Identity, Self::Inventory, Self::Monitor, Self::System, Self::Tags];

    /// The number that stands for the scope in the database: never reused, sorted as the words.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Identity => 1,
            Self::Inventory => 2,
            Self::Monitor => 3,
            Self::System => 4,
            Self::Tags => 5,
        }
    }

    /// Reads what [`Scope::number`] wrote.
    pub(crate) fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| i16::from(scope.number()) == number)
    }
}

/// What an attribute says. Numbers are finite, texts hold no NUL.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false; only Rota's own attributes hold one.
    Flag(bool),
    /// Several texts.
    Texts(Vec<String>),
    /// Several numbers.
    Numbers(Vec<f64>),
    /// A moment; only in the `system` scope. Written as RFC 3339 outside.
    Time(DateTime<Utc>),
}

/// An attribute as somebody states it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// The name, 1..=1024 bytes.
    pub name: String,
    /// The value.
    pub value: Value,
    /// Free text for people.
    pub description: Option<String>,
    /// When it was stated (UTC), where that is known.
    pub time: Option<DateTime<Utc>>,
}

/// Why an attribute is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAttribute {
    /// The name is empty or too long.
    #[error("attribute names have 1 to {MAX_NAME_BYTES} bytes")]
    Name,
    /// There is no value.
    #[error("attribute {0:?} has no value")]
    NoValue(String),
    /// NaN or an infinity.
    #[error("attribute {0:?} holds a number that is not finite")]
    NotFinite(String),
    /// A text that Postgres, and no sane reader, will take.
    #[error("attribute {0:?} holds the character NUL, which no text may")]
    Nul(String),
    /// A text that is too long.
    #[error("attribute {0:?} holds a text of more than {MAX_TEXT_BYTES} bytes")]
    LongText(String),
    /// A list that is too long.
    #[error("attribute {0:?} holds a list of more than {MAX_ELEMENTS} elements")]
    LongList(String),
    /// A description that is too long.
    #[error("attribute {0:?} has a description of more than {MAX_DESCRIPTION_BYTES} bytes")]
    LongDescription(String),
    /// More attributes than a scope holds.
    #[error("too many attributes in scope {scope}: {count}, at most {max} are allowed")]
    TooMany {
        /// The scope's word.
        scope: &'static str,
        /// How many there would be.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// More bytes than a scope holds.
    #[error("the attributes of scope {scope} have more than {MAX_SCOPE_BYTES} bytes together")]
    TooLarge {
        /// The scope's word.
        scope: &'static str,
    },
}

impl Value {
    /// How much the value holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Texts(texts) => texts.iter().map(|text| text.len() + 8).sum(),
            Self::Numbers(numbers) => numbers.len() * 8,
            Self::Number(_) | Self::Flag(_) | Self::Time(_) => 8,
        }
    }

    /// Brings values that are equal into one form: there is one zero and one empty list.
    pub(super) fn normalise(self) -> Self {
        match self {
            Self::Number(number) => Self::Number(number + 0.0),
            Self::Numbers(numbers) if numbers.is_empty() => Self::Texts(Vec::new()),
            Self::Numbers(numbers) => {
                Self::Numbers(numbers.into_iter().map(|number| number + 0.0).collect())
            }
            other => other,
        }
    }
}

impl Attribute {
    /// Checks what somebody stated.
    pub fn check(self) -> Result<Self, InvalidAttribute> {
        check_name(&self.name)?;
        check_value(&self.name, &self.value)?;
        if let Some(description) = &self.description {
            if description.len() > MAX_DESCRIPTION_BYTES {
                return Err(InvalidAttribute::LongDescription(self.name));
            }
            if description.contains('\0') {
                return Err(InvalidAttribute::Nul(self.name));
            }
        }
        Ok(Self { value: self.value.normalise(), ..self })
    }
}

/// Checks an attribute's name.
pub(super) fn check_name(name: &str) -> Result<(), InvalidAttribute> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(InvalidAttribute::Name);
    }
    if name.contains('\0') {
        return Err(InvalidAttribute::Nul(name.replace('\0', "\u{fffd}")));
    }
    Ok(())
}

/// Checks the value of the attribute `name`.
pub(super) fn check_value(name: &str, value: &Value) -> Result<(), InvalidAttribute> {
    let too_long = |length: usize| length > MAX_ELEMENTS;
    match value {
        Value::Text(text) => check_text(name, text),
        Value::Number(number) => check_number(name, *number),
        Value::Flag(_) | Value::Time(_) => Ok(()),
        Value::Texts(texts) if too_long(texts.len()) => {
            Err(InvalidAttribute::LongList(name.to_owned()))
        }
        Value::Texts(texts) => texts.iter().try_for_each(|text| check_text(name, text)),
        Value::Numbers(numbers) if too_long(numbers.len()) => {
            Err(InvalidAttribute::LongList(name.to_owned()))
        }
        Value::Numbers(numbers) => {
            numbers.iter().try_for_each(|number| check_number(name, *number))
        }
    }
}

fn check_text(name: &str, text: &str) -> Result<(), InvalidAttribute> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(InvalidAttribute::LongText(name.to_owned()));
    }
    if text.contains('\0') {
        return Err(InvalidAttribute::Nul(name.to_owned()));
    }
    Ok(())
}

fn check_number(name: &str, number: f64) -> Result<(), InvalidAttribute> {
    if number.is_finite() { Ok(()) } else { Err(InvalidAttribute::NotFinite(name.to_owned())) }
}

impl Scope {
    /// The scope's word in the public API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Inventory => "inventory",
            Self::Monitor => "monitor",
            Self::System => "system",
            Self::Tags => "tags",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str, value: Value) -> Attribute {
        Attribute { name: name.to_owned(), value, description: None, time: None }
    }

    #[test]
    fn names_and_values_have_bounds() {
        let text = |length: usize| Value::Text("x".repeat(length));
        assert!(attribute("a", text(MAX_TEXT_BYTES)).check().is_ok());
        assert_eq!(attribute("", text(1)).check(), Err(InvalidAttribute::Name));
        let name = "n".repeat(MAX_NAME_BYTES + 1);
        assert_eq!(attribute(&name, text(1)).check(), Err(InvalidAttribute::Name));
        assert!(attribute("a", text(MAX_TEXT_BYTES + 1)).check().is_err());
        assert!(
            attribute("a", Value::Texts(vec![String::new(); MAX_ELEMENTS + 1])).check().is_err()
        );
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(attribute("a", Value::Number(number)).check().is_err());
            assert!(attribute("a", Value::Numbers(vec![1.0, number])).check().is_err());
        }
        assert!(attribute("a", Value::Text("\0".to_owned())).check().is_err());
        assert!(attribute("a\0", Value::Text(String::new())).check().is_err());
        let described =
            Attribute { description: Some("\0".to_owned()), ..attribute("a", Value::Flag(true)) };
        assert!(described.check().is_err());
    }

    #[test]
    fn there_is_one_zero_and_one_empty_list() {
        let Value::Number(zero) = attribute("a", Value::Number(-0.0)).check().unwrap().value else {
            panic!("a number stays a number");
        };
        assert!(zero.is_sign_positive());
        let empty = attribute("a", Value::Numbers(Vec::new())).check().unwrap();
        assert_eq!(empty.value, Value::Texts(Vec::new()));
    }

    #[test]
    fn every_scope_comes_back_from_its_number() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_number(i16::from(scope.number())), Some(scope));
        }
        assert!(Scope::ALL.is_sorted_by_key(|scope| scope.word()));
    }
}
