//! What devices ask and report.

use rota_proto::deployments::v1::{
    GetControlMapRequest, GetControlMapResponse, NextRequest, NextResponse, ReportStatusRequest,
    ReportStatusResponse, StoreLogRequest, StoreLogResponse, device_service_server::DeviceService,
};
use rota_runtime::to_status;
use tonic::{Request, Response, Status};

use super::{control_map, convert, device};
use crate::{
    Deployments,
    error::Error,
    model::{
        artifact::DEVICE_TYPE,
        decision::{ARTIFACT_NAME, Device},
        device_log::LogLine,
    },
};

/// The most that a device may provide: keys, and bytes in one key or value.
const MAX_PROVIDES: usize = 1_000;
const MAX_PROVIDED_BYTES: usize = 8_192;

#[tonic::async_trait]
impl DeviceService for Deployments {
    async fn next(&self, request: Request<NextRequest>) -> Result<Response<NextResponse>, Status> {
        let (caller, device) = device(&request)?;
        let asking = asking(request.into_inner()).map_err(to_status)?;
        let instructions =
            Self::next(self, caller.tenant, device, asking).await.map_err(to_status)?;
        let instructions = instructions.map(convert::instructions);
        Ok(Response::new(NextResponse { instructions }))
    }

    async fn report_status(
        &self,
        request: Request<ReportStatusRequest>,
    ) -> Result<Response<ReportStatusResponse>, Status> {
        let (caller, device) = device(&request)?;
        let ReportStatusRequest { deployment_id, status, substate } = request.into_inner();
        let deployment = convert::known_id(&deployment_id).map_err(to_status)?;
        Self::report_status(self, &caller, device, deployment, &status, &substate)
            .await
            .map_err(to_status)?;
        Ok(Response::new(ReportStatusResponse {}))
    }

    async fn store_log(
        &self,
        request: Request<StoreLogRequest>,
    ) -> Result<Response<StoreLogResponse>, Status> {
        let (caller, device) = device(&request)?;
        let StoreLogRequest { deployment_id, lines } = request.into_inner();
        let deployment = convert::known_id(&deployment_id).map_err(to_status)?;
        let lines: Result<Vec<LogLine>, Error> = lines.into_iter().map(convert::log_line).collect();
        let lines = lines.map_err(to_status)?;
        Self::store_log(self, &caller, device, deployment, &lines).await.map_err(to_status)?;
        Ok(Response::new(StoreLogResponse {}))
    }

    async fn get_control_map(
        &self,
        request: Request<GetControlMapRequest>,
    ) -> Result<Response<GetControlMapResponse>, Status> {
        let (caller, device) = device(&request)?;
        let deployment = convert::known_id(&request.get_ref().deployment_id).map_err(to_status)?;
        let map = self.control_map(caller.tenant, device, deployment).await.map_err(to_status)?;
        let control_map = map.as_ref().map(control_map::to_wire);
        Ok(Response::new(GetControlMapResponse { control_map }))
    }
}

fn asking(request: NextRequest) -> Result<Device, Error> {
    let mut provides: std::collections::BTreeMap<_, _> = request.provides.into_iter().collect();
    for (key, value) in [(DEVICE_TYPE, request.device_type), (ARTIFACT_NAME, request.artifact_name)]
    {
        if !value.is_empty() {
            provides.insert(key.to_owned(), value);
        }
    }
    for field in [DEVICE_TYPE, ARTIFACT_NAME] {
        if provides.get(field).is_none_or(String::is_empty) {
            return Err(Error::Field { field, reason: "must not be empty" });
        }
    }
    let long = |text: &String| text.len() > MAX_PROVIDED_BYTES;
    if provides.len() > MAX_PROVIDES || provides.iter().any(|(key, value)| long(key) || long(value))
    {
        let reason = "must be at most 1000 keys, with 8192 bytes in each key and value";
        return Err(Error::Field { field: "device_provides", reason });
    }
    Ok(Device { provides, understands_control_maps: request.understands_control_maps })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(device_type: &str, provides: &[(&str, &str)]) -> NextRequest {
        NextRequest {
            device_type: device_type.to_owned(),
            artifact_name: String::new(),
            provides: provides
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            understands_control_maps: false,
        }
    }

    #[test]
    fn type_and_name_come_from_either_place() {
        let asked = asking(request("arm", &[("artifact_name", "v1"), ("x", "y")])).unwrap();
        let provides: Vec<_> =
            asked.provides.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(provides, [("artifact_name", "v1"), ("device_type", "arm"), ("x", "y")]);
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        let named = |request| match asking(request) {
            Err(Error::Field { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(named(request("", &[("artifact_name", "v1")])), "device_type");
        assert_eq!(named(request("arm", &[("artifact_name", "")])), "artifact_name");
        let long = "x".repeat(8_193);
        assert_eq!(named(request("arm", &[("artifact_name", &long)])), "device_provides");
    }
}
