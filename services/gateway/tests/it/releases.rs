//! Releases, in both spellings.

use axum::http::Request;
use prost_types::Timestamp;
use rota_proto::deployments::v1 as wire;
use rota_types::ErrorCode;
use serde_json::json;

use crate::{artifacts::artifact, door::Door};

const V1: &str = "/api/management/v1/deployments/deployments/releases";
const V2: &str = "/api/management/v2/deployments/deployments/releases";

fn method(name: &str) -> String {
    format!("rota.deployments.v1.ArtifactService/{name}")
}

fn release() -> wire::Release {
    wire::Release {
        name: "release-1".into(),
        modified: Some(Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        artifacts: vec![artifact()],
        artifacts_count: 1,
        tags: vec!["a".into()],
        notes: "n".into(),
    }
}

#[tokio::test]
async fn v1_spells_releases_with_capitals_and_v2_does_not() {
    let door = Door::open().await;
    let found = wire::ListReleasesResponse { releases: vec![release()], total: 1 };
    door.deployments.answers(&method("ListReleases"), found);
    for path in [V1.to_owned(), format!("{V1}/list")] {
        let answer = door.as_person(Request::get(path), ()).await.expect(200);
        let release = &answer.json()[0];
        assert_eq!(release["Name"], "release-1");
        assert_eq!(release["Modified"], "2027-01-15T08:00:00Z");
        assert_eq!(release["Artifacts"][0]["name"], "release-1");
        assert_eq!(release["ArtifactsCount"], 1);
        assert_eq!(release["tags"], json!(["a"]));
    }
    let answer = door.as_person(Request::get(V2), ()).await.expect(200);
    let release = &answer.json()[0];
    assert_eq!(release["name"], "release-1");
    assert_eq!(release["artifacts"][0]["name"], "release-1");
    assert_eq!(release["notes"], "n");
    assert_eq!(answer.header("x-total-count"), "1");
}

#[tokio::test]
async fn lists_are_narrowed_sorted_and_paged() {
    let door = Door::open().await;
    door.deployments.answers(&method("ListReleases"), wire::ListReleasesResponse::default());
    let ask = async |path: String| {
        door.as_person(Request::get(path), ()).await.expect(200);
        door.deployments.last(&method("ListReleases")).one::<wire::ListReleasesRequest>()
    };
    let query = "name=x&tag=a&tag=b&update_type=t&sort=artifacts_count:desc&page=3";
    let asked = ask(format!("{V2}?{query}")).await;
    assert_eq!((asked.name.as_str(), asked.tags.len(), asked.page), ("x", 2, 3));
    assert_eq!(asked.sort, "artifacts_count:desc");
    assert_eq!(ask(format!("{V2}?per_page=501")).await.per_page, 20);
    let asked = ask(V1.to_owned()).await;
    assert_eq!((asked.page, asked.sort.as_str()), (0, "name:asc"));
    door.as_person(Request::get(format!("{V1}/list?per_page=501")), ()).await.expect(400);
    door.as_person(Request::get(format!("{V2}?sort=size:asc")), ()).await.expect(400);
    door.as_person(Request::get(format!("{V2}?sort=name:up")), ()).await.expect(400);
}

#[tokio::test]
async fn releases_in_use_are_kept_and_the_users_named() {
    let door = Door::open().await;
    let set = |active_deployments: Vec<String>| {
        let answer = wire::DeleteReleasesResponse { active_deployments };
        door.deployments.answers(&method("DeleteReleases"), answer);
    };
    set(Vec::new());
    let path = format!("{V2}?name=a&name=b");
    door.as_person(Request::delete(&path), ()).await.expect(204);
    let asked: wire::DeleteReleasesRequest = door.deployments.last(&method("DeleteReleases")).one();
    assert_eq!(asked.names, ["a", "b"]);
    set(vec!["d".into()]);
    let answer = door.as_person(Request::delete(&path), ()).await.expect(409);
    assert_eq!(answer.json()["active_deployments"], json!(["d"]));
    assert!(!answer.error().is_empty());
    door.as_person(Request::delete(V2), ()).await.expect(400);
}

#[tokio::test]
async fn notes_and_tags_belong_to_a_name_of_any_spelling() {
    let door = Door::open().await;
    door.deployments.answers(&method("SetReleaseNotes"), wire::SetReleaseNotesResponse {});
    let path = format!("{V2}/a%2Fb%20c");
    door.as_person(Request::patch(&path), json!({"notes": "n"})).await.expect(204);
    let asked: wire::SetReleaseNotesRequest =
        door.deployments.last(&method("SetReleaseNotes")).one();
    assert_eq!((asked.name.as_str(), asked.notes.as_str()), ("a/b c", "n"));

    let tags = format!("{path}/tags");
    door.deployments.answers(&method("SetReleaseTags"), wire::SetReleaseTagsResponse {});
    door.as_person(Request::put(&tags), json!(["A", "a"])).await.expect(204);
    door.as_person(Request::put(&tags), json!({"tags": []})).await.expect(400);
    door.deployments.fails(&method("SetReleaseTags"), ErrorCode::NotFound, "no such release");
    door.as_person(Request::put(&tags), json!(["a"])).await.expect(404);

    door.deployments.answers(&method("GetRelease"), release());
    door.as_person(Request::get(&path), ()).await.expect(200);
    let words = wire::Words { values: vec!["a".into()] };
    door.deployments.answers(&method("ListReleaseTags"), words.clone());
    door.deployments.answers(&method("ListUpdateTypes"), words);
    for what in ["tags", "types"] {
        let path = format!("/api/management/v2/deployments/releases/all/{what}");
        let answer = door.as_person(Request::get(path), ()).await.expect(200);
        assert_eq!(answer.json(), json!(["a"]));
    }
}

#[tokio::test]
async fn a_path_that_is_no_text_is_400() {
    let door = Door::open().await;
    let answer = door.as_person(Request::get(format!("{V2}/%ff")), ()).await.expect(400);
    assert!(!answer.error().is_empty());
}
