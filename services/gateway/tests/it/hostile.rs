//! No request makes the gateway panic or answer 500, whatever it holds.

use axum::{body::Body, http::Request};
use futures::StreamExt;
use proptest::prelude::*;
use rota_types::{ErrorCode, Permission};
use serde_json::{Value, json};

use crate::{
    authorization::{Operation, operations},
    door::{Answer, Door, device, person},
};

/// A gateway before services that refuse everything politely.
async fn door() -> Door {
    let door =
        Door::open_with(&["--auth-requests-burst", "1000000", "--sign-ins-burst", "1000000"]);
    let door = door.await;
    for service in [&door.deviceauth, &door.inventory, &door.deployments, &door.accounts] {
        service.fails_otherwise(ErrorCode::Conflict);
    }
    door
}

/// Names and values that mean something somewhere, so that bodies are nearly right.
fn any_body() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "accepted",
        "aborted",
        "$eq",
        "$in",
        "$exists",
        "asc",
        "inventory",
        "tags",
        "x",
        "",
        "é\0",
        "0190b6a5-0000-7000-8000-000000000001",
        "2026-01-02T03:04:05Z",
    ]);
    let name = prop::sample::select(vec![
        "name",
        "Name",
        "value",
        "status",
        "id",
        "filters",
        "scope",
        "attribute",
        "type",
        "sort",
        "order",
        "attributes",
        "messages",
        "timestamp",
        "level",
        "message",
        "device_provides",
        "device_type",
        "artifact_name",
        "devices",
        "all_devices",
        "identity_data",
        "pubkey",
        "deployment_ids",
        "page",
        "per_page",
        "email",
        "password",
        "roles",
        "notes",
        "group",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..8).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

fn assert_civil(operation: &Operation, answer: &Answer) {
    let (status, asked) =
        (answer.status.as_u16(), format!("{} {}", operation.method, operation.path));
    assert!(status < 500, "{asked}: {status} {:?}", answer.body);
    if status >= 400 && operation.method != axum::http::Method::HEAD {
        assert_eq!(answer.json()["request_id"], answer.header("x-men-requestid"), "{asked}");
    }
}

fn token(door: &Door, operation: &Operation) -> String {
    match operation.scheme.as_deref() {
        Some("DeviceJWT") => door.devices.device(&device()),
        _ => door.people.person(&person(Permission::Manage)),
    }
}

fn try_all(cases: u32, strategy: impl Strategy<Value = (String, Vec<u8>)>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let door = runtime.block_on(door());
    let operations = operations(&door);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = proptest::test_runner::TestRunner::new(config).run(&strategy, |(query, body)| {
        for operation in &operations {
            let request = Request::builder()
                .method(operation.method.clone())
                .uri(format!("{}?{query}", operation.path))
                .header("authorization", format!("Bearer {}", token(&door, operation)))
                .header("content-type", "application/json")
                .body(Body::from(body.clone()))
                .unwrap();
            let answer = runtime.block_on(door.send(request));
            assert_civil(operation, &answer);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn nearly_right_bodies_are_answered_civilly() {
    try_all(48, any_body().prop_map(|body| (String::new(), body.to_string().into_bytes())));
}

#[test]
fn arbitrary_bytes_are_answered_civilly() {
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    try_all(16, bytes.prop_map(|body| (String::new(), body)));
}

#[test]
fn strange_queries_are_answered_civilly() {
    let pair = (
        "(page|per_page|sort|status|type|name|id|has_group|group|created_after|created_before|tag|device_type|artifact_name|[a-z/%]{0,6})",
        "([0-9+-]{0,22}|asc|desc|name:asc|[a-z:/$%0-9]{0,12}|%[0-9A-F]{2}|%00|eq:NaN|1e999)",
    );
    let query = prop::collection::vec(pair, 0..5).prop_map(|pairs| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    });
    try_all(48, query.prop_map(|query| (query, b"{}".to_vec())));
}

#[tokio::test]
async fn values_at_the_edge_are_answered_civilly() {
    let door = door().await;
    for body in [
        json!([{"name": "a", "value": 1e308}]),
        json!([{"name": "a", "value": u64::MAX}]),
        json!([{"name": "a".repeat(100_000), "value": ["", ""]}]),
        json!([{"name": "\u{0}", "value": "\u{0}"}]),
    ] {
        let path = "/api/devices/v1/inventory/device/attributes";
        let answer = door.as_device(Request::put(path), body).await;
        assert!(answer.status.as_u16() < 500);
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_too_slowly_is_told_so() {
    let door = door().await;
    let begun = futures::stream::iter([Ok::<_, std::io::Error>("{".to_owned())]);
    let body = Body::from_stream(begun.chain(futures::stream::pending()));
    let request = Request::post("/api/management/v2/devauth/devices/search")
        .header(
            "authorization",
            format!("Bearer {}", door.people.person(&person(Permission::Manage))),
        )
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    door.send(request).await.expect(408);
}
