//! A job: one run of a workflow for one device.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use rota_types::{DeviceId, JobId};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// Under way, or waiting to be.
    Pending,
    /// All its steps are done.
    Done,
    /// It was given up, and waits for a person.
    Failed,
}

/// A word that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown job status {0:?}")]
pub struct UnknownStatus(String);

impl JobStatus {
    const ALL: [Self; 3] = [Self::Pending, Self::Done, Self::Failed];

    /// The status's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for JobStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.word() == word)
            .ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}

/// A job as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// The workflow's word. A job of a newer release may have one that is unknown here.
    pub workflow: String,
    /// Whom it is for.
    pub device: DeviceId,
    /// Where it stands.
    pub status: JobStatus,
    /// Steps done so far.
    pub step: u32,
    /// Times the present step was begun.
    pub attempts: u32,
    /// Why the last attempt failed; empty when none has.
    pub last_error: String,
    /// When the event was taken in (UTC).
    pub created: DateTime<Utc>,
    /// When anything of the job last changed (UTC).
    pub updated: DateTime<Utc>,
}
