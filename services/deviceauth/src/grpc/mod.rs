//! The service's gRPC surface: permissions, wire types in and out, nothing more.

mod convert;
mod device;
mod internal;
mod management;

use std::sync::Arc;

use rota_runtime::to_status;
use rota_types::{Caller, Permission};
use tonic::{Request, Status};

use crate::error::Error;

/// The caller, if it may do what `permission` names.
fn permitted<T>(request: &Request<T>, permission: Permission) -> Result<Arc<Caller>, Status> {
    let caller = rota_runtime::caller(request)?;
    if caller.may(permission) { Ok(caller) } else { Err(to_status(Error::Forbidden)) }
}
