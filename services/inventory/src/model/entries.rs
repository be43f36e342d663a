//! What the index holds of a device, and what the device counts for.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AttributeKey, Counted, Device, Edge, Scope, Term, TermPlace, Value,
    term::ID,
    words::{self, MAX_IDENTITY_WORDS, MAX_REPORTED_WORDS},
};

impl Device {
    /// Every entry that the index has for the device.
    pub(crate) fn terms(&self) -> BTreeMap<Term, TermPlace> {
        let id = AttributeKey::id().text(&self.id.to_string());
        let mut terms = BTreeMap::from([(Term::device(), TermPlace::ONLY), (id, TermPlace::ONLY)]);
        let (mut identity, mut reported) = (BTreeSet::new(), BTreeSet::new());
        for (scope, name, value) in self.attributes() {
            if name == ID {
                continue;
            }
            let elements = AttributeKey::of(scope, name).elements(&value);
            let (least, greatest) = (elements.first().cloned(), elements.last().cloned());
            for element in elements {
                let place = TermPlace {
                    least: least.as_ref() == Some(&element),
                    greatest: greatest.as_ref() == Some(&element),
                };
                terms.insert(element, place);
            }
            match scope {
                Scope::Identity => collect_words(&value, MAX_IDENTITY_WORDS, &mut identity),
                Scope::Inventory | Scope::Tags => {
                    collect_words(&value, MAX_REPORTED_WORDS, &mut reported);
                }
                Scope::Monitor | Scope::System => {}
            }
        }
        let key = AttributeKey::words();
        terms.extend(identity.union(&reported).map(|word| (key.word(word), TermPlace::ONLY)));
        if let Some(group) = &self.group {
            terms.extend(Term::of_group(group).map(|term| (term, TermPlace::ONLY)));
        }
        terms
    }

    /// What the device is sorted by among the values of an attribute.
    pub(crate) fn edge_term(&self, key: AttributeKey, edge: Edge) -> Option<Term> {
        if key.is_universal() {
            return key.term(&Value::Text(self.id.to_string()));
        }
        let group = self.group.as_ref().filter(|_| key == AttributeKey::group()).map(Term::group);
        if group.is_some() {
            return group;
        }
        let mut attributes = self.attributes().filter(|(_, name, _)| *name != ID);
        let (_, _, value) =
            attributes.find(|(scope, name, _)| AttributeKey::of(*scope, name) == key)?;
        let mut elements = key.elements(&value);
        match edge {
            Edge::Least => elements.pop_first(),
            Edge::Greatest => elements.pop_last(),
        }
    }

    /// Everything that the device counts for.
    pub(crate) fn counted(&self) -> BTreeSet<Counted> {
        let mut counted = BTreeSet::from([Counted { item: Counted::devices(), attribute: None }]);
        for (scope, name, _) in self.attributes() {
            if name != ID {
                let item = AttributeKey::of(scope, name).item();
                counted.insert(Counted { item, attribute: Some((scope, name.to_owned())) });
            }
        }
        if let Some(status) = self.status {
            counted.insert(Counted { item: Term::status(status).0, attribute: None });
        }
        if let Some(group) = &self.group {
            counted.extend(Counted::of_group(group));
        }
        counted
    }
}

/// Adds the words of a value, as long as there are fewer than `max`.
fn collect_words(value: &Value, max: usize, into: &mut BTreeSet<String>) {
    let texts = match value {
        Value::Text(text) => std::slice::from_ref(text),
        Value::Texts(texts) => texts,
        _ => return,
    };
    for word in texts.iter().flat_map(|text| words::words(text)) {
        if into.len() >= max {
            return;
        }
        into.insert(word);
    }
}
