//! Attributes, tags, groups and searches.

use axum::http::Request;
use rota_proto::inventory::v1 as wire;
use rota_types::ErrorCode;
use serde_json::json;

use crate::door::Door;

const V1: &str = "/api/management/v1/inventory";
const V2: &str = "/api/management/v2/inventory";

fn method(name: &str) -> String {
    format!("rota.inventory.v1.ManagementService/{name}")
}

fn attribute(name: &str, kind: wire::value::Kind) -> wire::Attribute {
    wire::Attribute {
        scope: wire::Scope::Inventory.into(),
        name: name.into(),
        value: Some(wire::Value { kind: Some(kind) }),
        description: None,
        time: None,
    }
}

fn device() -> wire::Device {
    use wire::value::Kind;
    wire::Device {
        id: "d".into(),
        attributes: vec![
            attribute("mac", Kind::Text("00:01".into())),
            attribute("cpus", Kind::Number(4.0)),
            attribute("load", Kind::Numbers(wire::NumberList { values: vec![0.5, 2.0] })),
            attribute("alerts", Kind::Flag(true)),
        ],
        updated: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        etag: Some("e-1".into()),
    }
}

#[tokio::test]
async fn a_device_is_shown_with_the_tag_of_its_tags() {
    let door = Door::open().await;
    door.inventory.answers(&method("GetDevice"), device());
    let answer = door.as_person(Request::get(format!("{V1}/devices/d")), ()).await.expect(200);
    assert_eq!(answer.header("etag"), "e-1");
    assert_eq!(
        answer.json(),
        json!({
            "id": "d",
            "attributes": [
                {"name": "mac", "value": "00:01", "scope": "inventory"},
                {"name": "cpus", "value": 4, "scope": "inventory"},
                {"name": "load", "value": [0.5, 2], "scope": "inventory"},
                {"name": "alerts", "value": true, "scope": "inventory"},
            ],
            "updated_ts": "2027-01-15T08:00:00Z",
        })
    );
    door.inventory.answers(&method("GetDevice"), wire::Device { etag: None, ..device() });
    let answer = door.as_person(Request::get(format!("{V1}/devices/d")), ()).await.expect(200);
    assert_eq!(answer.header("etag"), "");
}

#[tokio::test]
async fn a_list_takes_every_other_parameter_for_a_condition() {
    let door = Door::open().await;
    let found = wire::SearchResponse { devices: vec![device()], total: 41 };
    door.inventory.answers(&method("Search"), found);
    let query = "per_page=1&mac=00:01&tags/site=eq:5&group=g&sort=identity/id:asc";
    let answer = door.as_person(Request::get(format!("{V1}/devices?{query}")), ()).await;
    let answer = answer.expect(200);
    assert_eq!(answer.header("x-total-count"), "41");
    assert_eq!(answer.all("link").len(), 3);
    let asked: wire::SearchRequest = door.inventory.last(&method("Search")).one();
    assert_eq!((asked.page, asked.per_page), (1, 1));
    let names: Vec<_> = asked.predicates.iter().map(|it| it.attribute.as_str()).collect();
    assert_eq!(names, ["group", "mac", "site"]);
    assert_eq!(asked.predicates[2].scope, i32::from(wire::Scope::Tags));
    assert_eq!(asked.predicates[2].alternatives.len(), 1);
    assert!(!asked.sort[0].descending);
    door.as_person(Request::get(format!("{V1}/devices")), ()).await.expect(200);
    let asked: wire::SearchRequest = door.inventory.last(&method("Search")).one();
    assert_eq!(asked.per_page, 20);
}

#[tokio::test]
async fn a_search_has_a_total_and_no_links() {
    let door = Door::open().await;
    let found = wire::SearchResponse { devices: vec![device()], total: 41 };
    door.inventory.answers(&method("Search"), found);
    let search = || Request::post(format!("{V2}/filters/search"));
    let body = json!({
        "page": 2, "per_page": 500, "device_ids": ["d"], "text": "x",
        "filters": [{"scope": "system", "attribute": "check_in_time", "type": "$ltne", "value": "2026"}],
        "sort": [{"scope": "inventory", "attribute": "mac", "order": "desc"}],
        "attributes": [{"scope": "inventory", "attribute": "mac"}],
    });
    let answer = door.as_person(search(), body).await.expect(200);
    assert_eq!(answer.header("x-total-count"), "41");
    assert!(answer.all("link").is_empty());
    let asked: wire::SearchRequest = door.inventory.last(&method("Search")).one();
    assert_eq!(asked.predicates[0].operator, i32::from(wire::Operator::Ltne));
    assert!(asked.sort[0].descending);
    assert_eq!(asked.select[0].attribute, "mac");

    let filter = |filter: serde_json::Value| json!({"filters": [filter]});
    for body in [
        json!({"per_page": 501}),
        json!({"per_page": -1}),
        json!({"sort": [{"scope": "inventory", "attribute": "a", "order": "up"}]}),
        json!({"sort": [{"scope": "inventory", "attribute": "a"}]}),
        json!({"attributes": [{"scope": "x", "attribute": "a"}]}),
        filter(json!({"scope": "inventory", "attribute": "a", "value": "x"})),
        filter(json!({"scope": "inventory", "attribute": "a", "type": "$type", "value": "x"})),
        filter(json!({"scope": "inventory", "attribute": "a", "type": "$eq"})),
        filter(json!({"scope": "inventory", "type": "$eq", "value": "x"})),
        filter(json!({"scope": "inventory", "attribute": "a", "type": "$in", "value": "x"})),
    ] {
        door.as_person(search(), body.clone()).await.expect(400);
    }
}

