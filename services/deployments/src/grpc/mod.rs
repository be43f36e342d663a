//! The service's gRPC surface: permissions, wire types in and out, nothing more.

mod artifacts;
mod control_map;
mod convert;
mod device;
mod filters;
mod internal;
mod management;
mod transfer;

use std::sync::Arc;

use rota_proto::deployments::v1::{
    artifact_service_server::ArtifactServiceServer, device_service_server::DeviceServiceServer,
    internal_service_server::InternalServiceServer,
    management_service_server::ManagementServiceServer,
};
use rota_runtime::to_status;
use rota_types::{Caller, DeviceId, Permission};
use tonic::{Request, Status, service::Routes};

use crate::{Deployments, error::Error};

/// The largest message: a list of 100,000 device ids, or a device's log.
const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Everything the service answers.
pub(crate) fn routes(service: &Deployments) -> Routes {
    let device = DeviceServiceServer::new(service.clone());
    let artifacts = ArtifactServiceServer::new(service.clone());
    let management = ManagementServiceServer::new(service.clone());
    let internal = InternalServiceServer::new(service.clone());
    Routes::new(device.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(artifacts.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(management.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(internal)
}

/// The caller, if it may do what `permission` names.
fn permitted<T>(request: &Request<T>, permission: Permission) -> Result<Arc<Caller>, Status> {
    let caller = rota_runtime::caller(request)?;
    if caller.may(permission) { Ok(caller) } else { Err(to_status(Error::Forbidden)) }
}

/// The calling device: nobody else may ask or report in its name.
fn device<T>(request: &Request<T>) -> Result<(Arc<Caller>, DeviceId), Status> {
    let caller = permitted(request, Permission::Device)?;
    let device = caller.device().ok_or_else(|| to_status(Error::Forbidden))?;
    Ok((caller, device))
}
