//! Runners that die: nothing is dropped, and nothing has two effects.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rota_proto::workflows::v1::JobStatus;
use rota_types::TenantId;

use crate::{desk::Desk, town::Mood};

#[tokio::test]
async fn a_job_goes_on_at_the_step_its_runner_died_in() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    desk.town.put("inventory", Mood::FallSilent);
    let first = desk.runner();
    let device = desk.removed(tenant).await.to_string();
    desk.town.until(tenant, &device, |traces| traces.forgotten_by.len() == 2).await;
    first.kill();
    let job = desk.until(tenant, |job| job.step == 1).await;
    assert_eq!(job.status(), JobStatus::Pending);
    desk.pass_time().await;
    let _second = desk.runner();
    desk.until_done(tenant).await;
    let calls: Vec<_> = desk.town.calls().into_iter().map(|call| call.service).collect();
    assert_eq!(calls, ["deployments", "inventory", "inventory", "deviceauth"]);
    assert_eq!(desk.town.traces(tenant, &device).effects, 3);
}

#[tokio::test]
async fn a_runner_that_lives_keeps_its_job_however_long_the_step_takes() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    desk.town.put("inventory", Mood::FallSilent);
    let device = desk.accepted(tenant).await.to_string();
    let (_one, _other) = (desk.runner(), desk.runner());
    desk.town.until(tenant, &device, |traces| traces.effects == 1).await;
    // The call ends at its deadline, as long as a hold lasts; until then the other runner must
    // not have taken the job.
    let job = desk.until(tenant, |job| !job.last_error.is_empty()).await;
    assert_eq!(job.attempts, 1);
    assert_eq!(desk.town.calls().len(), 1);
    desk.until_done(tenant).await;
}

#[tokio::test]
async fn a_runner_that_stops_ends_its_step_and_gives_the_job_back() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    let mut devices = Vec::new();
    for _ in 0..40 {
        devices.push(desk.removed(tenant).await.to_string());
    }
    let first = desk.runner();
    desk.town.until(tenant, &devices[0], |traces| traces.effects > 0).await;
    assert!(first.stop().await);
    let _second = desk.runner();
    // No hold has to end: what the first one had is there to be taken up.
    let done = desk.town.until(tenant, &devices[39], |traces| traces.effects == 3);
    tokio::time::timeout(Duration::from_secs(8), done).await.unwrap();
    for device in &devices {
        desk.town.until(tenant, device, |traces| traces.effects == 3).await;
    }
    assert_eq!(desk.town.calls().len(), 120);
}

#[tokio::test]
async fn runners_killed_at_random_drop_nothing_and_double_nothing() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    let mut devices = Vec::new();
    for _ in 0..20 {
        let mut runners = [desk.runner(), desk.runner()].into_iter();
        for _ in 0..10 {
            devices.push(desk.removed(tenant).await.to_string());
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..80))).await;
        runners.by_ref().for_each(crate::desk::Runner::kill);
        desk.pass_time().await;
    }
    let _last = desk.runner();
    for device in &devices {
        desk.town.until(tenant, device, |traces| traces.forgotten_by.len() == 3).await;
        let traces = desk.town.traces(tenant, device);
        assert_eq!(traces.forgotten_by, ["deployments", "inventory", "deviceauth"]);
        assert_eq!(traces.effects, 3);
    }
}
