//! Predicates over attributes, and what they ask of the index.
//!
//! The rules are those of Mender's document database: a list matches when any of its elements
//! does, values of different types never match, and what is negated (`$ne`, `$nin`) matches
//! devices without the attribute.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::{AttributeKey, Range, Scope, Term, Value};

/// The most values of one `$in` or `$nin`.
const MAX_VALUES: usize = 1000;
/// The longest regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;

/// How a predicate compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `$eq`: equal to the value.
    Eq,
    /// `$ne`: not equal, or without the attribute.
    Ne,
    /// `$gt`: greater.
    Gt,
    /// `$gte`: greater or equal.
    Gte,
    /// `$lt`: less.
    Lt,
    /// `$lte`: less or equal.
    Lte,
    /// `$ltne`: less, or without the attribute.
    Ltne,
    /// `$in`: one of the values.
    In,
    /// `$nin`: none of the values, or without the attribute.
    Nin,
    /// `$exists`: with the attribute, or without when the value is false.
    Exists,
    /// `$regex`: a text in which the expression (Postgres' syntax, not anchored) is found.
    Regex,
}

impl Operator {
    /// The operator as the public API writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Eq => "$eq",
            Self::Ne => "$ne",
            Self::Gt => "$gt",
            Self::Gte => "$gte",
            Self::Lt => "$lt",
            Self::Lte => "$lte",
            Self::Ltne => "$ltne",
            Self::In => "$in",
            Self::Nin => "$nin",
            Self::Exists => "$exists",
            Self::Regex => "$regex",
        }
    }
}

/// A condition on one attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicate {
    /// The attribute's scope.
    pub scope: Scope,
    /// The attribute's name; `id` is the device's id in any scope.
    pub attribute: String,
    /// How to compare.
    pub operator: Operator,
    /// With what.
    pub value: Value,
    /// Readings of the value that may match instead: a text that is also a number.
    pub alternatives: Vec<Value>,
}

/// Why a predicate means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPredicate {
    /// There is no attribute.
    #[error("filter has no attribute")]
    NoAttribute,
    /// One value is wanted.
    #[error("{0} takes one value, not a list")]
    List(&'static str),
    /// A list is wanted.
    #[error("{0} takes a list of values")]
    NoList(&'static str),
    /// `true` or `false` is wanted.
    #[error("$exists takes true or false")]
    NoFlag,
    /// A text is wanted.
    #[error("$regex takes a text")]
    NoPattern,
    /// The expression is too long, or holds the character NUL.
    #[error("$regex takes at most {MAX_PATTERN_BYTES} bytes without the character NUL")]
    Pattern,
    /// The list is too long.
    #[error("{0} takes at most {MAX_VALUES} values")]
    TooMany(&'static str),
}

/// Some entries of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Set {
    /// Any of these.
    Terms(Vec<Term>),
    /// Those within, if they are where their device's values begin or end.
    Edge {
        /// The terms.
        range: Range,
        /// Which of a device's values.
        edge: Edge,
    },
    /// Those within.
    Range(Range),
    /// Those within whose text the expression is found in.
    Matching {
        /// Texts of one attribute.
        range: Range,
        /// A regular expression.
        pattern: String,
    },
}

/// One value of a device's list stands for all: some element is less than a value exactly when
/// the least one is, and greater when the greatest is. That gives one entry a device, and so
/// spares removing duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The least.
    Least,
    /// The greatest.
    Greatest,
}

/// What a device must have in the index, or must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// An entry in any of the sets.
    Any(Vec<Set>),
    /// No entry in any of the sets.
    None(Vec<Set>),
    /// An entry in any of the sets, or none of the attribute.
    AnyOrLacking {
        /// The sets.
        any: Vec<Set>,
        /// All entries of the attribute.
        attribute: Range,
    },
}

impl Predicate {
    /// What the predicate asks of the index.
    pub(crate) fn condition(&self) -> Result<Condition, InvalidPredicate> {
        if self.attribute.is_empty() {
            return Err(InvalidPredicate::NoAttribute);
        }
        let key = AttributeKey::of(self.scope, &self.attribute);
        let after = |term: &Term| Term([term.0.as_slice(), &[0]].concat());
        Ok(match self.operator {
            Operator::Eq => Condition::Any(vec![Set::Terms(self.scalars(key)?)]),
            Operator::Ne => Condition::None(vec![Set::Terms(self.scalars(key)?)]),
            Operator::In => Condition::Any(vec![Set::Terms(self.listed(key)?)]),
            Operator::Nin => Condition::None(vec![Set::Terms(self.listed(key)?)]),
            Operator::Gt => Condition::Any(self.edges(
                key,
                |term| AttributeKey::from(&after(term)),
                Edge::Greatest,
            )?),
            Operator::Gte => Condition::Any(self.edges(key, AttributeKey::from, Edge::Greatest)?),
            Operator::Lt => Condition::Any(self.edges(key, AttributeKey::below, Edge::Least)?),
            Operator::Lte => Condition::Any(self.edges(
                key,
                |term| AttributeKey::below(&after(term)),
                Edge::Least,
            )?),
            Operator::Ltne if self.is_time() => {
                // Devices have one time at the most, so that "less or lacking" is "not at
                // least", which is much quicker.
                Condition::None(self.edges(key, AttributeKey::from, Edge::Greatest)?)
            }
            Operator::Ltne => {
                let any = self.edges(key, AttributeKey::below, Edge::Least)?;
                Condition::AnyOrLacking { any, attribute: key.all() }
            }
            Operator::Exists => {
                let all = if key.is_universal() {
                    Set::Terms(vec![Term::device()])
                } else {
                    Set::Edge { range: key.all(), edge: Edge::Least }
                };
                match self.value {
                    Value::Flag(true) => Condition::Any(vec![all]),
                    Value::Flag(false) => Condition::None(vec![all]),
                    _ => return Err(InvalidPredicate::NoFlag),
                }
            }
            Operator::Regex => {
                let Value::Text(pattern) = &self.value else {
                    return Err(InvalidPredicate::NoPattern);
                };
                if pattern.len() > MAX_PATTERN_BYTES || pattern.contains('\0') {
                    return Err(InvalidPredicate::Pattern);
                }
                let (range, pattern) = (key.texts(), pattern.clone());
                Condition::Any(vec![Set::Matching { range, pattern }])
            }
        })
    }

