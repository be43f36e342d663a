//! Artifacts and their storage.

use axum::http::Request;
use prost_types::Timestamp;
use rota_proto::deployments::v1 as wire;
use rota_types::ErrorCode;
use serde_json::json;

use crate::door::Door;

const V1: &str = "/api/management/v1/deployments/artifacts";
const ID: &str = "0190b6a5-0000-7000-8000-000000000001";

fn method(name: &str) -> String {
    format!("rota.deployments.v1.ArtifactService/{name}")
}

pub(crate) fn artifact() -> wire::Artifact {
    let words = |words: &[&str]| wire::Words { values: words.iter().map(|&w| w.into()).collect() };
    wire::Artifact {
        id: ID.into(),
        name: "release-1".into(),
        description: "the first".into(),
        device_types: vec!["t".into()],
        format_version: 3,
        signed: false,
        updates: vec![wire::ArtifactUpdate {
            r#type: String::new(),
            files: vec![wire::ArtifactFile {
                name: "f".into(),
                checksum: "ab".into(),
                size: 7,
                date: None,
            }],
            metadata: r#"{"Key":[1]}"#.into(),
        }],
        provides: [("artifact_name".to_owned(), "release-1".to_owned())].into(),
        depends: [("device_type".to_owned(), words(&["t"]))].into(),
        clears_provides: Vec::new(),
        size: 1 << 40,
        modified: Some(Timestamp { seconds: 1_800_000_000, nanos: 0 }),
    }
}

#[tokio::test]
async fn an_artifact_is_shown_as_its_header_says() {
    let door = Door::open().await;
    door.deployments.answers(&method("GetArtifact"), artifact());
    let answer = door.as_person(Request::get(format!("{V1}/{ID}")), ()).await.expect(200);
    assert_eq!(
        answer.json(),
        json!({
            "id": ID,
            "name": "release-1",
            "description": "the first",
            "device_types_compatible": ["t"],
            "info": {"format": "mender", "version": 3},
            "signed": false,
            "updates": [{
                "type_info": {"type": null},
                "files": [{"name": "f", "checksum": "ab", "size": 7}],
                "meta_data": {"Key": [1]},
            }],
            "artifact_provides": {"artifact_name": "release-1"},
            "artifact_depends": {"device_type": ["t"]},
            "size": 1_099_511_627_776_u64,
            "modified": "2027-01-15T08:00:00Z",
        })
    );
    let answer = door.as_person(Request::get(format!("{V1}/nonsense")), ()).await.expect(400);
    assert_eq!(answer.error(), "ID is not a valid UUID");
}

#[tokio::test]
async fn the_three_lists_differ_in_pages_names_and_headers() {
    let door = Door::open().await;
    let found = wire::ListArtifactsResponse { artifacts: vec![artifact()], total: 3 };
    door.deployments.answers(&method("ListArtifacts"), found);
    let list = async |path: String| {
        let answer = door.as_person(Request::get(path), ()).await.expect(200);
        let asked: wire::ListArtifactsRequest =
            door.deployments.last(&method("ListArtifacts")).one();
        (answer, asked)
    };
    let (answer, asked) = list(format!("{V1}?name=rel&device_type=t&description=d")).await;
    assert!(answer.all("link").is_empty());
    assert_eq!((asked.page, asked.names), (0, vec!["rel".to_owned()]));
    assert_eq!(asked.name_match, i32::from(wire::NameMatch::Substring));

    let (answer, asked) = list(format!("{V1}/list?per_page=1&sort=modified:desc")).await;
    assert_eq!((answer.header("x-total-count"), answer.all("link").len()), ("3", 3));
    assert_eq!((asked.page, asked.sort.as_str()), (1, "modified:desc"));

    let v2 = "/api/management/v2/deployments/artifacts";
    let (answer, asked) = list(format!("{v2}?name=a&name=b*&per_page=1")).await;
    assert_eq!((answer.header("x-total-count"), answer.all("link").len()), ("", 2));
    assert_eq!(asked.names, ["a", "b*"]);
    assert_eq!(asked.name_match, i32::from(wire::NameMatch::ExactOrPrefix));

    for path in [format!("{V1}/list?sort=size:asc"), format!("{V1}/list?sort=name")] {
        door.as_person(Request::get(path), ()).await.expect(400);
    }
    let names = "name=a&".repeat(101);
    door.as_person(Request::get(format!("{v2}?{names}")), ()).await.expect(400);
}

#[tokio::test]
async fn an_artifact_is_described_linked_and_deleted() {
    let door = Door::open().await;
    door.deployments.answers(&method("DescribeArtifact"), wire::DescribeArtifactResponse {});
    let path = format!("{V1}/{ID}");
    door.as_person(Request::put(&path), json!({"Description": "x"})).await.expect(204);
    let asked: wire::DescribeArtifactRequest =
        door.deployments.last(&method("DescribeArtifact")).one();
    assert_eq!((asked.id.as_str(), asked.description.as_str()), (ID, "x"));
    door.deployments.fails(&method("DescribeArtifact"), ErrorCode::Unprocessable, "in use");
    door.as_person(Request::put(&path), json!({"description": "x"})).await.expect(422);

    door.deployments.fails(&method("DeleteArtifact"), ErrorCode::Conflict, "in use");
    door.as_person(Request::delete(&path), ()).await.expect(409);
    door.deployments.answers(&method("DeleteArtifact"), wire::DeleteArtifactResponse {});
    door.as_person(Request::delete(&path), ()).await.expect(204);

    let expires = Some(Timestamp { seconds: 1_800_000_000, nanos: 0 });
    let link = wire::Link { uri: "/download?x=1".into(), expires };
    door.deployments.answers(&method("GetDownloadLink"), link);
    let request = Request::get(format!("{path}/download")).header("host", "rota.local");
    let answer = door.as_person(request, ()).await.expect(200);
    let uri = "https://rota.local/download?x=1";
    assert_eq!(answer.json(), json!({"uri": uri, "expire": "2027-01-15T08:00:00Z"}));
}

#[tokio::test]
async fn storage_has_a_limit_and_nothing_else_has() {
    let door = Door::open().await;
    door.deployments
        .answers(&method("GetStorageUsage"), wire::StorageUsage { limit: 0, usage: 1 << 33 });
    let limits = "/api/management/v1/deployments/limits";
    let answer = door.as_person(Request::get(format!("{limits}/storage")), ()).await.expect(200);
    assert_eq!(answer.json(), json!({"limit": 0, "usage": 8_589_934_592_u64}));
    door.as_person(Request::get(format!("{limits}/other")), ()).await.expect(400);
}
