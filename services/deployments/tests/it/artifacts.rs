//! Uploads, lists, descriptions and deletions.

use rota_proto::deployments::v1::{
    ListArtifactsRequest, NameMatch, UploadHead, UploadRequest, upload_request,
};
use rota_types::{ErrorCode, Permission, TenantId};

use crate::{
    people::{for_devices, refused},
    world::{World, artifact, builder, eventually},
};

#[tokio::test]
async fn an_upload_becomes_an_artifact_with_all_that_its_header_says() {
    let world = World::new().await;
    let operator = world.operator();
    let bytes = builder("app-1", "arm", 3000)
        .depends("rootfs-image.version", "1")
        .provides("app.version", "1")
        .to_vec()
        .unwrap();
    let head = UploadHead {
        description: "first".to_owned(),
        size: Some(bytes.len() as u64),
        artifact_id: None,
    };
    let id = operator.upload_as(head, &bytes, true).await.unwrap();
    let stored = operator.artifact(&id).await.unwrap();
    assert_eq!((stored.name.as_str(), stored.description.as_str()), ("app-1", "first"));
    assert_eq!((stored.format_version, stored.signed), (3, false));
    assert_eq!(stored.device_types, ["arm"]);
    assert_eq!(stored.depends["device_type"].values, ["arm"]);
    assert_eq!(stored.depends["rootfs-image.version"].values, ["1"]);
    assert_eq!(stored.provides["artifact_name"], "app-1");
    assert_eq!(stored.provides["app.version"], "1");
    assert_eq!(stored.size, bytes.len() as u64);
    assert_eq!(stored.updates[0].r#type, "single-file");
    assert_eq!(stored.updates[0].files[0].size, 3000);
    assert_eq!(stored.updates[0].files[0].checksum.len(), 64);
    assert_eq!(operator.storage().await.unwrap().usage, bytes.len() as u64);
    assert_eq!(world.rows("uploads").await, 0);
}

#[tokio::test]
async fn a_bad_upload_leaves_nothing_behind() {
    let world = World::new().await;
    let operator = world.operator();
    let good = artifact("app-1", "arm", 5000);
    let head = |size| UploadHead { size, ..UploadHead::default() };

    let (code, message) = refused(operator.upload(b"rubbish").await);
    assert_eq!(code, ErrorCode::Invalid);
    assert!(message.starts_with("Cannot parse artifact file: "), "{message}");

    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert_eq!(refused(operator.upload(&flipped).await).0, ErrorCode::Invalid);

    let truncated = &good[..good.len() / 2];
    assert_eq!(refused(operator.upload(truncated).await).0, ErrorCode::Invalid);

    let cut = operator.upload_as(head(None), truncated, false).await;
    assert_eq!(refused(cut), (ErrorCode::Invalid, "the upload was cut off".to_owned()));
    // Complete, but the uploader did not get to say so.
    let cut = operator.upload_as(head(None), &good, false).await;
    assert_eq!(refused(cut).0, ErrorCode::Invalid);

    for wrong in [good.len() as u64 - 1, good.len() as u64 + 1] {
        let answer = operator.upload_as(head(Some(wrong)), &good, true).await;
        assert_eq!(refused(answer).0, ErrorCode::Invalid);
    }
    let long = UploadHead { description: "x".repeat(4097), ..UploadHead::default() };
    assert_eq!(refused(operator.upload_as(long, &good, true).await).0, ErrorCode::Invalid);

    assert_eq!(world.files(), 0);
    assert_eq!((world.rows("uploads").await, world.rows("artifacts").await), (0, 0));
    assert_eq!(operator.storage().await.unwrap().usage, 0);
    // And nothing stands in the way of the good one.
    operator.upload(&good).await.unwrap();
}

#[tokio::test]
async fn limits_of_size_and_space_are_kept() {
    let config = rota_deployments::Config { max_artifact_bytes: 20_000, ..Default::default() };
    let world = World::with(config, crate::world::Running::Tasks).await;
    let operator = world.operator();
    let (code, _) = refused(operator.upload(&artifact("big", "arm", 30_000)).await);
    assert_eq!(code, ErrorCode::TooLarge);
    let announced = UploadHead { size: Some(20_001), ..UploadHead::default() };
    assert_eq!(refused(operator.upload_as(announced, b"", true).await).0, ErrorCode::TooLarge);

    let first = artifact("one", "arm", 5_000);
    operator.upload(&first).await.unwrap();
    let limit = first.len() as u64 + 3_000;
    world.internal().limit_storage(limit).await.unwrap();
    let (code, message) = refused(operator.upload(&artifact("two", "arm", 5_000)).await);
    assert_eq!(code, ErrorCode::TooLarge);
    assert!(message.contains(&limit.to_string()), "{message}");
    let usage = operator.storage().await.unwrap();
    assert_eq!((usage.limit, usage.usage), (limit, first.len() as u64));
    world.internal().limit_storage(0).await.unwrap();
    operator.upload(&artifact("two", "arm", 5_000)).await.unwrap();
    assert_eq!(world.files(), 2);
}

#[tokio::test]
async fn slow_uploads_of_one_tenant_leave_places_to_the_others() {
    let config = rota_deployments::Config { max_uploads: 2, ..Default::default() };
    let world = World::with(config, crate::world::Running::Tasks).await;
    let slow = world.operator();
    let (sender, messages) = tokio::sync::mpsc::channel(1);
    let head = UploadRequest { part: Some(upload_request::Part::Head(UploadHead::default())) };
    sender.send(head).await.unwrap();
    let stalled = tokio::spawn({
        let slow = slow.clone();
        async move { slow.upload_stream(messages).await }
    });
    eventually("begun", async || (world.rows("uploads").await == 1).then_some(())).await;
    let (code, message) = refused(slow.upload(&artifact("one", "arm", 100)).await);
    assert_eq!((code, message.as_str()), (ErrorCode::TooMany, "too many uploads are under way"));
    let other = world.person(TenantId::mint(), vec![Permission::Manage]);
    other.upload(&artifact("one", "arm", 100)).await.unwrap();
    drop(sender);
    refused(stalled.await.unwrap());
    slow.upload(&artifact("one", "arm", 100)).await.unwrap();
}

#[tokio::test]
async fn artifacts_of_one_name_must_be_for_different_devices() {
    let world = World::new().await;
    let operator = world.operator();
    operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    operator.upload(&artifact("app", "mips", 10)).await.unwrap();
    let delta = builder("app", "arm", 10).depends("rootfs-image.checksum", "x").to_vec().unwrap();
    operator.upload(&delta).await.unwrap();
    let failure = operator.upload(&artifact("app", "arm", 20)).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::AlreadyExists);
    let conflict: serde_json::Value = serde_json::from_str(&failure.metadata["conflict"]).unwrap();
    assert_eq!(conflict, serde_json::json!({"artifact_name": "app", "device_type": "arm"}));
    assert_eq!(world.files(), 3);
}

