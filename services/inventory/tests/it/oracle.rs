//! What a search must find, worked out in plain Rust over the same devices.

use std::{cmp::Ordering, collections::BTreeMap};

use regex::Regex;
use rota_proto::inventory::v1::{self as pb, Operator, Scope, value::Kind};

/// One value; lists have several. Variants stand in the order in which types sort.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub(crate) enum Scalar {
    EmptyList,
    Number(f64),
    Text(String),
    Flag(bool),
}

/// A device as the test made it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: String,
    /// Scope and name of each attribute, and its elements.
    pub(crate) attributes: BTreeMap<(i32, String), Vec<Scalar>>,
}

pub(crate) fn scalars(value: &pb::Value) -> Vec<Scalar> {
    match value.kind.clone().unwrap() {
        Kind::Text(text) => vec![Scalar::Text(text)],
        Kind::Number(number) => vec![Scalar::Number(number)],
        Kind::Flag(flag) => vec![Scalar::Flag(flag)],
        Kind::Texts(list) => list.values.into_iter().map(Scalar::Text).collect(),
        Kind::Numbers(list) => list.values.into_iter().map(Scalar::Number).collect(),
    }
}

impl Known {
    fn elements(&self, scope: i32, name: &str) -> Option<Vec<Scalar>> {
        if name == "id" {
            return Some(vec![Scalar::Text(self.id.clone())]);
        }
        self.attributes.get(&(scope, name.to_owned())).cloned()
    }

    fn meets(&self, predicate: &pb::Predicate) -> bool {
        let held = self.elements(predicate.scope, &predicate.attribute);
        let lacking = held.is_none();
        let elements = held.unwrap_or_default();
        let value = predicate.value.as_ref().unwrap();
        let wanted: Vec<Scalar> =
            std::iter::once(value).chain(&predicate.alternatives).flat_map(scalars).collect();
        let any = |holds: &dyn Fn(Ordering) -> bool| {
            elements.iter().any(|element| {
                wanted.iter().any(|value| compare(element, value).is_some_and(holds))
            })
        };
        match predicate.operator() {
            Operator::Eq | Operator::In => any(&Ordering::is_eq),
            Operator::Ne | Operator::Nin => !any(&Ordering::is_eq),
            Operator::Gt => any(&Ordering::is_gt),
            Operator::Gte => any(&Ordering::is_ge),
            Operator::Lt => any(&Ordering::is_lt),
            Operator::Lte => any(&Ordering::is_le),
            Operator::Ltne => lacking || any(&Ordering::is_lt),
            Operator::Exists => wanted == [Scalar::Flag(!lacking)],
            Operator::Regex => {
                let [Scalar::Text(pattern)] = wanted.as_slice() else { panic!("one pattern") };
                let pattern = Regex::new(pattern).unwrap();
                let found =
                    |one: &Scalar| matches!(one, Scalar::Text(text) if pattern.is_match(text));
                elements.iter().any(found)
            }
            Operator::Unspecified => panic!("no operator"),
        }
    }

    /// What the device is sorted by.
    fn key(&self, criterion: &pb::SortCriterion) -> Option<Scalar> {
        let mut elements = self.elements(criterion.scope, &criterion.attribute)?;
        elements.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let element =
            if criterion.descending { elements.pop() } else { elements.into_iter().next() };
        Some(element.unwrap_or(Scalar::EmptyList))
    }

    fn words(&self) -> Vec<String> {
        let searched = [Scope::Identity, Scope::Inventory, Scope::Tags].map(i32::from);
        let group = (i32::from(Scope::System), "group".to_owned());
        let texts =
            self.attributes.iter().filter(|(key, _)| searched.contains(&key.0) || **key == group);
        let texts = texts.flat_map(|(_, elements)| elements).filter_map(|element| match element {
            Scalar::Text(text) => Some(text.to_lowercase()),
            _ => None,
        });
        let words =
            texts.flat_map(|text| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>());
        words.chain([self.id.clone()]).filter(|word| !word.is_empty()).collect()
    }
}

/// Values of different types have no order between them.
fn compare(a: &Scalar, b: &Scalar) -> Option<Ordering> {
    if std::mem::discriminant(a) == std::mem::discriminant(b) { a.partial_cmp(b) } else { None }
}

/// The ids that the search must answer with, and the total.
pub(crate) fn expect(devices: &[Known], search: &pb::SearchRequest) -> (Vec<String>, i64) {
    let sought: Vec<String> = search.text.split_whitespace().map(str::to_lowercase).collect();
    let hits = |device: &Known| {
        let words = device.words();
        sought.iter().filter(|sought| words.iter().any(|word| word.starts_with(*sought))).count()
    };
    let mut found: Vec<&Known> = devices
        .iter()
        .filter(|device| search.predicates.iter().all(|predicate| device.meets(predicate)))
        .filter(|device| sought.is_empty() || hits(device) > 0)
        .collect();
    found.sort_by(|a, b| {
        if search.sort.is_empty() {
            return hits(b).cmp(&hits(a)).then_with(|| a.id.cmp(&b.id));
        }
        let by_keys = search.sort.iter().map(|criterion| {
            let order = a.key(criterion).partial_cmp(&b.key(criterion)).unwrap();
            if criterion.descending { order.reverse() } else { order }
        });
        let by_id = a.id.cmp(&b.id);
        let by_id = if search.sort[0].descending { by_id.reverse() } else { by_id };
        by_keys.fold(Ordering::Equal, Ordering::then).then(by_id)
    });
    let total = i64::try_from(found.len()).unwrap();
    let first = (search.page as usize - 1) * search.per_page as usize;
    let page = found.into_iter().skip(first).take(search.per_page as usize);
    (page.map(|device| device.id.clone()).collect(), total)
}
