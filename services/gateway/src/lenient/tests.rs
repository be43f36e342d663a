use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
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
