//! Identity data as attributes, of which there are not too many.

use super::{
    Attributes, Held, Value,
    attribute::{check_name, check_value},
};

/// The most values that are taken over, a list counting as many as it has. Anybody can send an
/// identity and so make a device that waits for acceptance; each value becomes rows of the
/// search index and of the counts. Identities are a few addresses and serial numbers.
const MAX_VALUES: usize = 64;

/// Identity data as attributes. Devices were given their places by it already, so nothing is
/// refused: what is no attribute's value becomes one, and what has no name, or would be a value
/// too many, is left out. Of many, the first by name stay.
pub fn identity(stated: impl IntoIterator<Item = (String, Value)>) -> Attributes {
    let named = stated.into_iter().filter(|(name, value)| {
        // The status is Rota's own word.
        name != "status" && check_name(name).is_ok() && check_value(name, value).is_ok()
    });
    let held = |value: Value| Held { value: value.normalise(), description: None, time: None };
    let mut attributes: Attributes = named.map(|(name, value)| (name, held(value))).collect();
    let mut left = MAX_VALUES;
    attributes.retain(|_, held| {
        let rest = left.checked_sub(values(&held.value));
        left = rest.unwrap_or(left);
        rest.is_some()
    });
    attributes
}

fn values(value: &Value) -> usize {
    match value {
        Value::Texts(texts) => texts.len().max(1),
        Value::Numbers(numbers) => numbers.len().max(1),
        Value::Text(_) | Value::Number(_) | Value::Flag(_) | Value::Time(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn names(attributes: &Attributes) -> Vec<&str> {
        attributes.keys().map(String::as_str).collect()
    }

    #[test]
    fn identity_data_is_never_refused() {
        let attributes = identity([
            ("mac".to_owned(), text("00:01")),
            ("status".to_owned(), text("accepted")),
            (String::new(), text("nameless")),
            ("nul".to_owned(), text("\0")),
        ]);
        assert_eq!(names(&attributes), ["mac"]);
    }

    #[test]
    fn the_first_values_by_name_stay() {
        let many = (0..100).rev().map(|n| (format!("{n:03}"), text("x")));
        let attributes = identity(many);
        assert_eq!(attributes.len(), MAX_VALUES);
        assert_eq!(attributes.last_key_value().unwrap().0, "063");
    }

    #[test]
    fn a_list_counts_as_many_values_as_it_has() {
        let list = |length| Value::Numbers(vec![0.0; length]);
        let attributes = identity([
            ("a".to_owned(), list(MAX_VALUES - 1)),
            ("b".to_owned(), list(2)),
            ("c".to_owned(), list(0)),
            ("d".to_owned(), text("x")),
        ]);
        assert_eq!(names(&attributes), ["a", "c"]);
    }
}
