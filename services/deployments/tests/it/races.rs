//! Two who want the same at the same time.

use std::time::Duration;

use futures::future::{join, join_all};
use rota_proto::deployments::v1::DeploymentStatus;
use rota_types::{DeviceId, ErrorCode};

use crate::{
    people::{deployment, for_devices},
    world::{Running, World, artifact, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_polls_at_once_get_one_answer() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let other = world.replica(Running::Nothing).await;
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    operator.upload(&artifact("v2", "x86", 100)).await.unwrap();
    for _ in 0..10 {
        let device = world.device();
        let id = operator.create(for_devices("v2", [&device])).await.unwrap();
        let elsewhere = device.at(&other.rpc);
        let (one, two) = join(device.next("v1"), elsewhere.next("v1")).await;
        let (one, two) = (one.unwrap().unwrap(), two.unwrap().unwrap());
        assert_eq!((&one.deployment_id, &one.artifact_id), (&two.deployment_id, &two.artifact_id));
        let record = operator.devices_of(&id, "", (1, 1)).await.unwrap().devices.remove(0);
        assert_eq!(record.attempts, 1);
        let size = record.artifact.unwrap().size;
        assert_eq!(operator.deployment(&id).await.unwrap().total_size, size);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_comes_before_an_abort_or_is_refused() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    for _ in 0..5 {
        let devices: Vec<_> = (0..20).map(|_| world.device()).collect();
        let id = operator.create(for_devices("v2", &devices)).await.unwrap();
        let reports = join_all(devices.iter().map(|device| device.report(&id, "success")));
        let (reports, aborted) = join(reports, operator.abort(&id)).await;
        if let Err(error) = aborted {
            assert_eq!(error.code, ErrorCode::Unprocessable, "all reports came first");
        }
        let taken = reports.iter().filter(|report| report.is_ok()).count() as u64;
        for report in &reports {
            assert!(report.as_ref().err().is_none_or(|error| error.code == ErrorCode::Conflict));
        }
        let statistics = operator.deployment(&id).await.unwrap().statistics;
        assert_eq!((statistics["success"], statistics["aborted"]), (taken, 20 - taken));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_deleted_or_deployed_but_not_both() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let device = world.device();
    for round in 0..10 {
        let name = format!("v{round}");
        let artifact_id = operator.upload(&artifact(&name, "arm", 100)).await.unwrap();
        let (created, deleted) =
            join(operator.create(for_devices(&name, [&device])), operator.delete(&artifact_id))
                .await;
        match (created, deleted) {
            (Ok(id), Err(refused)) => {
                assert_eq!(refused.code, ErrorCode::Conflict);
                operator.artifact(&artifact_id).await.unwrap();
                operator.abort(&id).await.unwrap();
            }
            (Err(refused), Ok(())) => assert_eq!(refused.code, ErrorCode::Unprocessable),
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_uploads_for_the_same_devices_one_wins() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let uploads: Vec<_> = (0..4).map(|n| artifact("v2", "arm", 1000 + n)).collect();
    let answers = join_all(uploads.iter().map(|bytes| operator.upload(bytes))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in answers {
        assert!(answer.err().is_none_or(|error| error.code == ErrorCode::AlreadyExists));
    }
    assert_eq!((world.files(), world.rows("uploads").await), (1, 0));
    assert_eq!(operator.release("v2").await.unwrap().artifacts_count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_deployment_is_created_once() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    world.device();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let answers = join_all((0..4).map(|_| operator.create(deployment("v2")))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(world.rows("deployments").await, 1);
}

/// No task is there to make up for it: whoever comes last finishes the deployment.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_many_reports_finishes_the_deployment() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    let other = world.replica(Running::Nothing).await;
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let devices: Vec<_> = (0..60).map(|_| world.device()).collect();
    let id = operator.create(for_devices("v2", &devices)).await.unwrap();
    let reports = devices.iter().enumerate().map(|(n, device)| {
        let device = if n % 2 == 0 { device.clone() } else { device.at(&other.rpc) };
        let id = &id;
        async move { device.report(id, "success").await }
    });
    for report in join_all(reports).await {
        report.unwrap();
    }
    assert_eq!(operator.deployment(&id).await.unwrap().status(), DeploymentStatus::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_do_not_wait_for_the_deployments_row() {
    let world = World::without_tasks().await;
    let operator = world.operator();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let devices: Vec<_> = (0..3).map(|_| world.device()).collect();
    let id = operator.create(for_devices("v2", &devices)).await.unwrap();
    let mut owner = world.owner().await;
    let mut holding = sqlx::Connection::begin(&mut owner).await.unwrap();
    sqlx::query("select from deployments.deployments for update")
        .execute(&mut *holding)
        .await
        .unwrap();
    let devices_go_on = async {
        assert!(devices[0].next("v1").await.unwrap().is_some());
        devices[0].report(&id, "downloading").await.unwrap();
        devices[1].report(&id, "success").await.unwrap();
        operator.deployment(&id).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(10), devices_go_on).await.expect("nobody waits");
    holding.rollback().await.unwrap();
}

/// Waits until both processes have read which tenants have an active deployment.
async fn both_know(world: &World) {
    eventually("both know", async || {
        let reading: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database()
             and query like 'select distinct tenant_id%' and state = 'idle'",
        )
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
        (reading >= 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_created_here_is_found_there_at_once() {
    let world = World::new().await;
    let operator = world.operator();
    let other = world.replica(Running::Tasks).await;
    both_know(&world).await;
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let device = world.device();
    let elsewhere = device.at(&other.rpc);
    assert_eq!(elsewhere.next("v1").await.unwrap(), None);
    operator.create(for_devices("v2", [&device])).await.unwrap();
    let found = eventually("the device is told", async || elsewhere.next("v1").await.unwrap());
    // A few milliseconds, and far less than the next refresh on any machine.
    tokio::time::timeout(Duration::from_secs(5), found).await.expect("by announcement");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_costs_no_query_where_no_deployment_is_active() {
    let world = World::new().await;
    let operator = world.operator();
    let _other = world.replica(Running::Tasks).await;
    both_know(&world).await;
    let device = world.device();
    sqlx::query("revoke select on deployments.device_deployments from rota_deployments_hot")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    eventually("the set is known", async || device.next("v1").await.ok()).await;
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    operator.create(for_devices("v2", [&world.device_with(DeviceId::mint())])).await.unwrap();
    assert_eq!(device.next("v1").await.unwrap_err().code, ErrorCode::Internal);
}
