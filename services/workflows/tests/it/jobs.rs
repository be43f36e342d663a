//! What can be asked about jobs, and by whom.

use std::time::Duration;

use rota_proto::workflows::v1::{JobStatus, ListJobsRequest};
use rota_types::{Actor, Caller, ErrorCode, JobId, Permission, TenantId};
use tonic::Request;

use crate::desk::{Desk, request};

#[tokio::test]
async fn jobs_are_listed_by_status_and_device_the_newest_first() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    let first = desk.accepted(tenant).await;
    let second = desk.removed(tenant).await;
    let devices: Vec<_> = desk.jobs(tenant).await.into_iter().map(|job| job.device_id).collect();
    assert_eq!(devices, [second.to_string(), first.to_string()]);
    let list = async |status: JobStatus, device: &str, page| {
        let (status, device_id) = (status.into(), device.to_owned());
        let message = ListJobsRequest { status, device_id, page, per_page: 1 };
        let answer = desk.client().list_jobs(request(tenant, message)).await;
        answer.map(|answer| answer.into_inner().jobs.len()).map_err(|status| status.code())
    };
    assert_eq!(list(JobStatus::Unspecified, "", 2).await, Ok(1));
    assert_eq!(list(JobStatus::Unspecified, "", 3).await, Ok(0));
    assert_eq!(list(JobStatus::Pending, &first.to_string(), 1).await, Ok(1));
    assert_eq!(list(JobStatus::Done, &first.to_string(), 1).await, Ok(0));
    assert_eq!(list(JobStatus::Done, "nonsense", 1).await, Err(tonic::Code::InvalidArgument));
    assert_eq!(list(JobStatus::Done, "", 0).await, Err(tonic::Code::InvalidArgument));
}

#[tokio::test]
async fn jobs_of_another_tenant_do_not_exist() {
    let desk = Desk::open().await;
    let (ours, theirs) = (TenantId::mint(), TenantId::mint());
    desk.accepted(theirs).await;
    desk.sql("update workflows.jobs set status = 'failed'").await;
    let job = desk.jobs(theirs).await.remove(0);
    assert_eq!(desk.jobs(ours).await, []);
    assert_eq!(desk.job(ours, &job.id).await, Err(ErrorCode::NotFound));
    assert_eq!(desk.retry(ours, &job.id).await, Err(ErrorCode::NotFound));
    assert_eq!(desk.job(theirs, &job.id).await, Ok(job));
}

#[tokio::test]
async fn only_a_failed_job_is_retried() {
    let desk = Desk::open().await;
    let tenant = TenantId::mint();
    desk.accepted(tenant).await;
    let job = desk.jobs(tenant).await.remove(0);
    assert_eq!(desk.retry(tenant, &job.id).await, Err(ErrorCode::Conflict));
    assert_eq!(desk.retry(tenant, "nonsense").await, Err(ErrorCode::NotFound));
    assert_eq!(desk.retry(tenant, &JobId::mint().to_string()).await, Err(ErrorCode::NotFound));
}

#[tokio::test]
async fn people_have_no_business_here() {
    let desk = Desk::open().await;
    let mut caller =
        Caller::service("x", TenantId::mint(), chrono::DateTime::<chrono::Utc>::MAX_UTC);
    caller.actor = Actor::Anonymous;
    caller.permissions = vec![Permission::Manage];
    let message = Request::new(ListJobsRequest { page: 1, per_page: 1, ..Default::default() });
    let refused = desk.client().list_jobs(rota_runtime::with_caller(message, &caller)).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::PermissionDenied);
}

#[tokio::test]
async fn jobs_that_were_done_a_week_ago_are_removed_and_failed_ones_stay() {
    let desk = Desk::open().await;
    let (old, recent, failed) = (TenantId::mint(), TenantId::mint(), TenantId::mint());
    for tenant in [old, recent, failed] {
        desk.accepted(tenant).await;
    }
    let runner = desk.runner();
    for tenant in [old, recent, failed] {
        desk.until_done(tenant).await;
    }
    runner.kill();
    let mut owner = desk.database.owner().await;
    for (tenant, status, days) in [(old, "done", 8), (recent, "done", 6), (failed, "failed", 8)] {
        sqlx::query(
            "update workflows.jobs set status = $2, updated_at = now() - make_interval(days => $3)
             where tenant_id = $1",
        )
        .bind(tenant.uuid())
        .bind(status)
        .bind(days)
        .execute(&mut owner)
        .await
        .unwrap();
    }
    let _runner = desk.runner();
    let swept = async {
        while !desk.jobs(old).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), swept).await.unwrap();
    assert_eq!((desk.jobs(recent).await.len(), desk.jobs(failed).await.len()), (1, 1));
}
