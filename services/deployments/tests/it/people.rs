//! What people, devices and services say to the service, in one line each.

use std::collections::HashMap;

use futures::stream;
use rota_proto::deployments::v1::*;
use rota_runtime::{Failure, Rpc, with_caller};
use rota_types::{Caller, DeviceId, ErrorCode};
use tonic::IntoRequest;

type Artifacts = artifact_service_client::ArtifactServiceClient<Rpc>;
type Devices = device_service_client::DeviceServiceClient<Rpc>;
type Management = management_service_client::ManagementServiceClient<Rpc>;
type Internal = internal_service_client::InternalServiceClient<Rpc>;

pub(crate) type Answer<T> = Result<T, Failure>;

/// Somebody who calls.
#[derive(Clone)]
pub(crate) struct Person {
    rpc: Rpc,
    caller: Caller,
}

macro_rules! call {
    ($person:ident, $client:ident . $method:ident ( $request:expr )) => {{
        let client = <$client>::new($person.rpc.clone());
        let request = $person.ask($request);
        { client }.$method(request).await.map(tonic::Response::into_inner).map_err(Failure::from)
    }};
}

/// What a deployment is made of, mostly defaults.
pub(crate) fn deployment(artifact_name: &str) -> CreateDeploymentRequest {
    CreateDeploymentRequest {
        name: format!("roll out {artifact_name}"),
        artifact_name: artifact_name.to_owned(),
        target: Some(create_deployment_request::Target::AllDevices(true)),
        ..Default::default()
    }
}

pub(crate) fn for_devices<'a>(
    artifact_name: &str,
    devices: impl IntoIterator<Item = &'a Person>,
) -> CreateDeploymentRequest {
    let values = devices.into_iter().map(|device| device.id().to_string()).collect();
    CreateDeploymentRequest {
        target: Some(create_deployment_request::Target::Devices(Words { values })),
        ..deployment(artifact_name)
    }
}

impl Person {
    pub(crate) fn new(rpc: Rpc, caller: Caller) -> Self {
        Self { rpc, caller }
    }

    /// The same, at another process.
    pub(crate) fn at(&self, rpc: &Rpc) -> Self {
        Self { rpc: rpc.clone(), caller: self.caller.clone() }
    }

    fn ask<T>(&self, message: impl IntoRequest<T>) -> tonic::Request<T> {
        with_caller(message, &self.caller)
    }

    /// The device that it is.
    pub(crate) fn id(&self) -> DeviceId {
        self.caller.device().unwrap()
    }

    // --- Artifacts -----------------------------------------------------------------------

    pub(crate) async fn upload(&self, bytes: &[u8]) -> Answer<String> {
        self.upload_as(UploadHead::default(), bytes, true).await
    }

    /// Uploads in small pieces; one that does not end is cut.
    pub(crate) async fn upload_as(
        &self,
        head: UploadHead,
        bytes: &[u8],
        ends: bool,
    ) -> Answer<String> {
        use upload_request::Part;
        let message = |part| UploadRequest { part: Some(part) };
        let mut messages = vec![message(Part::Head(head))];
        messages.extend(bytes.chunks(1000).map(|chunk| message(Part::Chunk(chunk.to_vec()))));
        if ends {
            messages.push(message(Part::End(UploadEnd {})));
        }
        self.send(stream::iter(messages)).await
    }

    /// Uploads what comes through the channel.
    pub(crate) async fn upload_stream(
        &self,
        messages: tokio::sync::mpsc::Receiver<UploadRequest>,
    ) -> Answer<String> {
        self.send(tokio_stream::wrappers::ReceiverStream::new(messages)).await
    }

    async fn send(
        &self,
        messages: impl futures::Stream<Item = UploadRequest> + Send + 'static,
    ) -> Answer<String> {
        let mut request = tonic::Request::new(messages);
        let entry = self.caller.encode().parse().unwrap();
        request.metadata_mut().insert(Caller::METADATA_KEY, entry);
        let answer = Artifacts::new(self.rpc.clone()).upload(request).await;
        answer.map(|answer| answer.into_inner().artifact_id).map_err(Failure::from)
    }

    pub(crate) async fn artifacts(
        &self,
        request: ListArtifactsRequest,
    ) -> Answer<ListArtifactsResponse> {
        call!(self, Artifacts.list_artifacts(request))
    }

    pub(crate) async fn artifact(&self, id: &str) -> Answer<Artifact> {
        call!(self, Artifacts.get_artifact(GetArtifactRequest { id: id.to_owned() }))
    }

    pub(crate) async fn describe(&self, id: &str, description: &str) -> Answer<()> {
        let (id, description) = (id.to_owned(), description.to_owned());
        call!(self, Artifacts.describe_artifact(DescribeArtifactRequest { id, description }))
            .map(drop)
    }

    pub(crate) async fn delete(&self, id: &str) -> Answer<()> {
        call!(self, Artifacts.delete_artifact(DeleteArtifactRequest { id: id.to_owned() }))
            .map(drop)
    }

