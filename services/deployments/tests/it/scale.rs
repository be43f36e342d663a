//! Large fleets.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use rota_proto::deployments::v1::DeploymentStatus;

use crate::{
    people::deployment,
    world::{World, artifact, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_to_ten_thousand_is_accepted_without_a_row_for_each() {
    let world = World::new().await;
    let operator = world.operator();
    let devices: Vec<_> = (0..10_000).map(|_| world.device()).collect();
    operator.upload(&artifact("v2", "arm", 100)).await.unwrap();
    let begun = Instant::now();
    let id = operator.create(deployment("v2")).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    eventually("every device is listed", async || {
        (operator.deployment(&id).await.unwrap().device_count == 10_000).then_some(())
    })
    .await;
    let page = operator.devices_of(&id, "", (500, 20)).await.unwrap();
    assert_eq!((page.devices.len(), page.total), (20, 10_000));
    assert_eq!(operator.device_ids(&id).await.unwrap().len(), 10_000);

    let some = devices.iter().take(300);
    stream::iter(some)
        .for_each_concurrent(32, async |device| {
            assert_eq!(device.next("v1").await.unwrap().unwrap().deployment_id, id);
            device.report(&id, "success").await.unwrap();
        })
        .await;
    let running = operator.deployment(&id).await.unwrap();
    assert_eq!(running.status(), DeploymentStatus::InProgress);
    assert_eq!((running.statistics["success"], running.statistics["pending"]), (300, 9_700));
}
