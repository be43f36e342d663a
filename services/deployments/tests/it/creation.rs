//! Creating deployments, and what there is to see of them.

use rota_proto::deployments::v1::{
    CreateDeploymentRequest, DeploymentStatus, ListDeploymentsRequest, Words,
    create_deployment_request::Target,
};
use rota_types::{DeviceId, ErrorCode};

use crate::{
    people::{deployment, for_devices, refused},
    world::{World, artifact, eventually},
};

#[tokio::test]
async fn a_fresh_deployment_is_pending_for_every_device() {
    let world = World::new().await;
    let operator = world.operator();
    let (one, two) = (world.device(), world.device());
    let artifact_id = operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    let id = operator.create(for_devices("app", [&one, &two])).await.unwrap();
    let created = operator.deployment(&id).await.unwrap();
    assert_eq!(created.status(), DeploymentStatus::Pending);
    assert_eq!(
        (created.device_count, created.max_devices, created.initial_device_count),
        (2, 2, 2)
    );
    assert_eq!(created.artifact_ids, [artifact_id]);
    assert_eq!(created.statistics.len(), 15, "every word is there: {:?}", created.statistics);
    assert_eq!(created.statistics["pending"], 2);
    assert_eq!((created.finished, created.total_size), (None, 0));
    let mut expected = vec![one.id().to_string(), two.id().to_string()];
    expected.sort();
    assert_eq!(operator.device_ids(&id).await.unwrap(), expected);
    eventually("the event is out", async || (world.events.about(&id) == ["created"]).then_some(()))
        .await;
}

#[tokio::test]
async fn what_cannot_be_deployed_is_refused_in_its_words() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    let none = operator.create(for_devices("app", [&device])).await;
    assert_eq!(
        refused(none),
        (ErrorCode::Unprocessable, "No artifact for the deployment".to_owned())
    );
    operator.upload(&artifact("app", "arm", 10)).await.unwrap();

    let group = |name: &str| CreateDeploymentRequest {
        target: Some(Target::Group(name.to_owned())),
        ..deployment("app")
    };
    let empty = operator.create(group("nobody")).await;
    assert_eq!(refused(empty), (ErrorCode::Invalid, "No devices for the deployment".to_owned()));
    let invalid = [
        CreateDeploymentRequest { target: None, ..deployment("app") },
        CreateDeploymentRequest { target: Some(Target::AllDevices(false)), ..deployment("app") },
        CreateDeploymentRequest {
            target: Some(Target::Devices(Words::default())),
            ..deployment("app")
        },
        CreateDeploymentRequest {
            target: Some(Target::Devices(Words { values: vec!["x".to_owned()] })),
            ..deployment("app")
        },
        group("a b"),
        CreateDeploymentRequest { name: String::new(), ..deployment("app") },
        CreateDeploymentRequest { name: "x".repeat(257), ..deployment("app") },
        CreateDeploymentRequest { artifact_name: String::new(), ..deployment("app") },
        CreateDeploymentRequest { name: "a\0b".to_owned(), ..deployment("app") },
        CreateDeploymentRequest { retries: 101, ..deployment("app") },
    ];
    for request in invalid {
        let answer = operator.create(request.clone()).await;
        assert_eq!(refused(answer).0, ErrorCode::Invalid, "{request:?}");
    }
    assert_eq!(world.rows("deployments").await, 0);
}

#[tokio::test]
async fn the_same_request_is_refused_while_it_is_active() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    let id = operator.create(for_devices("app", [&device])).await.unwrap();
    let again = operator.create(for_devices("app", [&device])).await;
    assert_eq!(refused(again).0, ErrorCode::AlreadyExists);
    let forced =
        CreateDeploymentRequest { force_installation: true, ..for_devices("app", [&device]) };
    operator.create(forced).await.unwrap();
    operator.abort(&id).await.unwrap();
    operator.create(for_devices("app", [&device])).await.unwrap();
}

#[tokio::test]
async fn a_group_gets_its_members_of_that_moment() {
    let world = World::new().await;
    let operator = world.operator();
    let (inside, outside) = (world.device(), world.device());
    world.inventory.group(world.tenant, "lab", inside.id());
    operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    let request = CreateDeploymentRequest {
        target: Some(Target::Group("lab".to_owned())),
        ..deployment("app")
    };
    let id = operator.create(request).await.unwrap();
    world.inventory.group(world.tenant, "lab", outside.id());
    assert_eq!(operator.device_ids(&id).await.unwrap(), [inside.id().to_string()]);
    assert_eq!(operator.deployment(&id).await.unwrap().groups, ["lab"]);
    assert!(inside.next("old").await.unwrap().is_some());
    assert!(outside.next("old").await.unwrap().is_none());
}

#[tokio::test]
async fn inventory_that_is_away_is_not_the_callers_fault() {
    let world = World::new().await;
    let operator = world.operator();
    world.device();
    operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    world.inventory.break_after(Some(0));
    assert_eq!(refused(operator.create(deployment("app")).await).0, ErrorCode::Unavailable);
    world.inventory.break_after(None);
    operator.create(deployment("app")).await.unwrap();
}

