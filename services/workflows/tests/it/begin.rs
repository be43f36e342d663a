//! Events begin jobs: each one, and each once.

use std::sync::Arc;

use rota_bus::Publisher;
use rota_testkit::{TestDatabase, TestNats};
use rota_types::{DeviceId, TenantId};
use rota_workflows::SCHEMA;

use crate::{
    desk::{Desk, decommissioned, service, status_changed},
    town::Town,
};

#[tokio::test]
async fn an_event_that_comes_twice_begins_one_job() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    let event = status_changed(tenant, DeviceId::mint(), "accepted", 1);
    let copies = (0..8).map(|_| desk.publish(&event));
    futures::future::join_all(copies).await;
    assert_eq!(desk.jobs(tenant).await.len(), 1);
}

#[tokio::test]
async fn an_event_without_sense_begins_nothing_and_is_kept() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    let mut event = status_changed(tenant, DeviceId::mint(), "accepted", 1);
    event.data = serde_json::json!({"device": "nonsense"});
    desk.publish(&event).await;
    assert_eq!(desk.jobs(tenant).await.len(), 0);
    let db = desk.database.connect(&SCHEMA).await;
    let letters = rota_store::dead_letters::list(&db, "workflows", 10).await.unwrap();
    assert_eq!(
        letters.iter().map(|letter| letter.event_id).collect::<Vec<_>>(),
        [Some(event.id.uuid())]
    );
}

#[tokio::test]
async fn identity_data_with_nul_begins_a_job_like_any_other() {
    let desk = Desk::open().await;
    let (tenant, device) = (TenantId::mint(), DeviceId::mint());
    let mut event = status_changed(tenant, device, "accepted", 1);
    event.data["identity_data"] = serde_json::json!({"mac": "a\0b"});
    desk.publish(&event).await;
    let _runner = desk.runner();
    desk.until_done(tenant).await;
}

#[tokio::test]
async fn two_replicas_share_the_events_of_a_real_broker() {
    let (database, nats) = (TestDatabase::new(&[&SCHEMA]).await, TestNats::start().await);
    let town = Town::default();
    for _ in 0..2 {
        service(&database, Arc::new(nats.bus("rota-workflows").await), &town).await;
    }
    let publisher = nats.bus("rota-deviceauth").await;
    publisher.ready().await;
    let tenant = TenantId::mint();
    for n in 0..20 {
        let event = if n % 2 == 0 {
            status_changed(tenant, DeviceId::mint(), "accepted", 1)
        } else {
            decommissioned(tenant, DeviceId::mint())
        };
        publisher.publish(&event).await.unwrap();
        publisher.publish(&event).await.unwrap();
    }
    let mut owner = database.owner().await;
    let waiting = async {
        loop {
            let (jobs, devices): (i64, i64) =
                sqlx::query_as("select count(*), count(distinct device_id) from workflows.jobs")
                    .fetch_one(&mut owner)
                    .await
                    .unwrap();
            assert_eq!(jobs, devices);
            if jobs == 20 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), waiting).await.unwrap();
}
