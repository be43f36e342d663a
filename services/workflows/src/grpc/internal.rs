//! `rota.workflows.v1.InternalService`.

use rota_proto::workflows::v1::{
    GetJobRequest, Job, ListJobsRequest, ListJobsResponse, RetryJobRequest, RetryJobResponse,
    internal_service_server::InternalService,
};
use rota_runtime::to_status;
use rota_types::Permission;
use tonic::{Request, Response, Status};

use super::{convert, permitted};
use crate::Workflows;

#[tonic::async_trait]
impl InternalService for Workflows {
    async fn list_jobs(
        &self,
        request: Request<ListJobsRequest>,
    ) -> Result<Response<ListJobsResponse>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let (status, device, page) = convert::list(request.get_ref()).map_err(to_status)?;
        let jobs = self.jobs(&caller, status, device, page).await.map_err(to_status)?;
        let jobs = jobs.into_iter().map(Job::from).collect();
        Ok(Response::new(ListJobsResponse { jobs }))
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<Job>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let id = convert::job_id(&request.get_ref().id).map_err(to_status)?;
        let job = self.job(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(job.into()))
    }

    async fn retry_job(
        &self,
        request: Request<RetryJobRequest>,
    ) -> Result<Response<RetryJobResponse>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let id = convert::job_id(&request.get_ref().id).map_err(to_status)?;
        self.retry(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(RetryJobResponse {}))
    }
}
