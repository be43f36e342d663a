//! Jobs are carried out: in order, at once, and until they are done.

use std::time::{Duration, Instant};

use rota_proto::workflows::v1::JobStatus;
use rota_types::{DeviceId, TenantId};
use tonic::Status;

use crate::{
    desk::{Desk, decommissioned, status_changed},
    town::Mood,
};

#[tokio::test]
async fn an_accepted_device_is_in_inventory_in_no_time() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    let _runner = desk.runner();
    // The first shows that the runner is there.
    let first = desk.accepted(tenant).await.to_string();
    desk.town.until(tenant, &first, |traces| traces.inventory.is_some()).await;
    let mut took = Vec::new();
    for _ in 0..9 {
        let began = Instant::now();
        let device = desk.accepted(tenant).await.to_string();
        desk.town.until(tenant, &device, |traces| traces.inventory.is_some()).await;
        took.push(began.elapsed());
    }
    took.sort();
    // Well below the third of a second at which the runner looks by itself.
    assert!(took[4] < Duration::from_millis(150), "{took:?}");
    let expected = Some((1, "accepted".to_owned()));
    assert_eq!(desk.town.traces(tenant, &first).inventory, expected);
    assert!(desk.town.calls().iter().all(|call| call.request_id == "request-1"));
}

#[tokio::test]
async fn a_removed_device_is_forgotten_everywhere_in_order() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    let device = desk.removed(tenant).await.to_string();
    let _runner = desk.runner();
    let job = desk.until_done(tenant).await;
    assert_eq!((job.workflow.as_str(), job.step), ("decommission_device", 3));
    let traces = desk.town.traces(tenant, &device);
    assert_eq!(traces.forgotten_by, ["deployments", "inventory", "deviceauth"]);
    assert_eq!(desk.town.calls().len(), 3);
}

#[tokio::test]
async fn words_that_overtake_each_other_end_with_the_newest() {
    let desk = Desk::open().await;
    let (tenant, device) = (TenantId::mint(), DeviceId::mint());
    for (revision, status) in [(3, "rejected"), (1, "pending"), (2, "accepted")] {
        desk.publish(&status_changed(tenant, device, status, revision)).await;
    }
    let _runner = desk.runner();
    let all_done = async {
        while desk.jobs(tenant).await.iter().any(|job| job.status() != JobStatus::Done) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), all_done).await.unwrap();
    let traces = desk.town.traces(tenant, &device.to_string());
    assert_eq!(traces.inventory, Some((3, "rejected".to_owned())));
    // A word that comes after the removal brings nothing back.
    desk.publish(&decommissioned(tenant, device)).await;
    desk.town.until(tenant, &device.to_string(), |traces| traces.forgotten_by.len() == 3).await;
    desk.publish(&status_changed(tenant, device, "accepted", 4)).await;
    tokio::time::timeout(Duration::from_secs(30), async {
        while desk.jobs(tenant).await.iter().any(|job| job.status() != JobStatus::Done) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(desk.town.traces(tenant, &device.to_string()).inventory, None);
}

#[tokio::test]
async fn an_outage_is_waited_out() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    // More often than a step may fail by itself.
    for _ in 0..40 {
        desk.town.put("inventory", Mood::Refuse(Status::unavailable("away")));
    }
    let device = desk.removed(tenant).await.to_string();
    let _runner = desk.runner();
    let forgotten = async {
        let mut last = 0;
        while desk.town.traces(tenant, &device).forgotten_by.len() < 3 {
            let calls = desk.town.calls().len();
            if calls == last {
                desk.pass_time().await;
            }
            last = calls;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), forgotten).await.unwrap();
    let job = desk.until_done(tenant).await;
    assert_eq!(job.last_error, "");
    assert_eq!(desk.town.traces(tenant, &device).effects, 3);
}

#[tokio::test]
async fn what_keeps_failing_waits_for_a_person_and_goes_on_where_it_stopped() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    for _ in 0..10 {
        desk.town.put("inventory", Mood::Refuse(Status::internal("broken")));
    }
    let device = desk.removed(tenant).await.to_string();
    let _runner = desk.runner();
    let failing = async {
        loop {
            let job = desk.jobs(tenant).await.remove(0);
            if job.status() == JobStatus::Failed {
                break job;
            }
            desk.pass_pause().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let failed = tokio::time::timeout(Duration::from_mins(1), failing).await.unwrap();
    assert_eq!((failed.step, failed.attempts), (1, 10));
    assert_eq!(failed.last_error, "INTERNAL: internal error");
    assert_eq!(desk.town.traces(tenant, &device).forgotten_by, ["deployments"]);
    desk.retry(tenant, &failed.id).await.unwrap();
    let job = desk.until_done(tenant).await;
    assert_eq!((job.id, job.step), (failed.id, 3));
    let deployments = desk.town.calls().into_iter().filter(|call| call.service == "deployments");
    assert_eq!(deployments.count(), 1);
}

#[tokio::test]
async fn each_job_runs_in_its_own_tenant() {
    let desk = Desk::open().await;
    let (one, other) = (TenantId::mint(), TenantId::mint());
    let (mine, theirs) = (desk.accepted(one).await, desk.accepted(other).await);
    let _runner = desk.runner();
    desk.until_done(one).await;
    desk.until_done(other).await;
    let mut calls: Vec<_> =
        desk.town.calls().into_iter().map(|call| (call.tenant, call.device)).collect();
    calls.sort();
    let mut expected = [(one, mine.to_string()), (other, theirs.to_string())];
    expected.sort();
    assert_eq!(calls, expected);
}
