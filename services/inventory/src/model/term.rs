//! The search index's terms: attribute and value as bytes that sort as values do.
//!
//! A term is the attribute's key (eight bytes), a byte for the value's type, and the value. Of
//! one attribute, terms sort by type and then by value: empty lists, numbers, texts, truth
//! values, times. Everything that search asks is thereby a term or a range of terms.
//!
//! Architecture invariant: a device's terms follow from the device alone (`entries.rs`),
//! and the rows that are no longer right are found by deriving them from what the device was.
//! Whoever changes the form of terms writes a migration that makes the index afresh.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};

use super::{GroupName, Scope, Status, Value};

/// How many elements of a list are indexed; search does not see the others.
pub(crate) const INDEXED_ELEMENTS: usize = 128;

/// How many bytes of a text are indexed. Longer texts are ordered and matched by these, and
/// equal only when they are equal to the end. Postgres' index rows hold 2704 bytes.
pub(crate) const INDEXED_TEXT_BYTES: usize = 1024;

/// The name by which filters and sorting mean the device's id, in any scope.
pub(super) const ID: &str = "id";

const EMPTY_LIST: u8 = 0x10;
const NUMBER: u8 = 0x20;
const TEXT: u8 = 0x30;
const FLAG: u8 = 0x40;
const TIME: u8 = 0x50;
/// After the values of every type.
const END: u8 = 0xff;

/// Eight bytes that stand for an attribute. They are cut from a hash, so that they need no
/// table of names; of a million names two meet with odds of one to tens of millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttributeKey([u8; 8]);

/// One entry of the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(pub(crate) Vec<u8>);

/// The terms from one (included) to another (excluded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

/// Whether an element is the one that its device is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TermPlace {
    /// In ascending order.
    pub(crate) least: bool,
    /// In descending order.
    pub(crate) greatest: bool,
}

impl TermPlace {
    /// Of an attribute with one value.
    pub(crate) const ONLY: Self = Self { least: true, greatest: true };
}

/// Something that devices are counted by, so that no list needs counting: all of them, those
/// with an attribute, those with a status, those in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counted {
    /// What is counted, as the beginning of its terms.
    pub(crate) item: Vec<u8>,
    /// For attributes, which one: the key does not say.
    pub(crate) attribute: Option<(Scope, String)>,
}

impl AttributeKey {
    /// The key of an attribute as filters and sorting name it.
    pub(crate) fn of(scope: Scope, name: &str) -> Self {
        if name == ID { Self::id() } else { Self::hash(scope.number(), name) }
    }

    /// The device's id.
    pub(crate) fn id() -> Self {
        Self::hash(0, ID)
    }

    /// Devices as such.
    fn devices() -> Self {
        Self::hash(0, "devices")
    }

    /// Words of attributes.
    pub(super) fn words() -> Self {
        Self::hash(0, "words")
    }

    /// The group's name as a word. Apart from the others, so that moving many devices between
    /// groups does not have to read them.
    fn group_word() -> Self {
        Self::hash(0, "group word")
    }

    pub(super) fn group() -> Self {
        Self::hash(Scope::System.number(), "group")
    }

    fn status() -> Self {
        Self::hash(Scope::Identity.number(), "status")
    }

    fn hash(scope: u8, name: &str) -> Self {
        let hash = digest(&SHA256, &[&[scope], name.as_bytes()].concat());
        let mut key = [0; 8];
        key.copy_from_slice(&hash.as_ref()[..8]);
        Self(key)
    }

