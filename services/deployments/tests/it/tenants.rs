//! Walls: between tenants, and between those who may and those who may not.

use rota_proto::deployments::v1::{
    ControlMap, CreateDeploymentRequest, ListArtifactsRequest, ListDeploymentsRequest,
    ListReleasesRequest,
};
use rota_types::{ErrorCode, Permission, TenantId};

use crate::{
    people::{deployment, for_devices, refused},
    world::{World, artifact, eventually},
};

#[tokio::test]
async fn a_tenant_sees_nothing_of_another() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    let artifact_id = operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&device])).await.unwrap();
    device.send_log(&id, &["x"]).await.unwrap();

    let stranger = world.person(TenantId::mint(), vec![Permission::Manage]);
    assert_eq!(stranger.artifacts(ListArtifactsRequest::default()).await.unwrap().total, 0);
    assert_eq!(stranger.releases(ListReleasesRequest::default()).await.unwrap().total, 0);
    assert_eq!(stranger.deployments(ListDeploymentsRequest::default()).await.unwrap().total, 0);
    assert_eq!(stranger.history(device.id(), "").await.unwrap().total, 0);
    assert_eq!(stranger.storage().await.unwrap().usage, 0);
    assert!(stranger.tags().await.unwrap().is_empty());
    assert!(stranger.update_types().await.unwrap().is_empty());
    for answer in [
        stranger.artifact(&artifact_id).await.map(drop),
        stranger.link(&artifact_id).await.map(drop),
        stranger.delete(&artifact_id).await,
        stranger.describe(&artifact_id, "x").await,
        stranger.release("v2").await.map(drop),
        stranger.set_tags("v2", &["x"]).await,
        stranger.set_notes("v2", "x").await,
        stranger.deployment(&id).await.map(drop),
        stranger.statistics_of(&[&id]).await.map(drop),
        stranger.devices_of(&id, "", (1, 20)).await.map(drop),
        stranger.device_ids(&id).await.map(drop),
        stranger.log_of(&id, device.id()).await.map(drop),
        stranger.replace_control_map(&id, ControlMap::default()).await,
    ] {
        assert_eq!(refused(answer).0, ErrorCode::NotFound);
    }
    assert_eq!(refused(stranger.abort(&id).await).0, ErrorCode::Unprocessable);
    assert!(stranger.delete_releases(&["v2"]).await.unwrap().is_empty());
    stranger.abort_device(device.id()).await.unwrap();
    stranger.hide_history(device.id()).await.unwrap();
    assert_eq!(refused(stranger.create(deployment("v2")).await).0, ErrorCode::Invalid);
    assert_eq!(operator.statistics(&id).await, [("pending".to_owned(), 1)].into());
    // The same name is free in every tenant.
    stranger.upload(&artifact("v2", "arm", 100)).await.unwrap();
}

/// The poll and the question for control maps read past row security: they must keep the wall
/// themselves.
#[tokio::test]
async fn a_device_of_the_same_id_in_another_tenant_is_told_nothing() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let held = CreateDeploymentRequest {
        control_map: Some(ControlMap::default()),
        ..for_devices("v2", [&device])
    };
    let id = operator.create(held).await.unwrap();
    assert!(device.next("v1").await.unwrap().is_some());
    assert!(device.control_map(&id).await.unwrap().is_some());

    // The other tenant has an active deployment, so that its devices' polls do ask.
    let other = TenantId::mint();
    let stranger = world.person(other, vec![Permission::Manage]);
    stranger.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let bystander = world.device();
    stranger.create(for_devices("v2", [&bystander])).await.unwrap();
    let twin = world.device_in(other, device.id());
    assert_eq!(twin.next("v1").await.unwrap(), None);
    assert_eq!(refused(twin.control_map(&id).await).0, ErrorCode::NotFound);
    assert_eq!(refused(twin.report(&id, "success").await).0, ErrorCode::NotFound);
    assert_eq!(refused(twin.send_log(&id, &["x"]).await).0, ErrorCode::NotFound);
    assert_eq!(operator.statistics(&id).await, [("pending".to_owned(), 1)].into());
}

/// Jobs, dead uploads and deployments left unfinished are looked for across tenants; each is
/// then worked on behind its own tenant's wall.
#[tokio::test]
async fn work_that_is_found_across_tenants_touches_its_own_alone() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let other = world.person(TenantId::mint(), vec![Permission::Manage]);
    let mine = operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    other.upload(&artifact("v2", "arm", 100)).await.unwrap();
    operator.delete(&mine).await.unwrap();
    assert_eq!(world.files(), 2);
    let _working = world.replica(crate::world::Running::Tasks).await;
    eventually("the job is done", async || (world.rows("jobs").await == 0).then_some(())).await;
    assert_eq!(world.files(), 1);
    assert_eq!(other.artifacts(ListArtifactsRequest::default()).await.unwrap().total, 1);
}

#[tokio::test]
async fn everybody_may_only_do_what_is_theirs() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    let artifact_id = operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let id = operator.create(for_devices("v2", [&device])).await.unwrap();
    let reader = world.person(world.tenant, vec![Permission::Read]);
    let forbidden = |answer: crate::people::Answer<()>| {
        assert_eq!(refused(answer).0, ErrorCode::Forbidden);
    };
    reader.deployment(&id).await.unwrap();
    reader.link(&artifact_id).await.unwrap();
    forbidden(reader.upload(b"").await.map(drop));
    forbidden(reader.describe(&artifact_id, "x").await);
    forbidden(reader.delete(&artifact_id).await);
    forbidden(reader.delete_releases(&["v2"]).await.map(drop));
    forbidden(reader.set_notes("v2", "x").await);
    forbidden(reader.set_tags("v2", &["x"]).await);
    forbidden(reader.create(deployment("v2")).await.map(drop));
    forbidden(reader.replace_control_map(&id, ControlMap::default()).await);
    forbidden(reader.abort(&id).await);
    forbidden(reader.abort_device(device.id()).await);
    forbidden(reader.hide_history(device.id()).await);
    // A device is no reader, and nobody but a device polls.
    forbidden(device.deployment(&id).await.map(drop));
    forbidden(device.artifact(&artifact_id).await.map(drop));
    forbidden(operator.next("v1").await.map(drop));
    forbidden(operator.control_map(&id).await.map(drop));
    forbidden(operator.report(&id, "success").await);
    forbidden(operator.send_log(&id, &["x"]).await);
    for person in [&operator, &device] {
        forbidden(person.decommission(device.id()).await);
        forbidden(person.limit_storage(1).await);
    }
}
