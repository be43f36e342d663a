//! When two Artifacts of one name would fit the same device, so that neither could be meant.

use std::collections::BTreeMap;

use super::artifact::Depends;

/// The most combinations of depends values that one Artifact may stand for (server API,
/// Artifacts: more are refused).
pub(crate) const MAX_COMBINATIONS: usize = 1024;

/// How many devices' worth of different depends an Artifact stands for: the product of the
/// numbers of values. `None` when that is no number any more.
pub(crate) fn combinations(depends: &Depends) -> Option<usize> {
    depends.values().try_fold(1_usize, |product, values| product.checked_mul(values.len()))
}

/// A combination of values that both ask for: one value for each key. There is none when the
/// keys differ, for then one of the two asks for more and is meant for other devices.
pub(crate) fn shared_combination(
    one: &Depends,
    other: &Depends,
) -> Option<BTreeMap<String, String>> {
    if !one.keys().eq(other.keys()) {
        return None;
    }
    one.iter()
        .zip(other.values())
        .map(|((key, values), others)| {
            let shared = values.iter().find(|value| others.contains(value))?;
            Some((key.clone(), shared.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn depends(entries: &[(&str, &[&str])]) -> Depends {
        entries
            .iter()
            .map(|(key, values)| {
                ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
            })
            .collect()
    }

    #[test]
    fn one_shared_device_type_is_a_conflict() {
        let one = depends(&[("device_type", &["a", "b"])]);
        let other = depends(&[("device_type", &["b", "c"])]);
        let shared = shared_combination(&one, &other).unwrap();
        assert_eq!(shared.get("device_type").map(String::as_str), Some("b"));
        assert_eq!(shared_combination(&one, &depends(&[("device_type", &["c"])])), None);
    }

    #[test]
    fn different_keys_are_meant_for_different_devices() {
        let full = depends(&[("device_type", &["a"])]);
        let delta = depends(&[("device_type", &["a"]), ("rootfs-image.checksum", &["x"])]);
        let other = depends(&[("device_type", &["a"]), ("rootfs-image.checksum", &["y"])]);
        assert_eq!(shared_combination(&full, &delta), None);
        assert_eq!(shared_combination(&delta, &other), None);
    }

    fn any_depends() -> impl Strategy<Value = Depends> {
        let values = prop::collection::btree_set("[a-c]", 1..3);
        prop::collection::btree_map("[x-z]", values, 1..3).prop_map(|map| {
            map.into_iter().map(|(key, values)| (key, values.into_iter().collect())).collect()
        })
    }

    /// Every combination, written out.
    fn expand(depends: &Depends) -> Vec<BTreeMap<String, String>> {
        depends.iter().fold(vec![BTreeMap::new()], |expanded, (key, values)| {
            expanded
                .iter()
                .flat_map(|partial| {
                    values.iter().map(move |value| {
                        let mut combination = partial.clone();
                        combination.insert(key.clone(), value.clone());
                        combination
                    })
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn it_is_what_writing_all_combinations_out_would_say(
            one in any_depends(), other in any_depends(),
        ) {
            let (ones, others) = (expand(&one), expand(&other));
            prop_assert_eq!(combinations(&one), Some(ones.len()));
            let shared = shared_combination(&one, &other);
            prop_assert_eq!(shared.is_some(), ones.iter().any(|each| others.contains(each)));
            if let Some(shared) = shared {
                prop_assert!(ones.contains(&shared) && others.contains(&shared));
            }
        }
    }
}