#[tokio::test]
async fn lists_filter_and_page() {
    let world = World::new().await;
    let operator = world.operator();
    let (one, two) = (world.device(), world.device());
    for name in ["alpha", "beta", "gamma"] {
        operator.upload(&artifact(name, "arm", 10)).await.unwrap();
    }
    let pending = operator.create(for_devices("alpha", [&one, &two])).await.unwrap();
    world.clock.advance(chrono::TimeDelta::seconds(10));
    let running = operator.create(for_devices("beta", [&two])).await.unwrap();
    two.report(&running, "downloading").await.unwrap();
    world.clock.advance(chrono::TimeDelta::seconds(10));
    let over = operator.create(for_devices("gamma", [&one])).await.unwrap();
    operator.abort(&over).await.unwrap();

    let list = async |request: ListDeploymentsRequest| {
        let answer = operator.deployments(request).await.unwrap();
        assert_eq!(usize::try_from(answer.total), Ok(answer.deployments.len()));
        answer.deployments.into_iter().map(|each| each.id).collect::<Vec<_>>()
    };
    let status =
        |word: &str| ListDeploymentsRequest { status: word.to_owned(), ..Default::default() };
    assert_eq!(list(status("")).await, [&*over, &*running, &*pending]);
    assert_eq!(list(status("pending")).await, [&*pending]);
    assert_eq!(list(status("inprogress")).await, [&*running]);
    assert_eq!(list(status("finished")).await, [&*over]);
    assert_eq!(list(status("aborted")).await, [&*over]);
    assert!(list(status("scheduled")).await.is_empty());
    assert_eq!(refused(operator.deployments(status("paused")).await).0, ErrorCode::Invalid);

    let oldest = ListDeploymentsRequest { ascending: true, ..Default::default() };
    assert_eq!(list(oldest).await, [&*pending, &*running, &*over]);
    let search = ListDeploymentsRequest { search: "BET".to_owned(), ..Default::default() };
    assert_eq!(list(search).await, [&*running]);
    let ids = ListDeploymentsRequest { ids: vec![pending.clone()], ..Default::default() };
    assert_eq!(list(ids).await, [&*pending]);
    let names =
        ListDeploymentsRequest { names: vec!["roll out gamma".to_owned()], ..Default::default() };
    assert_eq!(list(names).await, [&*over]);
    let of_device =
        ListDeploymentsRequest { device_ids: vec![one.id().to_string()], ..Default::default() };
    assert_eq!(list(of_device).await, [&*over, &*pending]);
    let seconds = operator.deployment(&running).await.unwrap().created.unwrap().seconds;
    let after = ListDeploymentsRequest { created_after: Some(seconds), ..Default::default() };
    assert_eq!(list(after).await, [&*over, &*running]);
    let before = ListDeploymentsRequest { created_before: Some(seconds), ..Default::default() };
    assert_eq!(list(before).await, [&*pending]);
}

#[tokio::test]
async fn statistics_come_for_several_at_once() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    let id = operator.create(for_devices("app", [&device])).await.unwrap();
    let statistics = operator.statistics_of(&[&id]).await.unwrap();
    assert_eq!(statistics[0].by_status["pending"], 1);
    assert!(operator.statistics_of(&[]).await.unwrap().is_empty());
    let unknown = uuid::Uuid::now_v7().to_string();
    assert_eq!(refused(operator.statistics_of(&[&id, &unknown]).await).0, ErrorCode::NotFound);
    assert_eq!(refused(operator.statistics_of(&["x"]).await).0, ErrorCode::Invalid);
    assert_eq!(refused(operator.statistics_of(&vec![&*id; 101]).await).0, ErrorCode::Invalid);
    assert_eq!(
        refused(operator.deployment(&unknown).await),
        (ErrorCode::NotFound, "Resource not found".to_owned())
    );
}

#[tokio::test]
async fn a_devices_history_is_listed_and_hidden() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    for name in ["one", "two"] {
        operator.upload(&artifact(name, "arm", 10)).await.unwrap();
    }
    let first = operator.create(for_devices("one", [&device])).await.unwrap();
    device.report(&first, "success").await.unwrap();
    world.clock.advance(chrono::TimeDelta::seconds(1));
    let second = operator.create(for_devices("two", [&device])).await.unwrap();

    let seen = async |status: &str| {
        let history = operator.history(device.id(), status).await.unwrap();
        let ids = history.entries.into_iter().map(|entry| {
            assert_eq!(entry.deployment.unwrap().id, entry.device.as_ref().unwrap().deployment_id);
            entry.device.unwrap().deployment_id
        });
        (ids.collect::<Vec<_>>(), history.total)
    };
    assert_eq!(seen("").await, (vec![second.clone(), first.clone()], 2));
    assert_eq!(seen("finished").await, (vec![first.clone()], 1));
    assert_eq!(seen("pending").await, (vec![second.clone()], 1));
    operator.hide_history(device.id()).await.unwrap();
    assert_eq!(seen("").await, (vec![second.clone()], 1));
    // The deployment's own list still has it.
    assert_eq!(operator.devices_of(&first, "", (1, 20)).await.unwrap().total, 1);
    assert_eq!(operator.history(DeviceId::mint(), "").await.unwrap().total, 0);
}