#[tokio::test]
async fn an_id_may_be_chosen_once() {
    let world = World::new().await;
    let operator = world.operator();
    let id = uuid::Uuid::new_v4().to_string();
    let head = UploadHead { artifact_id: Some(id.clone()), ..UploadHead::default() };
    let stored = operator.upload_as(head.clone(), &artifact("a", "arm", 10), true).await.unwrap();
    assert_eq!(stored, id);
    let (code, _) =
        refused(operator.upload_as(head.clone(), &artifact("b", "arm", 10), true).await);
    assert_eq!(code, ErrorCode::AlreadyExists);
    let nonsense = UploadHead { artifact_id: Some("x".to_owned()), ..UploadHead::default() };
    assert_eq!(refused(operator.upload_as(nonsense, b"", true).await).0, ErrorCode::Invalid);
    assert_eq!(world.files(), 1);
}

#[tokio::test]
async fn lists_filter_sort_and_count() {
    let world = World::new().await;
    let operator = world.operator();
    for (name, device_type, description) in
        [("app-1", "arm", "Green"), ("app-2", "arm", ""), ("app*", "mips", ""), ("Boot", "arm", "")]
    {
        let head = UploadHead { description: description.to_owned(), ..UploadHead::default() };
        let bytes = artifact(name, device_type, 10);
        operator.upload_as(head, &bytes, true).await.unwrap();
        world.clock.advance(chrono::TimeDelta::seconds(1));
    }
    let list = async |request| {
        let answer = operator.artifacts(request).await.unwrap();
        let names: Vec<_> = answer.artifacts.into_iter().map(|artifact| artifact.name).collect();
        (names.join(" "), answer.total)
    };
    let named = |names: &[&str], name_match: NameMatch| ListArtifactsRequest {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        name_match: name_match.into(),
        ..Default::default()
    };
    assert_eq!(list(ListArtifactsRequest::default()).await, ("Boot app* app-1 app-2".into(), 4));
    assert_eq!(list(named(&["app-1"], NameMatch::ExactOrPrefix)).await, ("app-1".into(), 1));
    assert_eq!(list(named(&["app"], NameMatch::ExactOrPrefix)).await, (String::new(), 0));
    let prefix = named(&["app-*"], NameMatch::ExactOrPrefix);
    assert_eq!(list(prefix).await, ("app-1 app-2".into(), 2));
    let escaped = named(&[r"app\*", "Boot"], NameMatch::ExactOrPrefix);
    assert_eq!(list(escaped).await, ("Boot app*".into(), 2));
    assert_eq!(list(named(&["PP-"], NameMatch::Substring)).await, ("app-1 app-2".into(), 2));
    let green = ListArtifactsRequest { description: "green".to_owned(), ..Default::default() };
    assert_eq!(list(green).await, ("app-1".into(), 1));
    let mips = ListArtifactsRequest { device_type: "mips".to_owned(), ..Default::default() };
    assert_eq!(list(mips).await, ("app*".into(), 1));
    let newest = ListArtifactsRequest {
        sort: "modified:desc".to_owned(),
        page: 1,
        per_page: 2,
        ..Default::default()
    };
    assert_eq!(list(newest).await, ("Boot app*".into(), 4));
    let wrong = ListArtifactsRequest { sort: "size".to_owned(), ..Default::default() };
    assert_eq!(refused(operator.artifacts(wrong).await).0, ErrorCode::Invalid);
    let nul = named(&["a\0b"], NameMatch::Substring);
    assert_eq!(refused(operator.artifacts(nul).await).0, ErrorCode::Invalid);
}

