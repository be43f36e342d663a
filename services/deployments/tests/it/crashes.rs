//! Processes that are killed between two steps, and what the next one makes of it.

use futures::{StreamExt, stream};
use rota_blob::{BlobKey, BlobKind, Blobs, DirectoryBlobs};
use rota_proto::deployments::v1::{
    DeploymentStatus, UploadEnd, UploadHead, UploadRequest, upload_request::Part,
};
use rota_types::{DeviceId, ErrorCode, TenantId};
use uuid::Uuid;

use crate::{
    people::{deployment, for_devices, refused},
    world::{Running, World, artifact, eventually},
};

/// Lets every job that a killed process held be due at once.
async fn end_leases(world: &World) {
    sqlx::query("update deployments.jobs set due_at = now()")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
}

async fn listed(world: &World) -> i64 {
    world.rows("device_deployments").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_list_is_written_on_from_where_it_stands() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let mut devices: Vec<DeviceId> = (0..3_000).map(|_| world.device().id()).collect();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(deployment("v2")).await.unwrap();
    assert_eq!(listed(&world).await, 1_000);
    // As long as the list is not complete, the end of those who are in it is not the end.
    let first = operator.devices_of(&id, "", (1, 1)).await.unwrap().devices.remove(0);
    let device = world.device_with(first.device_id.parse().unwrap());
    device.report(&id, "success").await.unwrap();

    world.inventory.break_after(Some(1));
    let killed = world.replica(Running::Tasks).await;
    eventually("some more are written", async || (listed(&world).await > 1_000).then_some(()))
        .await;
    drop(killed);
    world.inventory.break_after(None);
    end_leases(&world).await;
    let _working = world.replica(Running::Tasks).await;
    eventually("the job is done", async || (world.rows("jobs").await == 0).then_some(())).await;

    devices.sort();
    let expected: Vec<_> = devices.iter().map(ToString::to_string).collect();
    assert_eq!(operator.device_ids(&id).await.unwrap(), expected);
    let complete = operator.deployment(&id).await.unwrap();
    assert_eq!((complete.device_count, complete.statistics["pending"]), (3_000, 2_999));
    assert_eq!(complete.status(), DeploymentStatus::InProgress);
    assert!(world.inventory.asked() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_of_names_needs_no_inventory() {
    let world = World::new().await;
    let operator = world.operator();
    let devices: Vec<_> = (0..2_500).map(|_| world.device_with(DeviceId::mint())).collect();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", &devices)).await.unwrap();
    eventually("the list is complete", async || (listed(&world).await == 2_500).then_some(()))
        .await;
    assert_eq!(operator.deployment(&id).await.unwrap().device_count, 2_500);
    assert_eq!(world.inventory.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_holds_before_it_is_written_down_everywhere() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let devices: Vec<_> = (0..2_500).map(|_| world.device()).collect();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", &devices)).await.unwrap();
    {
        let _working = world.replica(Running::Tasks).await;
        eventually("the list is complete", async || (listed(&world).await == 2_500).then_some(()))
            .await;
        eventually("the job is done", async || (world.rows("jobs").await == 0).then_some(())).await;
    }
    operator.abort(&id).await.unwrap();
    let left = operator.devices_of(&id, "pending", (1, 1)).await.unwrap().devices.remove(0);
    let device = world.device_with(left.device_id.parse().unwrap());
    assert_eq!(device.next("v1").await.unwrap(), None);
    assert_eq!(refused(device.report(&id, "success").await).0, ErrorCode::Conflict);
    assert_eq!(operator.deployment(&id).await.unwrap().status(), DeploymentStatus::Finished);

    let _working = world.replica(Running::Tasks).await;
    eventually("it is written down", async || (world.rows("jobs").await == 0).then_some(())).await;
    assert_eq!(operator.statistics(&id).await, [("aborted".to_owned(), 2_500)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_ends_a_list_that_is_being_written() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    (0..1_500).for_each(|_| drop(world.device()));
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(deployment("v2")).await.unwrap();
    operator.abort(&id).await.unwrap();
    let _working = world.replica(Running::Tasks).await;
    eventually("the jobs are done", async || (world.rows("jobs").await == 0).then_some(())).await;
    assert_eq!(operator.statistics(&id).await, [("aborted".to_owned(), 1_000)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_removed_does_not_come_back_with_the_rest_of_the_list() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let mut devices: Vec<DeviceId> = (0..1_500).map(|_| world.device().id()).collect();
    devices.sort();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(deployment("v2")).await.unwrap();
    let last = *devices.last().unwrap();
    world.internal().decommission(last).await.unwrap();
    let _working = world.replica(Running::Tasks).await;
    eventually("the job is done", async || (world.rows("jobs").await == 0).then_some(())).await;
    let statistics = operator.statistics(&id).await;
    assert_eq!(
        statistics,
        [("pending".to_owned(), 1_499), ("decommissioned".to_owned(), 1)].into()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_whose_end_nobody_wrote_down_is_finished() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&device])).await.unwrap();
    // The report's transaction, and then the process died.
    sqlx::query(
        "update deployments.device_deployments set status = 'success', finished_at = now()",
    )
    .execute(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(operator.deployment(&id).await.unwrap().status(), DeploymentStatus::InProgress);
    let _working = world.replica(Running::Tasks).await;
    eventually("it is finished", async || {
        let status = operator.deployment(&id).await.unwrap().status();
        (status == DeploymentStatus::Finished).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_cut_off_is_completed() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let id = operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    operator.delete(&id).await.unwrap();
    assert_eq!((world.files(), world.rows("jobs").await), (1, 1));
    // Killed after the bytes and before the job's end: there is nothing left to remove.
    std::fs::remove_dir_all(world.directory.path().join(world.tenant.to_string())).unwrap();
    let _working = world.replica(Running::Tasks).await;
    eventually("the job is done", async || (world.rows("jobs").await == 0).then_some(())).await;
    assert_eq!(world.files(), 0);
}

async fn put(world: &World, tenant: TenantId, id: Uuid) {
    let blobs = DirectoryBlobs::open(world.directory.path()).unwrap();
    let content = stream::iter([Ok(bytes::Bytes::from_static(b"left behind"))]).boxed();
    blobs.put_stream(&BlobKey::new(tenant, BlobKind::Artifact, id), content).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_upload_left_is_swept() {
    let world = World::without_tasks().await;
    world.operator().upload(&artifact("v2", "arm", 100)).await.unwrap();
    let (dead, fresh) = (Uuid::now_v7(), Uuid::now_v7());
    for (blob, age) in [(dead, "1 hour"), (fresh, "1 second")] {
        put(&world, world.tenant, blob).await;
        sqlx::query(
            "insert into deployments.uploads (tenant_id, blob_id, artifact_id, fresh_at)
             values ($1, $2, gen_random_uuid(), now() - $3::interval)",
        )
        .bind(world.tenant.uuid())
        .bind(blob)
        .bind(age)
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    }
    let _working = world.replica(Running::Tasks).await;
    eventually("the dead one is gone", async || (world.rows("uploads").await == 1).then_some(()))
        .await;
    assert_eq!(world.files(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_given_up_cannot_become_an_artifact() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let bytes = artifact("v2", "arm", 5_000);
    let (sender, messages) = tokio::sync::mpsc::channel(8);
    let message = |part| UploadRequest { part: Some(part) };
    sender.send(message(Part::Head(UploadHead::default()))).await.unwrap();
    sender.send(message(Part::Chunk(bytes[..3_000].to_vec()))).await.unwrap();
    let uploading = operator.clone();
    let upload = tokio::spawn(async move { uploading.upload_stream(messages).await });
    eventually("it has begun", async || (world.rows("uploads").await == 1).then_some(())).await;
    sqlx::query("update deployments.uploads set fresh_at = now() - interval '1 hour'")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    let _working = world.replica(Running::Tasks).await;
    eventually("it is given up", async || (world.rows("uploads").await == 0).then_some(())).await;
    sender.send(message(Part::Chunk(bytes[3_000..].to_vec()))).await.unwrap();
    sender.send(message(Part::End(UploadEnd {}))).await.unwrap();
    assert_eq!(refused(upload.await.unwrap()).0, ErrorCode::Invalid);
    assert_eq!((world.rows("artifacts").await, world.files()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploader_that_vanishes_leaves_nothing() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let (sender, messages) = tokio::sync::mpsc::channel(8);
    let message = |part| UploadRequest { part: Some(part) };
    sender.send(message(Part::Head(UploadHead::default()))).await.unwrap();
    let bytes = artifact("v2", "arm", 5_000);
    sender.send(message(Part::Chunk(bytes[..3_000].to_vec()))).await.unwrap();
    let uploading = operator.clone();
    let upload = tokio::spawn(async move { uploading.upload_stream(messages).await });
    eventually("it has begun", async || (world.rows("uploads").await == 1).then_some(())).await;
    // The call is cancelled in its middle, as by a connection that breaks.
    upload.abort();
    drop(sender);
    eventually("nothing is left", async || {
        (world.rows("uploads").await == 0 && world.files() == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_nothing_owns_are_swept_when_they_are_old() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let owned = operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let foreign = TenantId::mint();
    for tenant in [world.tenant, foreign] {
        put(&world, tenant, Uuid::now_v7()).await;
    }
    grow_old(world.directory.path());
    put(&world, foreign, Uuid::now_v7()).await;
    assert_eq!(world.files(), 4);
    let _working = world.replica(Running::Tasks).await;
    eventually("old orphans are gone", async || (world.files() == 2).then_some(())).await;
    let link = operator.link(&owned).await.unwrap();
    operator.download(&link.uri, None, None).await.unwrap();
}

/// Lets every file below look as if it were written three days ago.
fn grow_old(path: &std::path::Path) {
    for entry in std::fs::read_dir(path).unwrap().flatten() {
        if entry.path().is_dir() {
            grow_old(&entry.path());
        } else {
            let then = std::time::SystemTime::now() - std::time::Duration::from_hours(72);
            std::fs::File::open(entry.path()).unwrap().set_modified(then).unwrap();
        }
    }
}
