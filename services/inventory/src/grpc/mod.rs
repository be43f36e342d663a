//! The service's gRPC surface: permissions, wire types in and out, nothing more.

mod convert;
mod device;
mod internal;
mod management;

use std::sync::Arc;

use rota_proto::inventory::v1::{
    device_service_server::DeviceServiceServer, internal_service_server::InternalServiceServer,
    management_service_server::ManagementServiceServer,
};
use rota_runtime::to_status;
use rota_types::{Caller, Permission};
use tonic::{Request, Status, service::Routes};

use crate::{Error, Inventory};

/// The longest request, in bytes: a list of 100,000 devices for [`internal`]'s targets.
const MAX_REQUEST_BYTES: usize = 8 << 20;

/// What the service serves.
pub(crate) fn routes(inventory: &Inventory) -> Routes {
    let internal = InternalServiceServer::new(inventory.clone());
    Routes::new(DeviceServiceServer::new(inventory.clone()))
        .add_service(ManagementServiceServer::new(inventory.clone()))
        .add_service(internal.max_decoding_message_size(MAX_REQUEST_BYTES))
}

/// The caller, if it may do what `permission` names.
fn permitted<T>(request: &Request<T>, permission: Permission) -> Result<Arc<Caller>, Status> {
    let caller = rota_runtime::caller(request)?;
    if caller.may(permission) { Ok(caller) } else { Err(to_status(Error::Forbidden)) }
}