#[tokio::test]
async fn a_description_stands_once_a_deployment_used_the_artifact() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    let id = operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    operator.describe(&id, "better").await.unwrap();
    assert_eq!(operator.artifact(&id).await.unwrap().description, "better");
    let deployment = operator.create(for_devices("app", [&device])).await.unwrap();
    assert_eq!(refused(operator.describe(&id, "x").await).0, ErrorCode::Unprocessable);
    operator.abort(&deployment).await.unwrap();
    assert_eq!(refused(operator.describe(&id, "x").await).0, ErrorCode::Unprocessable);
    let nobody = uuid::Uuid::nil().to_string();
    assert_eq!(refused(operator.describe(&nobody, "x").await).0, ErrorCode::NotFound);
    let (code, message) = refused(operator.describe("foo", "x").await);
    assert_eq!((code, message.as_str()), (ErrorCode::Invalid, "ID is not a valid UUID"));
}

#[tokio::test]
async fn a_deleted_artifact_is_gone_at_once_and_its_bytes_soon() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    let id = operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    let deployment = operator.create(for_devices("app", [&device])).await.unwrap();
    let (code, _) = refused(operator.delete(&id).await);
    assert_eq!(code, ErrorCode::Conflict);
    let told = device.next("old").await.unwrap().unwrap();
    operator.abort(&deployment).await.unwrap();

    operator.delete(&id).await.unwrap();
    assert_eq!(refused(operator.artifact(&id).await).0, ErrorCode::NotFound);
    assert_eq!(refused(operator.delete(&id).await).0, ErrorCode::NotFound);
    let source = told.source.unwrap().uri;
    assert_eq!(refused(device.download(&source, None, None).await).0, ErrorCode::NotFound);
    assert_eq!(operator.storage().await.unwrap().usage, 0);
    eventually("the bytes are gone", async || (world.files() == 0).then_some(())).await;
    eventually("the job is done", async || (world.rows("jobs").await == 0).then_some(())).await;
    // What was done with it can still be seen.
    let records = operator.devices_of(&deployment, "", (1, 20)).await.unwrap();
    assert_eq!(records.devices[0].artifact.as_ref().unwrap().id, id);
    assert_eq!(operator.deployment(&deployment).await.unwrap().artifact_ids, [id]);
    // The name is free again.
    operator.upload(&artifact("app", "arm", 20)).await.unwrap();
}