    /// The key's bytes: what the attribute is counted under.
    pub(crate) fn item(self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// Whether every device has the attribute.
    pub(crate) fn is_universal(self) -> bool {
        self == Self::id()
    }

    /// The term of one value. A list has one for each element, see [`AttributeKey::elements`];
    /// as a value to compare with it is none.
    pub(crate) fn term(self, value: &Value) -> Option<Term> {
        match value {
            Value::Text(text) => Some(self.text(text)),
            Value::Number(number) => Some(self.number(*number)),
            Value::Flag(flag) => Some(self.with(FLAG, &[u8::from(*flag)])),
            Value::Time(time) => Some(self.time(*time)),
            Value::Texts(_) | Value::Numbers(_) => None,
        }
    }

    /// Every value of the attribute.
    pub(crate) fn all(self) -> Range {
        Range { from: self.0.to_vec(), to: self.with(END, &[]).0 }
    }

    /// The attribute's texts.
    pub(crate) fn texts(self) -> Range {
        Range { from: self.with(TEXT, &[]).0, to: self.with(TEXT + 1, &[]).0 }
    }

    /// The terms of the same type as `term` that are less than it.
    pub(crate) fn below(term: &Term) -> Range {
        Range { from: term.0[..9].to_vec(), to: term.0.clone() }
    }

    /// The terms of the same type as `term` that are not less than it.
    pub(crate) fn from(term: &Term) -> Range {
        let mut to = term.0[..9].to_vec();
        // Types end well below 255.
        to[8] += 1;
        Range { from: term.0.clone(), to }
    }

    pub(super) fn elements(self, value: &Value) -> BTreeSet<Term> {
        match value {
            Value::Texts(texts) if texts.is_empty() => BTreeSet::from([self.with(EMPTY_LIST, &[])]),
            Value::Numbers(numbers) if numbers.is_empty() => {
                BTreeSet::from([self.with(EMPTY_LIST, &[])])
            }
            Value::Texts(texts) => {
                texts.iter().take(INDEXED_ELEMENTS).map(|text| self.text(text)).collect()
            }
            Value::Numbers(numbers) => {
                numbers.iter().take(INDEXED_ELEMENTS).map(|number| self.number(*number)).collect()
            }
            scalar => self.term(scalar).into_iter().collect(),
        }
    }

    pub(super) fn text(self, text: &str) -> Term {
        if text.len() <= INDEXED_TEXT_BYTES {
            return self.with(TEXT, text.as_bytes());
        }
        let start = &text[..text.floor_char_boundary(INDEXED_TEXT_BYTES)];
        let hash = digest(&SHA256, text.as_bytes());
        // Longer than any text that is indexed whole, so that it cannot equal one; and text
        // itself, because regular expressions look at it.
        let rest = hex::encode(&hash.as_ref()[..16]);
        self.with(TEXT, format!("{start}\u{1}{rest}").as_bytes())
    }

    /// IEEE 754 orders positive numbers as their bits, and negative ones the other way round.
    fn number(self, number: f64) -> Term {
        let bits = (number + 0.0).to_bits();
        let sign = 1 << 63;
        let ordered = if bits & sign == 0 { bits | sign } else { !bits };
        self.with(NUMBER, &ordered.to_be_bytes())
    }

    fn time(self, time: DateTime<Utc>) -> Term {
        // The sign bit flipped: times before 1970 sort first.
        let ordered = time.timestamp_micros().cast_unsigned() ^ (1 << 63);
        self.with(TIME, &ordered.to_be_bytes())
    }

    fn with(self, tag: u8, value: &[u8]) -> Term {
        Term([self.0.as_slice(), &[tag], value].concat())
    }

    pub(super) fn word(self, word: &str) -> Term {
        Term([&self.0, word.as_bytes()].concat())
    }
}

impl Term {
    /// What every device has: for going through all devices in the order of their ids.
    pub(crate) fn device() -> Self {
        Self(AttributeKey::devices().item())
    }

    /// Devices with this status.
    pub(crate) fn status(status: Status) -> Self {
        AttributeKey::status().text(status.word())
    }

    /// Devices in this group.
    pub(crate) fn group(name: &GroupName) -> Self {
        AttributeKey::group().text(name.as_str())
    }

    /// What is in the index because of a device's group.
    pub(crate) fn of_group(name: &GroupName) -> [Self; 2] {
        let word = name.as_str().to_ascii_lowercase();
        [Self::group(name), AttributeKey::group_word().word(&word)]
    }

    /// Whether devices are counted by this value.
    pub(crate) fn is_counted(&self) -> bool {
        *self == Self::device()
            || self.0.starts_with(&AttributeKey::status().0)
            || self.0.starts_with(&AttributeKey::group().0)
    }
}

impl Range {
    /// The attribute that the range is all of.
    pub(crate) fn attribute(&self) -> Option<AttributeKey> {
        let key = AttributeKey(self.from.as_slice().try_into().ok()?);
        (*self == key.all()).then_some(key)
    }

