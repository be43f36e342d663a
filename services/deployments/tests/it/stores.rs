//! The same life of an Artifact in an object store.

use std::{path::Path, sync::Arc};

use rota_blob::{S3Blobs, S3Config};
use rota_testkit::TestS3;
use rota_types::ErrorCode;

use crate::{
    people::refused,
    world::{World, artifact, eventually},
};

/// How many objects lie under a folder of the store.
fn objects(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { objects(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_lives_in_an_object_store_and_is_linked_to_there() {
    rota_runtime::install_crypto();
    let store = TestS3::start().await;
    let blobs = S3Blobs::new(&S3Config {
        bucket: store.bucket().to_owned(),
        endpoint: Some(store.endpoint().to_owned()),
        public_endpoint: Some(store.endpoint().to_owned()),
        region: "us-east-1".to_owned(),
        access_key: store.access_key().to_owned(),
        secret_key: store.secret_key().clone(),
    });
    let world = World::on(Arc::new(blobs)).await;
    let operator = world.operator();
    // Large enough to be sent in parts.
    let bytes = artifact("app", "arm", 12 << 20);
    let truncated = &bytes[..bytes.len() - 4096];
    assert_eq!(refused(operator.upload(truncated).await).0, ErrorCode::Invalid);
    let tenant = store.bucket_dir().join(world.tenant.to_string());
    assert_eq!(objects(&tenant), 0);

    let id = operator.upload(&bytes).await.unwrap();
    let link = operator.link(&id).await.unwrap().uri;
    assert!(link.starts_with(store.endpoint()), "{link}");
    let client = reqwest::Client::new();
    let whole = client.get(&link).send().await.unwrap();
    assert_eq!(whole.headers()["content-type"], "application/vnd.mender-artifact");
    assert!(whole.bytes().await.unwrap() == bytes);
    let part = client.get(&link).header("range", "bytes=5-9").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), bytes[5..=9]);

    operator.delete(&id).await.unwrap();
    eventually("the object is gone", async || (objects(&tenant) == 0).then_some(())).await;
    assert_eq!(client.get(&link).send().await.unwrap().status(), 404);
}
