//! Looking at jobs, and taking up those that were given up.

use rota_types::{Caller, DeviceId, JobId, Page};

use crate::{
    Error, Workflows,
    model::{Job, JobStatus},
    store::jobs,
};

impl Workflows {
    /// A page of jobs, the newest first; of one status and one device, when these are set.
    pub async fn jobs(
        &self,
        caller: &Caller,
        status: Option<JobStatus>,
        device: Option<DeviceId>,
        page: Page,
    ) -> Result<Vec<Job>, Error> {
        let mut tx = self.db.tenant(caller.tenant).await?;
        let jobs = jobs::list(&mut tx, status, device, page).await?;
        tx.commit().await?;
        Ok(jobs)
    }

    /// A job.
    pub async fn job(&self, caller: &Caller, id: JobId) -> Result<Job, Error> {
        let mut tx = self.db.tenant(caller.tenant).await?;
        let job = jobs::find(&mut tx, id).await?;
        tx.commit().await?;
        job.ok_or(Error::NoJob)
    }

    /// Takes a failed job up again where it stopped.
    pub async fn retry(&self, caller: &Caller, id: JobId) -> Result<(), Error> {
        let mut tx = self.db.tenant(caller.tenant).await?;
        if !jobs::retry(&mut tx, id).await? {
            let known = jobs::find(&mut tx, id).await?.is_some();
            return Err(if known { Error::NotFailed } else { Error::NoJob });
        }
        tx.commit().await?;
        Ok(())
    }
}
