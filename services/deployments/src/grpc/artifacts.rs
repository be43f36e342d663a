//! Artifacts and releases, for people.

use futures::{StreamExt, stream::BoxStream};
use rota_proto::deployments::v1::{
    Artifact, DeleteArtifactRequest, DeleteArtifactResponse, DeleteReleasesRequest,
    DeleteReleasesResponse, DescribeArtifactRequest, DescribeArtifactResponse, DownloadRequest,
    DownloadResponse, GetArtifactRequest, GetDownloadLinkRequest, GetReleaseRequest,
    GetStorageUsageRequest, Link, ListArtifactsRequest, ListArtifactsResponse,
    ListReleaseTagsRequest, ListReleasesRequest, ListReleasesResponse, ListUpdateTypesRequest,
    Release, SetReleaseNotesRequest, SetReleaseNotesResponse, SetReleaseTagsRequest,
    SetReleaseTagsResponse, StorageUsage, UploadRequest, UploadResponse, Words,
    artifact_service_server::ArtifactService,
};
use rota_runtime::to_status;
use rota_types::{ArtifactId, Permission};
use tonic::{Request, Response, Status, Streaming};

use super::{convert, filters, permitted, transfer};
use crate::{Deployments, error::Error};

#[tonic::async_trait]
impl ArtifactService for Deployments {
    async fn upload(
        &self,
        request: Request<Streaming<UploadRequest>>,
    ) -> Result<Response<UploadResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let mut messages = request.into_inner();
        let head = transfer::head(&mut messages).await.map_err(to_status)?;
        let bytes = transfer::bytes(messages).boxed();
        let id = Self::upload(self, &caller, head, bytes).await.map_err(to_status)?;
        Ok(Response::new(UploadResponse { artifact_id: id.to_string() }))
    }

    async fn list_artifacts(
        &self,
        request: Request<ListArtifactsRequest>,
    ) -> Result<Response<ListArtifactsResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let request = request.into_inner();
        let page = convert::page(request.page, request.per_page).map_err(to_status)?;
        let filter = filters::artifacts(request).map_err(to_status)?;
        let (artifacts, total) =
            Self::list_artifacts(self, &caller, &filter, page).await.map_err(to_status)?;
        let artifacts = artifacts.iter().map(convert::artifact).collect();
        Ok(Response::new(ListArtifactsResponse { artifacts, total }))
    }

    async fn get_artifact(
        &self,
        request: Request<GetArtifactRequest>,
    ) -> Result<Response<Artifact>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let id = id(&request.get_ref().id).map_err(to_status)?;
        let artifact = self.artifact(caller.tenant, id).await.map_err(to_status)?;
        Ok(Response::new(convert::artifact(&artifact)))
    }

    async fn describe_artifact(
        &self,
        request: Request<DescribeArtifactRequest>,
    ) -> Result<Response<DescribeArtifactResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let request = request.into_inner();
        let id = id(&request.id).map_err(to_status)?;
        Self::describe_artifact(self, &caller, id, &request.description)
            .await
            .map_err(to_status)?;
        Ok(Response::new(DescribeArtifactResponse {}))
    }

    async fn delete_artifact(
        &self,
        request: Request<DeleteArtifactRequest>,
    ) -> Result<Response<DeleteArtifactResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let id = id(&request.get_ref().id).map_err(to_status)?;
        Self::delete_artifact(self, &caller, id).await.map_err(to_status)?;
        Ok(Response::new(DeleteArtifactResponse {}))
    }

    async fn get_download_link(
        &self,
        request: Request<GetDownloadLinkRequest>,
    ) -> Result<Response<Link>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let id = id(&request.get_ref().id).map_err(to_status)?;
        let link = self.download_link(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(convert::link(link)))
    }

    type DownloadStream = BoxStream<'static, Result<DownloadResponse, Status>>;

    /// Needs no permission: the link is one.
    async fn download(
        &self,
        request: Request<DownloadRequest>,
    ) -> Result<Response<Self::DownloadStream>, Status> {
        let asked = transfer::asked(request.into_inner());
        let download = Self::download(self, &asked).await.map_err(to_status)?;
        Ok(Response::new(transfer::download(download)))
    }

    async fn list_releases(
        &self,
        request: Request<ListReleasesRequest>,
    ) -> Result<Response<ListReleasesResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let request = request.into_inner();
        let page = convert::page(request.page, request.per_page).map_err(to_status)?;
        let filter = filters::releases(request).map_err(to_status)?;
        let (releases, total) =
            Self::list_releases(self, &caller, &filter, page).await.map_err(to_status)?;
        let releases = releases.iter().map(convert::release).collect();
        Ok(Response::new(ListReleasesResponse { releases, total }))
    }

    async fn get_release(
        &self,
        request: Request<GetReleaseRequest>,
    ) -> Result<Response<Release>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let release = self.release(&caller, &request.get_ref().name).await.map_err(to_status)?;
        Ok(Response::new(convert::release(&release)))
    }

    async fn delete_releases(
        &self,
        request: Request<DeleteReleasesRequest>,
    ) -> Result<Response<DeleteReleasesResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let active = Self::delete_releases(self, &caller, &request.get_ref().names)
            .await
            .map_err(to_status)?;
        let active_deployments = active.iter().map(ToString::to_string).collect();
        Ok(Response::new(DeleteReleasesResponse { active_deployments }))
    }

    async fn set_release_notes(
        &self,
        request: Request<SetReleaseNotesRequest>,
    ) -> Result<Response<SetReleaseNotesResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let SetReleaseNotesRequest { name, notes } = request.get_ref();
        self.set_notes(&caller, name, notes).await.map_err(to_status)?;
        Ok(Response::new(SetReleaseNotesResponse {}))
    }

    async fn set_release_tags(
        &self,
        request: Request<SetReleaseTagsRequest>,
    ) -> Result<Response<SetReleaseTagsResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let SetReleaseTagsRequest { name, tags } = request.get_ref();
        self.set_tags(&caller, name, tags).await.map_err(to_status)?;
        Ok(Response::new(SetReleaseTagsResponse {}))
    }

    async fn list_release_tags(
        &self,
        request: Request<ListReleaseTagsRequest>,
    ) -> Result<Response<Words>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let values = self.tags(&caller).await.map_err(to_status)?;
        Ok(Response::new(Words { values }))
    }

    async fn list_update_types(
        &self,
        request: Request<ListUpdateTypesRequest>,
    ) -> Result<Response<Words>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let values = self.update_types(&caller).await.map_err(to_status)?;
        Ok(Response::new(Words { values }))
    }

    async fn get_storage_usage(
        &self,
        request: Request<GetStorageUsageRequest>,
    ) -> Result<Response<StorageUsage>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let storage = self.storage(&caller).await.map_err(to_status)?;
        let (limit, usage) = (storage.limit_bytes.unwrap_or(0), storage.used_bytes);
        Ok(Response::new(StorageUsage { limit, usage }))
    }
}

fn id(text: &str) -> Result<ArtifactId, Error> {
    text.parse().map_err(|_| Error::NotUuid)
}
