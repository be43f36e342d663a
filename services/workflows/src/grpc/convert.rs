//! Wire types to the model's and back.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use rota_proto::workflows::v1 as pb;
use rota_types::{DeviceId, JobId, MAX_PER_PAGE, Page};

use crate::{
    Error,
    model::{Job, JobStatus},
};

/// A job that cannot exist is one that is not found.
pub(super) fn job_id(text: &str) -> Result<JobId, Error> {
    text.parse().map_err(|_| Error::NoJob)
}

type Listed = (Option<JobStatus>, Option<DeviceId>, Page);

pub(super) fn list(wire: &pb::ListJobsRequest) -> Result<Listed, Error> {
    let status = match wire.status() {
        pb::JobStatus::Unspecified => None,
        pb::JobStatus::Pending => Some(JobStatus::Pending),
        pb::JobStatus::Done => Some(JobStatus::Done),
        pb::JobStatus::Failed => Some(JobStatus::Failed),
    };
    let device = match wire.device_id.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|_| Error::Malformed("device id must be a UUID"))?),
    };
    Ok((status, device, Page::new(wire.page, wire.per_page, MAX_PER_PAGE)?))
}

impl From<Job> for pb::Job {
    fn from(job: Job) -> Self {
        let status = match job.status {
            JobStatus::Pending => pb::JobStatus::Pending,
            JobStatus::Done => pb::JobStatus::Done,
            JobStatus::Failed => pb::JobStatus::Failed,
        };
        Self {
            id: job.id.to_string(),
            workflow: job.workflow,
            device_id: job.device.to_string(),
            status: status.into(),
            step: job.step,
            attempts: job.attempts,
            last_error: job.last_error,
            created: Some(timestamp(job.created)),
            updated: Some(timestamp(job.updated)),
        }
    }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    rota_proto::to_timestamp(time.timestamp(), time.timestamp_subsec_nanos())
}