#[tokio::test]
async fn tags_are_changed_only_as_they_were_seen() {
    let door = Door::open().await;
    door.inventory.answers(&method("ReplaceTags"), wire::TagsResponse {});
    let path = format!("{V1}/devices/d/tags");
    let tags = json!([{"name": "site", "value": "here", "timestamp": "2026-01-02T03:04:05Z"}]);
    let request = Request::put(&path).header("if-match", "\"e-1\"");
    let answer = door.as_person(request, tags.clone()).await.expect(200);
    assert!(answer.body.is_empty());
    let asked: wire::TagsRequest = door.inventory.last(&method("ReplaceTags")).one();
    assert_eq!(asked.if_match.as_deref(), Some("e-1"));
    assert_eq!(asked.tags[0].scope, i32::from(wire::Scope::Tags));

    door.inventory.fails(&method("MergeTags"), ErrorCode::Precondition, "ETag does not match");
    door.as_person(Request::patch(&path), tags).await.expect(412);
    for body in [json!([{"name": "a"}]), json!([{"value": "a"}]), json!({"a": 1})] {
        door.as_person(Request::put(&path), body).await.expect(400);
    }
}

#[tokio::test]
async fn a_device_is_in_one_group_or_none() {
    let door = Door::open().await;
    let path = format!("{V1}/devices/d/group");
    door.inventory.answers(&method("GetDeviceGroup"), wire::GetDeviceGroupResponse { group: None });
    let answer = door.as_person(Request::get(&path), ()).await.expect(200);
    assert_eq!(answer.json(), json!({"group": null}));
    let group = Some("g".to_owned());
    door.inventory.answers(&method("GetDeviceGroup"), wire::GetDeviceGroupResponse { group });
    let answer = door.as_person(Request::get(&path), ()).await.expect(200);
    assert_eq!(answer.json(), json!({"group": "g"}));

    door.inventory.answers(&method("SetDeviceGroup"), wire::SetDeviceGroupResponse {});
    door.as_person(Request::put(&path), json!({"Group": "g"})).await.expect(204);
    door.as_person(Request::put(&path), json!({})).await.expect(400);
    door.inventory.fails(&method("SetDeviceGroup"), ErrorCode::NotFound, "no such device");
    door.as_person(Request::put(&path), json!({"group": "g"})).await.expect(404);
    door.inventory.answers(&method("ClearDeviceGroup"), wire::ClearDeviceGroupResponse {});
    door.as_person(Request::delete(format!("{path}/g")), ()).await.expect(204);
}

#[tokio::test]
async fn groups_count_what_they_changed_and_leave_out_zeros() {
    let door = Door::open().await;
    let path = format!("{V1}/groups/g/devices");
    let counts = |updated, matched| wire::UpdatedCount { updated, matched };
    door.inventory.answers(&method("AddToGroup"), counts(1, 2));
    door.inventory.answers(&method("RemoveFromGroup"), counts(0, 2));
    door.inventory.answers(&method("DissolveGroup"), counts(3, 0));
    let answer = door.as_person(Request::patch(&path), json!(["a", "b"])).await.expect(200);
    assert_eq!(answer.json(), json!({"matched_count": 2, "updated_count": 1}));
    let answer = door.as_person(Request::delete(&path), json!(["a"])).await.expect(200);
    assert_eq!(answer.json(), json!({"matched_count": 2}));
    let answer = door.as_person(Request::delete(format!("{V1}/groups/g")), ()).await.expect(200);
    assert_eq!(answer.json(), json!({"updated_count": 3}));
    door.as_person(Request::patch(&path), json!([])).await.expect(400);
    door.as_person(Request::patch(&path), json!({"a": 1})).await.expect(400);

    let members = wire::ListGroupDevicesResponse { ids: vec!["a".into()], total: 1 };
    door.inventory.answers(&method("ListGroupDevices"), members);
    let answer = door.as_person(Request::get(&path), ()).await.expect(200);
    assert_eq!((answer.json(), answer.header("x-total-count")), (json!(["a"]), "1"));
    let asked: wire::ListGroupDevicesRequest =
        door.inventory.last(&method("ListGroupDevices")).one();
    assert_eq!(asked.per_page, 20);
}

#[tokio::test]
async fn the_tenants_devices_are_counted_by_status() {
    let door = Door::open().await;
    let by_status = [("accepted".to_owned(), 3), ("rejected".to_owned(), 1)].into();
    door.inventory.answers(&method("GetStatistics"), wire::GetStatisticsResponse { by_status });
    let answer = door.as_person(Request::get(format!("{V2}/statistics")), ()).await.expect(200);
    let counts = |standard: u32| json!({"standard": standard, "micro": 0, "system": 0});
    assert_eq!(
        answer.json(),
        json!({"devices_by_status": {"accepted": counts(3), "pending": counts(0)}})
    );
    let scope = wire::Scope::Tags.into();
    let attributes = vec![wire::FilterAttribute { scope, name: "site".into(), count: 2 }];
    door.inventory.answers(
        &method("ListFilterAttributes"),
        wire::ListFilterAttributesResponse { attributes },
    );
    let answer = door.as_person(Request::get(format!("{V2}/filters/attributes")), ()).await;
    let expected = json!([{"name": "site", "scope": "tags", "count": 2}]);
    assert_eq!(answer.expect(200).json(), expected);
}
