//! What people and their programs call: `/api/management`.

pub(crate) mod artifacts;
pub(crate) mod deployments;
pub(crate) mod device_deployments;
pub(crate) mod devices;
mod form;
pub(crate) mod groups;
pub(crate) mod inventory;
pub(crate) mod releases;
pub(crate) mod tenants;
pub(crate) mod uploads;
pub(crate) mod users;
