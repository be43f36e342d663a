//! The description of the API, as it was agreed.

use std::{collections::BTreeSet, path::Path};

use axum::{body::Body, http::Request};
use serde_json::Value;

use crate::door::Door;

/// Set to write the snapshot instead of comparing with it.
const UPDATE: &str = "UPDATE_SNAPSHOTS";

fn described(door: &Door) -> Value {
    serde_json::from_str(&door.gateway.description().to_json().unwrap()).unwrap()
}

/// A change of the API shows in review.
#[tokio::test]
async fn the_description_is_the_one_that_was_agreed() {
    let door = Door::build(&[]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/openapi.json");
    let described = format!("{:#}\n", described(&door));
    if std::env::var_os(UPDATE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &described).unwrap();
    }
    let agreed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        described == agreed,
        "the API differs from {}; run the test with {UPDATE}=1 and look at the difference",
        path.display()
    );
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_every_operation_has_a_name() {
    let door = Door::build(&[]);
    let described = described(&door);
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"));
    let text = described.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(described["components"]["schemas"].get(name).is_some(), "{name}");
    }
    let mut names = BTreeSet::new();
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{method} {path}: {name} is taken");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
    assert!(names.len() > 70, "{}", names.len());
}

#[tokio::test]
async fn the_description_is_served_with_a_page_that_needs_nobody_else() {
    let door = Door::build(&[]);
    let get = async |path: &str| {
        door.send(Request::get(path).body(Body::empty()).unwrap()).await.expect(200)
    };
    assert_eq!(get("/api/docs/openapi.json").await.json(), described(&door));
    let page = get("/api/docs").await;
    assert!(page.header("content-security-policy").starts_with("default-src 'self'"));
    for resource in page.text().split(['"']).filter(|text| text.starts_with("/api/docs/")) {
        get(resource).await;
    }
    assert!(!page.text().contains("//"), "the page names another place");
}