    /// What `range` makes of the value and of each alternative.
    fn edges(
        &self,
        key: AttributeKey,
        range: impl Fn(&Term) -> Range,
        edge: Edge,
    ) -> Result<Vec<Set>, InvalidPredicate> {
        let set = |term: &Term| Set::Edge { range: range(term), edge };
        Ok(self.scalars(key)?.iter().map(set).collect())
    }

    /// The terms of the value and its alternatives, each of which is one value.
    fn scalars(&self, key: AttributeKey) -> Result<Vec<Term>, InvalidPredicate> {
        let mut terms = Vec::new();
        for value in std::iter::once(&self.value).chain(&self.alternatives) {
            if matches!(value, Value::Texts(_) | Value::Numbers(_)) {
                return Err(InvalidPredicate::List(self.operator.word()));
            }
            terms.extend(self.read(value.clone()).and_then(|value| key.term(&value)));
        }
        terms.sort();
        terms.dedup();
        Ok(terms)
    }

    /// The terms of the elements, of a value and alternatives that are lists.
    fn listed(&self, key: AttributeKey) -> Result<Vec<Term>, InvalidPredicate> {
        let mut terms = Vec::new();
        for value in std::iter::once(&self.value).chain(&self.alternatives) {
            let elements: Vec<Value> = match value {
                Value::Texts(texts) => texts.iter().cloned().map(Value::Text).collect(),
                Value::Numbers(numbers) => numbers.iter().copied().map(Value::Number).collect(),
                _ => return Err(InvalidPredicate::NoList(self.operator.word())),
            };
            let values = elements.into_iter().filter_map(|element| self.read(element));
            terms.extend(values.filter_map(|value| key.term(&value)));
            if terms.len() > MAX_VALUES {
                return Err(InvalidPredicate::TooMany(self.operator.word()));
            }
        }
        terms.sort();
        terms.dedup();
        Ok(terms)
    }

    /// The value as the attribute holds it: Rota's times are compared as times.
    fn read(&self, value: Value) -> Option<Value> {
        match value {
            Value::Text(text) if self.is_time() => read_time(&text).map(Value::Time),
            value => Some(value),
        }
    }

    fn is_time(&self) -> bool {
        self.scope == Scope::System
            && matches!(self.attribute.as_str(), "check_in_time" | "created_ts" | "updated_ts")
    }
}

/// RFC 3339, or a date alone, which is its midnight (UTC).
fn read_time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let date: NaiveDate = text.parse().ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicate(scope: Scope, attribute: &str, operator: Operator, value: Value) -> Predicate {
        let attribute = attribute.to_owned();
        Predicate { scope, attribute, operator, value, alternatives: Vec::new() }
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn each_operator_takes_its_own_kind_of_value() {
        let on =
            |operator, value| predicate(Scope::Inventory, "a", operator, value).condition().err();
        let list = || Value::Texts(vec!["a".to_owned()]);
        assert_eq!(on(Operator::Eq, list()), Some(InvalidPredicate::List("$eq")));
        assert_eq!(on(Operator::In, text("a")), Some(InvalidPredicate::NoList("$in")));
        assert_eq!(on(Operator::Exists, text("a")), Some(InvalidPredicate::NoFlag));
        assert_eq!(on(Operator::Regex, Value::Number(1.0)), Some(InvalidPredicate::NoPattern));
        assert_eq!(on(Operator::Regex, text("\0")), Some(InvalidPredicate::Pattern));
        let many = Value::Numbers((0..1001).map(f64::from).collect());
        assert_eq!(on(Operator::Nin, many), Some(InvalidPredicate::TooMany("$nin")));
        assert_eq!(on(Operator::In, list()), None);
        assert!(predicate(Scope::Tags, "", Operator::Eq, text("")).condition().is_err());
    }

    #[test]
    fn times_are_compared_as_times() {
        let equal = |value: &str| {
            predicate(Scope::System, "created_ts", Operator::Eq, text(value)).condition().unwrap()
        };
        assert_eq!(equal("2026-11-21T01:00:00+01:00"), equal("2026-11-21"));
        assert_ne!(equal("2026-11-21T00:00:00.001Z"), equal("2026-11-21"));
        assert_eq!(equal("yesterday"), Condition::Any(vec![Set::Terms(Vec::new())]));
    }
}