    /// Whether the range's terms are the attribute's.
    pub(crate) fn is_of(&self, key: AttributeKey) -> bool {
        self.from.starts_with(&key.0)
    }

    /// Devices with a word that begins with `word`.
    pub(crate) fn words(word: &str) -> [Self; 3] {
        let id = AttributeKey::id().text(word);
        let word_of = |key: AttributeKey| key.word(word);
        [id, word_of(AttributeKey::words()), word_of(AttributeKey::group_word())]
            .map(|term| Self::beginning_with(&term.0))
    }

    /// Groups.
    pub(crate) fn groups() -> Self {
        AttributeKey::group().texts()
    }

    /// Statuses.
    pub(crate) fn statuses() -> Self {
        AttributeKey::status().texts()
    }

    /// Terms that begin with `start`, which continues as text: no byte of UTF-8 is 255.
    fn beginning_with(start: &[u8]) -> Self {
        Self { from: start.to_vec(), to: [start, &[END]].concat() }
    }
}

/// The text of a term that holds one whole.
pub(crate) fn text_of(term: &[u8]) -> Option<&str> {
    let (start, text) = term.split_at_checked(9)?;
    if start[8] == TEXT { std::str::from_utf8(text).ok() } else { None }
}

impl Counted {
    /// All devices.
    pub(crate) fn devices() -> Vec<u8> {
        AttributeKey::devices().item()
    }

    /// What a group counts as: the group, and having one.
    pub(crate) fn of_group(name: &GroupName) -> [Self; 2] {
        [
            Self { item: Term::group(name).0, attribute: None },
            Self {
                item: AttributeKey::group().item(),
                attribute: Some((Scope::System, "group".to_owned())),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> AttributeKey {
        AttributeKey::of(Scope::Inventory, "a")
    }

    proptest! {
        #[test]
        fn numbers_sort_as_numbers(a: f64, b: f64) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            let (a, b) = (a + 0.0, b + 0.0);
            prop_assert_eq!(key().number(a).cmp(&key().number(b)), a.total_cmp(&b));
        }

        #[test]
        fn texts_sort_as_their_bytes(a: String, b: String) {
            prop_assert_eq!(key().text(&a).cmp(&key().text(&b)), a.cmp(&b));
        }

        #[test]
        fn times_sort_as_times(a in -1_000_000_000_000_i64.., b in -1_000_000_000_000_i64..) {
            let time = |micros: i64| DateTime::from_timestamp_micros(micros % (1 << 60)).unwrap();
            prop_assert_eq!(
                key().time(time(a)).cmp(&key().time(time(b))), time(a).cmp(&time(b))
            );
        }

        #[test]
        fn a_value_is_in_its_own_range_and_no_other(value: f64, other: f64) {
            prop_assume!(value.is_finite() && other.is_finite());
            let (term, bound) = (key().number(value), key().number(other));
            let within = |range: Range| range.from <= term.0 && term.0 < range.to;
            prop_assert_eq!(within(AttributeKey::below(&bound)), value < other);
            prop_assert_eq!(within(AttributeKey::from(&bound)), value >= other);
            prop_assert!(within(key().all()));
            prop_assert!(!within(key().texts()));
        }
    }

    #[test]
    fn zero_is_zero() {
        assert_eq!(key().number(0.0), key().number(-0.0));
    }

    #[test]
    fn long_texts_are_equal_only_to_the_end() {
        let long = |end: &str| "ä".repeat(INDEXED_TEXT_BYTES) + end;
        assert_eq!(key().text(&long("a")), key().text(&long("a")));
        assert_ne!(key().text(&long("a")), key().text(&long("b")));
        assert!(key().text(&long("a")).0.len() < 1100);
        assert!(text_of(&key().text(&long("a")).0).is_some());
    }

    #[test]
    fn the_id_is_the_id_in_any_scope() {
        for scope in Scope::ALL {
            assert_eq!(AttributeKey::of(scope, "id"), AttributeKey::id());
            assert_ne!(AttributeKey::of(scope, "ID"), AttributeKey::id());
        }
    }
}
