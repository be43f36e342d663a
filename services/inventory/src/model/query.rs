//! A search: which devices, in which order, which page, and what of each.

use rota_types::{DeviceId, Page};

use super::{
    AttributeKey, Condition, InvalidPredicate, Predicate, Range, Scope, Set, Value, query_words,
};

/// The most predicates of one search.
const MAX_PREDICATES: usize = 32;
/// The most attributes to sort by.
const MAX_ORDERS: usize = 8;
/// The most attributes to select.
const MAX_SELECTED: usize = 500;
/// The most devices that a search can be limited to by their ids.
const MAX_DEVICES: usize = 10_000;

/// What somebody wants to see.
#[derive(Debug, Clone)]
pub struct Search {
    /// Only these devices, when set.
    pub devices: Option<Vec<DeviceId>>,
    /// Only devices with one of these words; empty means any.
    pub text: String,
    /// Only devices for which all of these hold.
    pub predicates: Vec<Predicate>,
    /// The order, the first attribute before the second. Without one, and without words, by
    /// id; with words, the devices with the most of them first.
    pub orders: Vec<Order>,
    /// Only these attributes; all, when empty.
    pub selected: Vec<Selected>,
    /// Which page.
    pub page: Page,
}

/// An attribute to sort by. Devices without it come first, or last when descending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The attribute's scope.
    pub scope: Scope,
    /// The attribute's name; `id` is the device's id in any scope.
    pub attribute: String,
    /// The greatest first.
    pub descending: bool,
}

/// An attribute to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The attribute's scope.
    pub scope: Scope,
    /// The attribute's name.
    pub attribute: String,
}

/// Why a search means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSearch {
    /// A predicate means nothing.
    #[error(transparent)]
    Predicate(#[from] InvalidPredicate),
    /// There is too much of something.
    #[error("a search takes at most {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// A sort criterion without attribute.
    #[error("sort has no attribute")]
    NoAttribute,
}

/// A search in the index's words.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// All of these must hold.
    pub(crate) conditions: Vec<Condition>,
    /// In which order.
    pub(crate) order: Sorting,
}

/// How what was found is sorted.
#[derive(Debug, Clone)]
pub(crate) enum Sorting {
    /// By attributes; by id where these are equal, and when there are none.
    By(Vec<SortKey>),
    /// By how many of the words a device has, then by id.
    Relevance {
        /// The words.
        words: Vec<String>,
        /// Which of the conditions says that a device has one of them.
        condition: usize,
    },
}

/// An attribute to sort by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SortKey {
    /// The attribute.
    pub(crate) key: AttributeKey,
    /// The greatest first.
    pub(crate) descending: bool,
}

impl Search {
    /// Translates the search, if it means something.
    pub(crate) fn ask(&self) -> Result<Asked, InvalidSearch> {
        self.check_bounds()?;
        let mut conditions = Vec::new();
        if let Some(devices) = &self.devices {
            let ids = devices.iter().map(|id| Value::Text(id.to_string()));
            let terms = ids.filter_map(|id| AttributeKey::id().term(&id)).collect();
            conditions.push(Condition::Any(vec![Set::Terms(terms)]));
        }
        for predicate in &self.predicates {
            conditions.push(predicate.condition()?);
        }
        let words = query_words(&self.text);
        let condition = conditions.len();
        if !self.text.trim().is_empty() {
            let ranges = words.iter().flat_map(|word| Range::words(word)).map(Set::Range);
            conditions.push(Condition::Any(ranges.collect()));
        }
        let order = if self.orders.is_empty() && words.len() > 1 {
            Sorting::Relevance { words, condition }
        } else {
            let key = |order: &Order| SortKey {
                key: AttributeKey::of(order.scope, &order.attribute),
                descending: order.descending,
            };
            Sorting::By(self.orders.iter().map(key).collect())
        };
        Ok(Asked { conditions, order })
    }

    fn check_bounds(&self) -> Result<(), InvalidSearch> {
        let devices = self.devices.as_ref().map_or(0, Vec::len);
        let bounds = [
            ("filters", self.predicates.len(), MAX_PREDICATES),
            ("sort criteria", self.orders.len(), MAX_ORDERS),
            ("attributes", self.selected.len(), MAX_SELECTED),
            ("device ids", devices, MAX_DEVICES),
        ];
        for (what, count, max) in bounds {
            if count > max {
                return Err(InvalidSearch::TooMany { what, max });
            }
        }
        if self.orders.iter().any(|order| order.attribute.is_empty()) {
            return Err(InvalidSearch::NoAttribute);
        }
        Ok(())
    }

    /// Whether an attribute is to be returned.
    pub fn selects(&self, scope: Scope, name: &str) -> bool {
        self.selected.is_empty()
            || self.selected.iter().any(|one| one.scope == scope && one.attribute == name)
    }
}
