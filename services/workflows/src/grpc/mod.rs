//! The service's gRPC surface: permissions, wire types in and out, nothing more.

mod convert;
mod internal;

use std::sync::Arc;

use rota_proto::workflows::v1::internal_service_server::InternalServiceServer;
use rota_runtime::to_status;
use rota_types::{Caller, Permission};
use tonic::{Request, Status, service::Routes};

use crate::{Error, Workflows};

/// What the service serves.
pub(crate) fn routes(workflows: &Workflows) -> Routes {
    Routes::new(InternalServiceServer::new(workflows.clone()))
}

/// The caller, if it may do what `permission` names.
fn permitted<T>(request: &Request<T>, permission: Permission) -> Result<Arc<Caller>, Status> {
    let caller = rota_runtime::caller(request)?;
    if caller.may(permission) { Ok(caller) } else { Err(to_status(Error::Forbidden)) }
}