    pub(crate) async fn link(&self, id: &str) -> Answer<Link> {
        call!(self, Artifacts.get_download_link(GetDownloadLinkRequest { id: id.to_owned() }))
    }

    /// Follows a link, with a range and a condition.
    pub(crate) async fn download(
        &self,
        uri: &str,
        range: Option<&str>,
        if_range: Option<&str>,
    ) -> Answer<(DownloadHead, Vec<u8>)> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let request = DownloadRequest {
            path: path.to_owned(),
            query: query.to_owned(),
            range: range.map(ToOwned::to_owned),
            if_range: if_range.map(ToOwned::to_owned),
            ..DownloadRequest::default()
        };
        self.follow(request).await
    }

    /// Follows a link as it is asked for.
    pub(crate) async fn follow(&self, request: DownloadRequest) -> Answer<(DownloadHead, Vec<u8>)> {
        // Nobody vouches for who follows a link.
        let answer = Artifacts::new(self.rpc.clone()).download(request).await?;
        let mut messages = answer.into_inner();
        let (mut head, mut bytes) = (None, Vec::new());
        while let Some(message) = messages.message().await? {
            match message.part.unwrap() {
                download_response::Part::Head(first) => head = Some(first),
                download_response::Part::Chunk(chunk) => bytes.extend_from_slice(&chunk),
            }
        }
        Ok((head.unwrap(), bytes))
    }

    pub(crate) async fn releases(
        &self,
        request: ListReleasesRequest,
    ) -> Answer<ListReleasesResponse> {
        call!(self, Artifacts.list_releases(request))
    }

    pub(crate) async fn release(&self, name: &str) -> Answer<Release> {
        call!(self, Artifacts.get_release(GetReleaseRequest { name: name.to_owned() }))
    }

    pub(crate) async fn delete_releases(&self, names: &[&str]) -> Answer<Vec<String>> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let answer = call!(self, Artifacts.delete_releases(DeleteReleasesRequest { names }));
        answer.map(|answer| answer.active_deployments)
    }

    pub(crate) async fn set_notes(&self, name: &str, notes: &str) -> Answer<()> {
        let (name, notes) = (name.to_owned(), notes.to_owned());
        call!(self, Artifacts.set_release_notes(SetReleaseNotesRequest { name, notes })).map(drop)
    }

    pub(crate) async fn set_tags(&self, name: &str, tags: &[&str]) -> Answer<()> {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let request = SetReleaseTagsRequest { name: name.to_owned(), tags };
        call!(self, Artifacts.set_release_tags(request)).map(drop)
    }

    pub(crate) async fn tags(&self) -> Answer<Vec<String>> {
        call!(self, Artifacts.list_release_tags(ListReleaseTagsRequest {}))
            .map(|words| words.values)
    }

    pub(crate) async fn update_types(&self) -> Answer<Vec<String>> {
        call!(self, Artifacts.list_update_types(ListUpdateTypesRequest {}))
            .map(|words| words.values)
    }

    pub(crate) async fn storage(&self) -> Answer<StorageUsage> {
        call!(self, Artifacts.get_storage_usage(GetStorageUsageRequest {}))
    }

    // --- deployments ---------------------------------------------------------------------

    pub(crate) async fn create(&self, request: CreateDeploymentRequest) -> Answer<String> {
        call!(self, Management.create_deployment(request)).map(|created| created.id)
    }

    pub(crate) async fn deployments(
        &self,
        request: ListDeploymentsRequest,
    ) -> Answer<ListDeploymentsResponse> {
        let request = ListDeploymentsRequest { page: 1, per_page: 20, ..request };
        call!(self, Management.list_deployments(request))
    }

    pub(crate) async fn deployment(&self, id: &str) -> Answer<Deployment> {
        call!(self, Management.get_deployment(GetDeploymentRequest { id: id.to_owned() }))
    }

    /// How many devices of a deployment are where, without those where none is.
    pub(crate) async fn statistics(&self, id: &str) -> HashMap<String, u64> {
        let statistics = self.deployment(id).await.unwrap().statistics;
        statistics.into_iter().filter(|(_, devices)| *devices > 0).collect()
    }

    pub(crate) async fn statistics_of(&self, ids: &[&str]) -> Answer<Vec<DeploymentStatistics>> {
        let deployment_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let answer =
            call!(self, Management.get_statistics(GetStatisticsRequest { deployment_ids }));
        answer.map(|answer| answer.statistics)
    }

    pub(crate) async fn abort(&self, id: &str) -> Answer<()> {
        let request = AbortDeploymentRequest { id: id.to_owned() };
        call!(self, Management.abort_deployment(request)).map(drop)
    }

    pub(crate) async fn replace_control_map(&self, id: &str, map: ControlMap) -> Answer<()> {
        let request =
            ReplaceControlMapRequest { deployment_id: id.to_owned(), control_map: Some(map) };
        call!(self, Management.replace_control_map(request)).map(drop)
    }

    pub(crate) async fn devices_of(
        &self,
        deployment: &str,
        status: &str,
        page: (u32, u32),
    ) -> Answer<ListDeviceDeploymentsResponse> {
        let request = ListDeploymentDevicesRequest {
            deployment_id: deployment.to_owned(),
            status: status.to_owned(),
            page: page.0,
            per_page: page.1,
        };
        call!(self, Management.list_deployment_devices(request))
    }

    pub(crate) async fn device_ids(&self, deployment: &str) -> Answer<Vec<String>> {
        let request = ListDeploymentDeviceIdsRequest { deployment_id: deployment.to_owned() };
        call!(self, Management.list_deployment_device_ids(request)).map(|words| words.values)
    }

    pub(crate) async fn log_of(&self, deployment: &str, device: DeviceId) -> Answer<String> {
        let request =
            GetLogRequest { deployment_id: deployment.to_owned(), device_id: device.to_string() };
        call!(self, Management.get_log(request)).map(|answer| answer.text)
    }

    pub(crate) async fn history(
        &self,
        device: DeviceId,
        status: &str,
    ) -> Answer<ListDeviceHistoryResponse> {
        let request = ListDeviceHistoryRequest {
            device_id: device.to_string(),
            status: status.to_owned(),
            page: 1,
            per_page: 20,
        };
        call!(self, Management.list_device_history(request))
    }

    pub(crate) async fn abort_device(&self, device: DeviceId) -> Answer<()> {
        let request = AbortDeviceRequest { device_id: device.to_string() };
        call!(self, Management.abort_device(request)).map(drop)
    }

    pub(crate) async fn hide_history(&self, device: DeviceId) -> Answer<()> {
        let request = HideDeviceHistoryRequest { device_id: device.to_string() };
        call!(self, Management.hide_device_history(request)).map(drop)
    }

    // --- devices -------------------------------------------------------------------------

    /// Asks what to do, as a device of type `arm`.
    pub(crate) async fn next(&self, installed: &str) -> Answer<Option<Instructions>> {
        self.next_with(installed, &[]).await
    }

    pub(crate) async fn next_with(
        &self,
        installed: &str,
        provides: &[(&str, &str)],
    ) -> Answer<Option<Instructions>> {
        let request = polling(installed, provides);
        call!(self, Devices.next(request)).map(|answer| answer.instructions)
    }

    /// Asks what to do, as a device of type `arm` that understands control maps.
    pub(crate) async fn next_held(&self, installed: &str) -> Answer<Option<Instructions>> {
        let request = NextRequest { understands_control_maps: true, ..polling(installed, &[]) };
        call!(self, Devices.next(request)).map(|answer| answer.instructions)
    }

    pub(crate) async fn control_map(&self, deployment: &str) -> Answer<Option<ControlMap>> {
        let request = GetControlMapRequest { deployment_id: deployment.to_owned() };
        call!(self, Devices.get_control_map(request)).map(|answer| answer.control_map)
    }

    pub(crate) async fn report(&self, deployment: &str, status: &str) -> Answer<()> {
        self.report_with(deployment, status, "").await
    }

    pub(crate) async fn report_with(
        &self,
        deployment: &str,
        status: &str,
        substate: &str,
    ) -> Answer<()> {
        let request = ReportStatusRequest {
            deployment_id: deployment.to_owned(),
            status: status.to_owned(),
            substate: substate.to_owned(),
        };
        call!(self, Devices.report_status(request)).map(drop)
    }

    pub(crate) async fn send_log(&self, deployment: &str, messages: &[&str]) -> Answer<()> {
        let line = |message: &&str| LogLine {
            time: Some(rota_proto::to_timestamp(1_800_000_000, 0)),
            level: "info".to_owned(),
            message: (*message).to_owned(),
        };
        let lines = messages.iter().map(line).collect();
        let request = StoreLogRequest { deployment_id: deployment.to_owned(), lines };
        call!(self, Devices.store_log(request)).map(drop)
    }

    // --- services ------------------------------------------------------------------------

    pub(crate) async fn decommission(&self, device: DeviceId) -> Answer<()> {
        let request = DecommissionDeviceRequest { device_id: device.to_string() };
        call!(self, Internal.decommission_device(request)).map(drop)
    }

    pub(crate) async fn limit_storage(&self, limit: u64) -> Answer<()> {
        call!(self, Internal.set_storage_limit(SetStorageLimitRequest { limit })).map(drop)
    }
}

/// What a device of type `arm` asks.
fn polling(installed: &str, provides: &[(&str, &str)]) -> NextRequest {
    let mut all = HashMap::from([("device_type".to_owned(), "arm".to_owned())]);
    all.extend(provides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    NextRequest {
        device_type: all["device_type"].clone(),
        artifact_name: installed.to_owned(),
        provides: all,
        understands_control_maps: false,
    }
}

/// A map with one rule.
pub(crate) fn control_map(point: &str, action: ControlAction) -> ControlMap {
    let rule = ControlRule { action: action.into(), ..ControlRule::default() };
    ControlMap { priority: 0, states: [(point.to_owned(), rule)].into() }
}

/// The code and the words of a refusal.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Answer<T>) -> (ErrorCode, String) {
    let failure = answer.unwrap_err();
    (failure.code, failure.message)
}
